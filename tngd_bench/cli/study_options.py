"""Options that name a study: its name, a profile of it, and changes of single keys."""

import functools
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from tngd_bench.cli.option_kinds import flag_option, several_option


def study_options(default: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the argument `study`, with its `default`, and the options `profile` and `overrides`."""
    parts = (
        click.argument("study", default=default, required=default is None),
        click.option(
            "--profile", metavar="NAME", help="Apply one of the study's profiles: smoke, quick, full, …"
        ),
        several_option(
            "--set",
            "overrides",
            metavar="KEY=VALUE",
            help="Change a key of the study; sections by name: cost.NAME.repetitions=5.",
        ),
    )

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.reduce(lambda wrapped, part: part(wrapped), reversed(parts), function)

    return add


def rerun_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options `fresh` and `keep_old`, of which one at most can be given."""

    @flag_option("--fresh", help="Run everything again, forgetting stored results.")
    @flag_option("--keep-old", help="Take results that other code has measured, instead of running again.")
    @functools.wraps(function)
    def checked(**given: Any) -> Any:
        if given["fresh"] and given["keep_old"]:
            raise click.UsageError(
                "--fresh and --keep-old cannot both be given: one forgets what the other keeps"
            )
        return function(**given)

    return checked


def command_line(words: Sequence[str]) -> str:
    """Return words as one types them into a shell, in printable text."""
    from tngd_bench.studies.file.reading import printable

    return printable(shlex.join(words))


def study_words(study: str, profile: str | None, overrides: Sequence[str]) -> list[str]:
    """Return the words of a command line that name the same study again."""
    chosen = [] if profile is None else ["--profile", profile]
    return [study, *chosen, *(word for item in overrides for word in ("--set", item))]
