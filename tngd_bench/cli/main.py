"""`tngd-bench`: finds the verb, and turns every error into one line on stderr and an exit code."""

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from tngd_bench import __version__, plugins
from tngd_bench.arguments import suggestion
from tngd_bench.cli import streams
from tngd_bench.cli.signals import ended_by_signals
from tngd_bench.cli.warnings import note, search_as_notes, warnings_as_notes
from tngd_bench.measure.gc_control import collect_seldom, no_last_collection
from tngd_bench.start import release_command_line

OK, FAILED, BAD_INPUT = 0, 2, 3

_VERBS = {
    "run": "tngd_bench.cli.run",
    "plan": "tngd_bench.cli.plan",
    "tune": "tngd_bench.cli.tune",
    "null-runs": "tngd_bench.cli.null_runs",
    "merge": "tngd_bench.cli.merge",
    "report": "tngd_bench.cli.report",
    "compare": "tngd_bench.cli.compare",
    "predict": "tngd_bench.cli.predict.command",
    "require": "tngd_bench.cli.predict.require",
    "check": "tngd_bench.cli.check",
    "baseline": "tngd_bench.cli.baseline",
    "export": "tngd_bench.cli.export",
    "new": "tngd_bench.cli.plugins.new",
    "test": "tngd_bench.cli.plugins.test",
    "list": "tngd_bench.cli.listing",
    "glossary": "tngd_bench.cli.glossary.command",
    "info": "tngd_bench.cli.info",
}

_EPILOG = """\b
Examples:
  tngd-bench run                        the quick study: three minutes on two cores
  tngd-bench run smoke --output out     a study of seconds, into the folder out
  tngd-bench run my-study.toml --set execution.workers=4
  tngd-bench plan quick                 what it would run, how long, and what it would skip
  tngd-bench report reports/quick       the report again, from the stored results
  tngd-bench list optimizers            names, and what they are
  tngd-bench require --model resnet50 --batch 256   what a device must reach to be ahead
  tngd-bench new optimizer mine         a template of your own, mine.py
  tngd-bench test mine.py               whether it does what every optimizer has to
  tngd-bench info --json                this machine and software
  tngd-bench glossary confirmed         what a word of a report means

Documentation: the folder docs of the repository and of the source distribution, from docs/index.md on;
`make docs` makes a site of it.

Exit codes: 0 ok, 1 regression or failed check, 2 failed or interrupted, 3 bad input,
141 the output was not read to its end.
"""


class _Verbs(click.Group):
    """A group that imports a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command = import_module(_VERBS[cmd_name]).command
        assert isinstance(command, click.Command)
        command.name = cmd_name  # each file calls its verb `command`
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _VERBS and not args[0].startswith("-"):
            accepted = suggestion(args[0], _VERBS) or f"; accepted: {', '.join(_VERBS)}"
            raise click.UsageError(f"no verb {args[0]!r}{accepted}", ctx)
        name, command, words = super().resolve_command(ctx, args)
        if command is not None:
            _refuse_repeated(click.Context(command, ctx, name, **command.context_settings), words)
        return name, command, words


def _refuse_repeated(ctx: click.Context, words: list[str]) -> None:
    """Raise UsageError for an option that takes one value and is given several, of which click takes the last."""
    _, rest, given = ctx.command.make_parser(ctx).parse_args(list(words))
    for option in dict.fromkeys(given):
        single = isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.count)
        times = given.count(option)
        if single and times > 1:
            raise click.UsageError(f"{option.opts[-1]} is given {times} times; accepted: once", ctx)
    if isinstance(ctx.command, click.Group) and rest:
        inner = ctx.command.get_command(ctx, rest[0])
        if inner is not None:
            _refuse_repeated(click.Context(inner, ctx, rest[0], **inner.context_settings), rest[1:])


@click.group(cls=_Verbs, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tngd-bench", message="%(prog)s %(version)s")
def cli() -> None:
    """Benchmark thermodynamic natural gradient descent against digital optimizers."""
    try:
        Path.cwd()
    except OSError as error:  # torch would end the process without an explanation
        raise click.ClickException(
            f"the current folder cannot be used: {error.strerror or error}; change to one that exists"
        ) from None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 ok, 1 regression or failed check, 2 failed or interrupted, 3 bad input."""
    # Figures go into files; the backend of a notebook or a desktop may not be installed.
    os.environ["MPLBACKEND"] = "agg"
    collect_seldom()
    streams.prepare()
    warnings_as_notes()
    search_as_notes()
    code = run(arguments)
    unwritten = streams.failure()
    if unwritten is not None and code == OK:
        code = _explain_output(unwritten)
    streams.give_up()
    no_last_collection()
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors, and outside packages left out, are reported on stderr."""
    code = _run(arguments)
    for complaint in plugins.complaints():
        note(complaint)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    release_command_line()
    try:
        with ended_by_signals():
            result = cli.main(
                args=None if arguments is None else list(arguments),
                prog_name="tngd-bench",
                standalone_mode=False,
            )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return BAD_INPUT
    except click.ClickException as error:
        return complain(error.format_message(), BAD_INPUT)
    except (click.Abort, KeyboardInterrupt) as error:
        return complain(str(error) or "interrupted", FAILED)
    except BrokenPipeError:
        return streams.READER_GONE
    except SystemExit as error:
        # click's end, with 1 when whoever read our output has seen enough (`tngd-bench list | head`), or outside code's
        if (unwritten := streams.failure()) is not None:  # rich's end
            return _explain_output(unwritten)
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if frame.f_globals["__name__"].partition(".")[0] == click.__name__:
            return streams.READER_GONE if error.code else OK
        return complain(f"outside code ended the process, {plugins.said(error)}", FAILED)
    except Exception as error:
        unwritten = streams.failure()
        return complain(*explain(error)) if unwritten is None else _explain_output(unwritten)
    return result if isinstance(result, int) else OK


def complain(message: str, code: int) -> int:
    """Print one line on stderr and return `code`."""
    with contextlib.suppress(OSError):  # stderr is full or closed: the exit code still tells
        click.echo(f"tngd-bench: error: {' '.join(message.split())}", err=True)
    return code


def _explain_output(error: OSError) -> int:
    """Say why the output could not be written, and return the exit code; a reader that left needs no word."""
    if streams.reader_is_gone(error):
        return streams.READER_GONE
    return complain(f"the output cannot be written: {error.strerror or error}", FAILED)


def explain(error: Exception) -> tuple[str, int]:
    """Return the line and the exit code for an error; an unexpected one leaves its traceback in a file."""
    try:
        from tngd_bench.datasets.finder import DataNotFoundError
        from tngd_bench.studies.errors import EngineError, StoreError, StoreWriteError, StudyError
    except Exception:
        # a package so broken that its errors cannot be told apart: the error itself is what there is to tell
        return f"{type(error).__name__}: {error} (unexpected)", FAILED

    if isinstance(error, StoreWriteError | EngineError | DataNotFoundError):
        return str(error), FAILED
    if isinstance(error, StudyError | StoreError):
        return str(error), BAD_INPUT
    unreadable = _unreadable_configuration(error)
    if unreadable is not None:
        return unreadable, BAD_INPUT
    kept = traceback_file("".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {error} (unexpected; {kept})", FAILED


def _unreadable_configuration(error: Exception) -> str | None:
    """Return the message for a configuration file of matplotlib that is not text; None for any other error.

    It is read when matplotlib is imported, wherever that is. The error does not name it, the frame that read it does.
    """
    if not isinstance(error, UnicodeDecodeError):
        return None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") == "matplotlib" and "fname" in frame.f_locals:
            file = frame.f_locals["fname"]
            return f"matplotlib's configuration file {file} is not UTF-8 text; correct it, or move it away"
    return None


def traceback_file(text: str) -> str:
    """Write the traceback of an unexpected error to a file; return where, or why it cannot be kept."""
    try:
        with tempfile.NamedTemporaryFile(prefix="tngd-bench-", suffix=".log", delete=False) as log:
            log.write(text.encode(errors="backslashreplace"))
    except OSError as full:
        return f"its traceback cannot be kept: {full.strerror or full}"
    return f"traceback in {log.name}"
