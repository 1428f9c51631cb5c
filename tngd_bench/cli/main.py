"""`tngd-bench`: finds the verb, and turns every error into one line on stderr and an exit code."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from tngd_bench import __version__
from tngd_bench.start import release_command_line

OK, FAILED, BAD_INPUT = 0, 2, 3

_VERBS = {
    "run": "tngd_bench.cli.run",
    "plan": "tngd_bench.cli.plan",
    "tune": "tngd_bench.cli.tune",
    "merge": "tngd_bench.cli.merge",
    "report": "tngd_bench.cli.report",
    "compare": "tngd_bench.cli.compare",
    "predict": "tngd_bench.cli.predict",
    "check": "tngd_bench.cli.check",
    "baseline": "tngd_bench.cli.baseline",
    "export": "tngd_bench.cli.export",
    "list": "tngd_bench.cli.listing",
    "info": "tngd_bench.cli.info",
}

_EPILOG = """\b
Examples:
  tngd-bench run                        the quick study: five minutes on two cores
  tngd-bench run smoke --output out     a study of seconds, into the folder out
  tngd-bench run my-study.toml --set execution.workers=4
  tngd-bench plan quick                 what it would run, how long, and what it would skip
  tngd-bench report reports/quick       the report again, from the stored results
  tngd-bench list optimizers            names, and what they are
  tngd-bench info --json                this machine and software

\b
Exit codes: 0 ok, 1 regression, 2 failed or interrupted, 3 bad input.
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
        return command


@click.group(cls=_Verbs, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tngd-bench", message="%(prog)s %(version)s")
def cli() -> None:
    """Benchmark thermodynamic natural gradient descent against digital optimizers."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 ok, 1 regression, 2 failed or interrupted, 3 bad input."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are told in one line on stderr."""
    release_command_line()
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments), prog_name="tngd-bench", standalone_mode=False
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return BAD_INPUT
    except click.ClickException as error:
        return complain(error.format_message(), BAD_INPUT)
    except (click.Abort, KeyboardInterrupt) as error:
        return complain(str(error) or "interrupted", FAILED)
    except SystemExit:
        # click ends so when whoever read our output has seen enough (`tngd-bench list | head`).
        return OK
    except Exception as error:
        return complain(*explain(error))
    return result if isinstance(result, int) else OK


def complain(message: str, code: int) -> int:
    """Print one line on stderr and return `code`."""
    click.echo(f"tngd-bench: error: {' '.join(message.split())}", err=True)
    return code


def explain(error: Exception) -> tuple[str, int]:
    """Return the line and the exit code for an error; one that nobody expected leaves its traceback in a file."""
    try:
        from tngd_bench.problems.finder import DataNotFoundError
        from tngd_bench.studies.errors import EngineError, StoreError, StoreWriteError, StudyError
    except Exception:
        # a package so broken that its errors cannot be told apart: the error itself is what there is to tell
        return f"{type(error).__name__}: {error} (unexpected)", FAILED

    if isinstance(error, StoreWriteError | EngineError | DataNotFoundError):
        return str(error), FAILED
    if isinstance(error, StudyError | StoreError):
        return str(error), BAD_INPUT
    with tempfile.NamedTemporaryFile(
        "w", prefix="tngd-bench-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        log.write("".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {error} (unexpected; traceback in {log.name})", FAILED
