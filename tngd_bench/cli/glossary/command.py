"""`tngd-bench glossary`: the words that pages and the terminal use. The documentation reads the same file."""

import shutil
import textwrap
from importlib.resources import files

import click

from tngd_bench.arguments import suggestion


@click.command(epilog="\b\nExamples:\n  tngd-bench glossary\n  tngd-bench glossary confirmed\n")
@click.argument("word", nargs=-1)
def command(word: tuple[str, ...]) -> None:
    """Say what the words of a report mean: all of them, or those with WORD in them."""
    wanted, meanings = " ".join(word), terms()
    found = _found(wanted, meanings)
    if not found:
        names = [name for term in meanings for name in term.split(", ")]
        near = suggestion(wanted, names) or "; `tngd-bench glossary` has all"
        raise click.UsageError(f"no word {wanted!r}{near}")
    width = min(shutil.get_terminal_size().columns, 100)
    for term in found:
        click.echo(textwrap.fill(f"{term}: {meanings[term]}", width, subsequent_indent="    "))


def terms() -> dict[str, str]:
    """Return the meaning of each term; one term may be several words, with commas."""
    table = files("tngd_bench.cli.glossary").joinpath("glossary.md").read_text("utf-8")
    rows = (line.strip("| ").split(" | ", 1) for line in table.splitlines()[2:])
    return {term: meaning.replace("`", "") for term, meaning in rows}


def _found(word: str, meanings: dict[str, str]) -> list[str]:
    """Return the terms that are `word`; else those that hold it; all for ""."""
    exactly = [
        term
        for term in meanings
        if word.casefold() in term.casefold().split(", ") or word in term.split(", ")
    ]
    return exactly or [term for term in meanings if word.casefold() in term.casefold()]
