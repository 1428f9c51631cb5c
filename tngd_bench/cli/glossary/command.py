"""`tngd-bench glossary`: the words that pages and the terminal use. The documentation reads the same file."""

import shutil
import textwrap
import unicodedata
from importlib.resources import files

import click

from tngd_bench.arguments import suggestion


@click.command(epilog="\b\nExamples:\n  tngd-bench glossary\n  tngd-bench glossary confirmed\n")
@click.argument("word", nargs=-1)
def command(word: tuple[str, ...]) -> None:
    """Say what the words of a report mean. All of them, or those with WORD in them."""
    wanted, meanings = " ".join(word), terms()
    found = _found(wanted, meanings)
    if not found:
        names = [name for term in meanings for name in f"{term}, {in_ascii(term)}".split(", ")]
        parts = [part for name in names for part in name.split() if len(part) > 3]
        near = suggestion(wanted, [*parts, *names]) or "; `tngd-bench glossary` has all"
        raise click.UsageError(f"no word {wanted!r}{near}")
    width = min(shutil.get_terminal_size().columns, 100)
    for term in found:
        click.echo(textwrap.fill(f"{term}: {meanings[term]}", width, subsequent_indent="    "))


def terms() -> dict[str, str]:
    """Return the meaning of each term; one term may be several words, with commas."""
    table = files("tngd_bench.cli.glossary").joinpath("glossary.md").read_text("utf-8")
    rows = (line.strip("| ").split(" | ", 1) for line in table.splitlines()[2:])
    return {term: meaning.replace("`", "") for term, meaning in rows}


_SIGNS = {"≥": ">=", "≈": "~"}
"""Signs that are neither letters nor numbers, as one types them."""


def in_ascii(term: str) -> str:
    """Return a term as one types it: Greek letters by their names, subscripts behind "_", as in "kappa_0" for κ₀."""
    typed = ""
    for sign in term:
        name, digit = unicodedata.name(sign, ""), unicodedata.digit(sign, None)
        if name.startswith("GREEK ") and " LETTER " in name:
            letter = name.split(" LETTER ")[1].split(" ")[0].lower()
            typed += {"lamda": "lambda"}.get(letter, letter)  # Unicode's spelling
        elif name.startswith("SUBSCRIPT ") and digit is not None:
            typed += f"_{digit}"
        else:
            typed += _SIGNS.get(sign, sign)
    return typed


def _found(word: str, meanings: dict[str, str]) -> list[str]:
    """Return the terms that are `word`, also as typed in ASCII; else those that hold it; all for ""."""
    wanted = word.casefold()
    spelt = {term: f"{term}, {in_ascii(term)}".casefold().replace("_", "").split(", ") for term in meanings}
    exactly = [term for term, names in spelt.items() if wanted.replace("_", "") in names]
    return exactly or [term for term in meanings if wanted in f"{term} {in_ascii(term)}".casefold()]
