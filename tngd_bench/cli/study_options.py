"""Options that name a study: its name, a profile of it, changes of single keys, and plug-ins."""

import functools
import os
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from tngd_bench.cli.option_kinds import flag_option, several_option

_PLUGINS = "tngd_bench.plugins"


def plugin_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --plugin, whose files are loaded before anything else is read."""

    def load(context: click.Context, option: click.Parameter, paths: tuple[str, ...]) -> None:
        from tngd_bench.studies.plugin import use_plugin

        for path in paths:
            try:
                use_plugin(path)
            except ValueError as error:
                raise click.UsageError(f"--plugin: {error}") from None
        context.meta[_PLUGINS] = paths

    return click.option(
        "--plugin",
        "plugin_files",
        multiple=True,
        is_eager=True,
        expose_value=False,
        callback=load,
        metavar="FILE.py",
        help="Load a file that registers optimizers, problems, devices or engines.",
    )(function)


def _studies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return a shell's completions of a study's name: shipped ones, and files."""
    from tngd_bench.studies.file.merge import shipped_studies

    named = [CompletionItem(name) for name in shipped_studies() if name.startswith(incomplete)]
    return [*named, CompletionItem(incomplete, type="file")]


def _use_data(context: click.Context, option: click.Parameter, folder: str | None) -> None:
    from tngd_bench.datasets.finder import CACHE_VARIABLE

    if folder is not None:
        os.environ[CACHE_VARIABLE] = folder


def study_options(default: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the argument `study`, with its `default`, the options `profile` and `overrides`, and --plugin."""
    parts = (
        click.argument("study", default=default, required=default is None, shell_complete=_studies),
        click.option(
            "--profile", metavar="NAME", help="Apply one of the study's profiles: smoke, quick, full, …"
        ),
        several_option(
            "--set",
            "overrides",
            metavar="KEY=VALUE",
            help="Change a key of the study; sections by name: cost.NAME.repetitions=5.",
        ),
        plugin_option,
        click.option(
            "--data",
            type=click.Path(exists=True, file_okay=False),
            expose_value=False,
            callback=_use_data,
            help="Folder with data sets, in which those that are found elsewhere are kept.  [default: that in "
            "TNGD_BENCH_DATA, or the user's cache]",
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
    plugins: Sequence[str] = click.get_current_context().meta.get(_PLUGINS, ())
    repeated = (("--set", overrides), ("--plugin", plugins))
    return [
        study,
        *chosen,
        *(word for option, items in repeated for item in items for word in (option, item)),
    ]
