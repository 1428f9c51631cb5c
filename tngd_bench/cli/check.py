"""`tngd-bench check`: whether the present state is worse than a baseline; the exit code is the verdict."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.unwritable import cannot_be_written

if TYPE_CHECKING:
    from tngd_bench.check.baseline import Baseline
    from tngd_bench.check.gate import Selection
    from tngd_bench.check.regression import Judgement, VerdictName
    from tngd_bench.check.summary import CheckSummary

DEFAULT_BASELINE = "benchmarks/baseline.json"

_EPILOG = """\b
Examples:
  tngd-bench check                                        exact figures against benchmarks/baseline.json: seconds
  tngd-bench check --baseline main                        against the revision main, times too, measured in turn
  tngd-bench check --baseline benchmarks/baseline.json --baseline main --summary summary.md
  tngd-bench check reports/new --baseline reports/old     two stores of one study

\b
Exit codes: 0 ok (inconclusive too, without --strict), 1 regression or a changed result, 2 failed, or inconclusive
under --strict, 3 bad configuration or nothing compared. Summaries are written whatever the code.
"""


@click.command(epilog=_EPILOG)
@click.argument("stores", nargs=-1, type=click.Path(path_type=Path), metavar="[STORE]...")
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="WHAT",
    help="A baseline file, a folder with a store, or a git revision; several: every one has to pass."
    f"  [default: {DEFAULT_BASELINE}]",
)
@click.option(
    "--select", "patterns", multiple=True, metavar="GLOB", help="Only these metrics, e.g. 'operations/*'."
)
@click.option(
    "--exact-only",
    is_flag=True,
    help="No wall times, and no page: only what is quick and always the same.",
)
@click.option("--samples", type=click.IntRange(7), default=9, show_default=True, help="Samples a side.")
@click.option("--strict", is_flag=True, help="Fail, with exit code 2, where a metric is inconclusive.")
@click.option("--summary", type=click.Path(path_type=Path), help="Append a Markdown summary to this file.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML to this file.")
@click.option("--json", "as_json_file", type=click.Path(path_type=Path), help="Write JSON to this file.")
def command(
    stores: tuple[Path, ...],
    baselines: tuple[str, ...],
    patterns: tuple[str, ...],
    exact_only: bool,
    samples: int,
    strict: bool,
    summary: Path | None,
    junit: Path | None,
    as_json_file: Path | None,
) -> int:
    """Compare this tree, or STORE, with a baseline and say of every metric whether it got worse.

    Further STOREs are re-runs of the first: a slowdown counts only when one of them shows it too.
    """
    wanted = baselines or (DEFAULT_BASELINE,)
    check = _Check(stores, wanted, patterns, exact_only, samples, strict)
    with _ended_by_signals():
        result = check.run()
    from tngd_bench.check.summary import as_json, as_junit, as_markdown, as_text

    click.echo(as_text(result), err=bool(result.problem) and not result.judgements)
    unwritten = 0
    for path, text, mode in (
        (summary, as_markdown, "a"),
        (junit, as_junit, "w"),
        (as_json_file, as_json, "w"),
    ):
        if path is not None:
            unwritten = max(unwritten, _write(path, text(result), mode))
    return result.exit_code or unwritten


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the body as Ctrl-C does, so that processes and temporary folders go with it."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"ended by {signal.Signals(number).name}")

    if (
        threading.current_thread() is not threading.main_thread()
    ):  # no other thread may set what a signal does
        yield
        return
    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@dataclass
class _Check:
    """One run of the command: what was judged so far, baseline by baseline, and what stopped it."""

    stores: tuple[Path, ...]
    baselines: tuple[str, ...]
    patterns: tuple[str, ...]
    exact_only: bool
    samples: int
    strict: bool
    judged: dict[str, tuple[Judgement, ...]] = field(default_factory=dict)
    commits: dict[str, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: dict[str, Baseline] = field(default_factory=dict)

    def run(self) -> CheckSummary:
        """Return all verdicts; an error becomes the summary's `problem`, beside what was judged before it."""
        from tngd_bench.check.summary import CheckSummary
        from tngd_bench.cli.main import BAD_INPUT, FAILED
        from tngd_bench.measure.plain_text import plain

        environment: dict[str, Any] = {}
        problem, found = "", FAILED
        try:
            environment = self._environment()
            self._judge_all()
        except KeyboardInterrupt as interruption:
            problem = str(interruption) or "interrupted"
        except Exception as error:  # the command's boundary: every end leaves a summary, and none is a pass
            said, found = _told(error)
            problem = plain(said)
        verdict: VerdictName = "nothing compared" if found == BAD_INPUT else "failed"
        if self.judged:
            from tngd_bench.check.regression import outcome_of_all

            judged, worst = outcome_of_all(self.judged, strict=self.strict)
            # what was found worse before the problem stays the verdict
            if not problem or judged == 1:
                found, verdict = judged, worst
        rows = [
            dataclasses.replace(one, against=what if len(self.baselines) > 1 else "")
            for what, judgements in self.judged.items()
            for one in judgements
        ]
        head = ", ".join(map(str, self.stores)) or "this tree"
        return CheckSummary(
            rows, verdict, found, head, self.baselines, environment, problem, self.commits, tuple(self.notes)
        )

    def _environment(self) -> dict[str, Any]:
        import torch

        from tngd_bench.check.gate import present_environment
        from tngd_bench.check.trees import present_tree
        from tngd_bench.measure.environment import git_revision

        if not self.stores:
            self.commits["head"] = git_revision(present_tree() / "tngd_bench" / "measure")
        return present_environment(torch.__version__)

    def _judge_all(self) -> None:
        from tngd_bench.check.gate import NothingSelectedError, Selection

        selection = Selection(self.patterns, times=not self.exact_only)
        for what in self.baselines:
            if not what.strip():
                raise click.UsageError(
                    "--baseline is empty; a file, a store's folder or a git revision is accepted"
                )
        # files first: a change that one of them writes down is not held against a revision
        found = {what: _stored(what) for what in self.baselines}
        self.files = {what: one for what, one in found.items() if one is not None}
        unmatched: NothingSelectedError | None = None
        for what in sorted(self.baselines, key=lambda what: found[what] is None):
            try:
                self.judged[what] = self._judge(what, found[what], selection)
            except NothingSelectedError as error:
                unmatched = error
        names = [one.name for judgements in self.judged.values() for one in judgements]
        if unmatched is not None and not names:
            raise unmatched
        for pattern in self.patterns:
            Selection((pattern,)).of(names)

    def _judge(self, what: str, found: Baseline | None, selection: Selection) -> tuple[Judgement, ...]:
        from tngd_bench.check import gate
        from tngd_bench.check.trees import present_tree
        from tngd_bench.studies.errors import StoreError

        if self.stores:
            if found is None:
                raise StoreError(
                    f"a store is compared with a store or a baseline file, and {what} is neither"
                )
            return gate.check_stores(found, [_store(path) for path in self.stores], selection)
        if found is None:
            return self._judge_by_revision(what, selection)
        if _is_store(Path(what)):
            raise StoreError(
                f"baseline {what} is a store: run its study again and name that folder too,"
                f" tngd-bench check FOLDER --baseline {what}"
            )
        return gate.check_tree(present_tree(), found, selection, _say)

    def _judge_by_revision(self, what: str, selection: Selection) -> tuple[Judgement, ...]:
        from tngd_bench.check import gate
        from tngd_bench.check.trees import checked_out, present_tree
        from tngd_bench.studies.errors import StoreError

        head = present_tree()
        try:
            with checked_out(what, head) as base:
                self.commits[what] = base.commit
                self._note_fork(what, base.commit, head)
                self._compare_locks(what, base.tree, head)
                judged = gate.check_revision(base.tree, head, selection, _say, samples=self.samples)
                for file, own in self.files.items():
                    theirs = base.tree / os.path.relpath(Path(file).resolve(), head)
                    if Path(file).resolve().is_relative_to(head) and theirs.is_file():
                        held = self._baseline_of(what, theirs)
                        judged = (
                            gate.excused(judged, own, held, self.judged.get(file, ())) if held else judged
                        )
                return judged
        except LookupError as error:
            raise StoreError(f"baseline {what} is no file and no folder with a store, and {error}") from None

    def _baseline_of(self, what: str, file: Path) -> Baseline | None:
        """Return the revision's own baseline file; None with a note where it is damaged: it then excuses nothing."""
        from tngd_bench.check.baseline import BaselineError, read_baseline

        try:
            return read_baseline(file)
        except BaselineError as error:
            self.notes.append(f"the baseline file of {what} cannot be read, so it excuses no change: {error}")
            return None

    def _note_fork(self, what: str, commit: str, head: Path) -> None:
        """Note where the revision has commits that this tree lacks: they would count as this tree's changes."""
        from tngd_bench.measure.git import merge_base

        fork = merge_base(head, commit, "HEAD")
        if fork != commit:
            where = f"since {fork[:12]} " if fork else ""
            self.notes.append(
                f"{what} is no ancestor of this tree's commit: what changed there {where}counts as a change of this"
                f" tree, the other way round; `--baseline $(git merge-base {what} HEAD)` leaves it out"
            )

    def _compare_locks(self, what: str, base: Path, head: Path) -> None:
        """Note where the revision pins other packages: both sides run with those that are installed here."""
        names = {lock.name for tree in (base, head) for lock in tree.glob("requirements*.lock")}
        for name in sorted(names):
            before, after = (
                (tree / name).read_bytes() if (tree / name).is_file() else None for tree in (base, head)
            )
            if before != after:
                self.notes.append(
                    f"{name} differs from that of {what}: both were measured with the packages installed here"
                )


def _told(error: Exception) -> tuple[str, int]:
    """Return what to say of an error, and its exit code."""
    from tngd_bench.cli.main import BAD_INPUT, FAILED, explain

    if isinstance(error, click.ClickException):
        return error.format_message(), BAD_INPUT
    with contextlib.suppress(
        Exception
    ):  # where that module is what is broken, the error is not one of its own
        from tngd_bench.check.trees import ProbeError, UnmeasuredError

        if isinstance(error, ProbeError | UnmeasuredError):
            return str(error), FAILED
    return explain(error)


def _stored(what: str) -> Baseline | None:
    """Return the baseline in a file or a store; None where `what` can only be a revision."""
    from tngd_bench.check.baseline import read_baseline

    path = Path(what)
    if _is_store(path):
        return _store(path)
    # "main" may be a revision; what ends like a file and is none is a missing baseline
    return read_baseline(path) if path.is_file() or path.suffix == ".json" else None


def _is_store(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".parquet"


def _store(path: Path) -> Baseline:
    from tngd_bench.check.study_metrics import study_baseline
    from tngd_bench.studies.store.records import read_records

    return study_baseline(read_records(path))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _write(path: Path, text: str, mode: str) -> int:
    """Write a summary; return 0, or where that fails an exit code, so that the other summaries are written still."""
    from tngd_bench.cli.main import BAD_INPUT, complain

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return complain(cannot_be_written(str(path), path, error), BAD_INPUT)
    return 0
