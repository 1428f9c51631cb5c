"""`tngd-bench check`: whether the present state is worse than a baseline; the exit code is the verdict."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.cli.main import BAD_INPUT, FAILED, complain, explain
from tngd_bench.cli.option_kinds import (
    PATH,
    default_option,
    file_option,
    flag_option,
    path_option,
    several_option,
)
from tngd_bench.unwritable import cannot_be_written

if TYPE_CHECKING:
    from tngd_bench.check.regression import VerdictName
    from tngd_bench.check.session import CheckSession
    from tngd_bench.check.summary import CheckSummary

DEFAULT_BASELINE = "benchmarks/baseline.json"

_EPILOG = """\b
Examples:
  tngd-bench check                                        exact figures against benchmarks/baseline.json: seconds
  tngd-bench check --baseline main                        against the revision main, times too, measured in turn
  tngd-bench check --baseline benchmarks/baseline.json --baseline main --summary summary.md
  tngd-bench check reports/new --baseline reports/old     two stores of one study

Exit codes: 0 ok (inconclusive too, without --strict), 1 regression or a changed result, 2 failed, or inconclusive
under --strict, 3 bad configuration or nothing compared. Summaries are written whatever the code.
"""


@click.command(epilog=_EPILOG)
@click.argument("stores", nargs=-1, type=PATH, metavar="[STORE]...")
@default_option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="WHAT",
    default=(DEFAULT_BASELINE,),
    help="A baseline file, a folder with a store, or a git revision; several: every one has to pass.",
)
@several_option("--select", "patterns", metavar="GLOB", help="Only these metrics, e.g. 'operations/*'.")
@flag_option("--exact-only", help="No wall times, and no page: only what is quick and always the same.")
@default_option("--samples", type=click.IntRange(7), default=9, help="Samples a side.")
@flag_option("--strict", help="Fail, with exit code 2, where a metric is inconclusive.")
@path_option("--summary", help="Append a Markdown summary to this file.")
@file_option("--junit", mark='name="tngd-bench check"', help="Write JUnit XML to this file.")
@file_option("--json", "as_json_file", mark='"judgements"', help="Write JSON to this file.")
def command(summary: Path | None, junit: Path | None, as_json_file: Path | None, **asked: Any) -> int:
    """Say of every metric whether it is worse than a baseline. Metrics are those of this tree, or of STORE.

    Further STOREs are re-runs of the first: a slowdown counts only when one of them shows it too.
    """
    paths = [path.absolute() for path in (summary, junit, as_json_file) if path is not None]
    if len(set(paths)) < len(paths):
        raise click.UsageError("--summary, --junit and --json name one file; accepted: one each")
    result = _checked(**asked)
    from tngd_bench.check.summary import as_json, as_junit, as_markdown, as_text

    click.echo(as_text(result), err=bool(result.problem) and not result.judgements)
    written = ((summary, as_markdown, "a"), (junit, as_junit, "w"), (as_json_file, as_json, "w"))
    codes = [_write(path, text(result), mode) for path, text, mode in written if path is not None]
    return result.exit_code or max(codes, default=0)


def _checked(
    stores: tuple[Path, ...],
    baselines: tuple[str, ...],
    patterns: tuple[str, ...],
    exact_only: bool,
    samples: int,
    strict: bool,
) -> CheckSummary:
    """Return all verdicts; an error becomes the summary's `problem`, beside what was judged before it."""
    from tngd_bench.check.summary import CheckSummary
    from tngd_bench.measure.plain_text import plain

    problem, code = "", FAILED
    session: CheckSession | None = None
    try:
        from tngd_bench.check.gate import MetricFilter
        from tngd_bench.check.session import CheckSession

        selection = MetricFilter(patterns, times=not exact_only)
        session = CheckSession(stores, baselines, selection, samples, partial(click.echo, err=True))
        session.run()
    except KeyboardInterrupt as interruption:
        problem = str(interruption) or "interrupted"
    except Exception as error:  # the command's boundary: every end leaves a summary, and none is a pass
        said, code = _message_of(error)
        problem = plain(said)
    verdict: VerdictName = "nothing compared" if code == BAD_INPUT else "failed"
    head = ", ".join(map(str, stores)) or "this tree"
    if session is None:
        return CheckSummary([], verdict, code, head, baselines, {}, problem)
    if session.judged:
        from tngd_bench.check.regression import outcome_of_all

        judged, worst = outcome_of_all(session.judged, strict=strict)
        # what was found worse before the problem stays the verdict
        if not problem or judged == 1:
            code, verdict = judged, worst
    judgements, about = session.judgements(), (session.commits, session.notes)
    return CheckSummary(judgements, verdict, code, head, baselines, session.environment, problem, *about)


def _message_of(error: Exception) -> tuple[str, int]:
    """Return the message of an error, and its exit code."""
    if isinstance(error, click.ClickException):
        return error.format_message(), BAD_INPUT
    # where that module is what is broken, the error is not one of its own
    with contextlib.suppress(Exception):
        from tngd_bench.check.trees import ProbeError, UnmeasuredError

        if isinstance(error, ProbeError | UnmeasuredError):
            return str(error), FAILED
    return explain(error)


def _write(path: Path, text: str, mode: str) -> int:
    """Write a summary; return 0, or where that fails an exit code, so that the other summaries are written still."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return complain(cannot_be_written(str(path), path, error), BAD_INPUT)
    return 0
