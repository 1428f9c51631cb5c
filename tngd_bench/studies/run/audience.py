"""Telling of a running study in lines of text, on a terminal, in a log or in a notebook."""

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from tngd_bench.studies.plan.forecast import report_seconds, run_start_seconds
from tngd_bench.studies.plan.make_plan import Plan, predicted_seconds
from tngd_bench.studies.plan.trials import CostBlock, Extent, Trial

TOLD_EVERY_S = 60.0
"""Lines with the time left are this far apart at least."""
_AT_WORK = 0.9
"""The share of its predicted time that a trial has left behind at most: until it ends it is not done."""


def say_at_once(text: str) -> None:
    """Print one line on the standard output, as a cell of a notebook shows it while it runs."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class PlainAudience:
    """One line for each trial that ended, given to `say`, and once a minute the time left.

    `predicted_s`: what the plan says that the trials still to run take; `planned_s`: the same with start and page.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self.say = say
        self.done = 0
        self.total = 0
        self.predicted_s = self.planned_s = 0.0
        self._pending: dict[str, Trial] = {}
        self._began: dict[str, float] = {}  # by the trial at work
        self._workers = 1
        self._start = self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def preparing(self, what: str) -> None:
        """Say what is being prepared."""
        self.say(f"preparing: {what}")

    def planned(self, plan: Plan, pending: Sequence[str]) -> None:
        """Say how much there is to do."""
        extent, self._workers = plan.extent, plan.study.execution.workers
        self.total = extent.trials
        self._pending = {plan.trials[key].describe(): plan.trials[key] for key in pending}
        self.predicted_s = predicted_seconds(self._pending.values(), self._workers)
        self.done = self.total - Extent.of(self._pending.values()).trials
        kept = f"; {self.done} trials finished earlier" if self.done else ""
        if self._pending:
            self.planned_s = run_start_seconds() + self.predicted_s + report_seconds(plan.study)
            kept += f"; about {rough(self.planned_s)} by formula (`tngd-bench plan` times steps too)"
        self.say(f"study {plan.study.name}: {extent.describe()}{kept}")
        self._start = self._told = time.monotonic()
        for why, number in Counter(plan.again.values()).items():
            self.say(
                f"measured by other code, run again: {processes(number)}: {why}; old results: store/earlier"
            )
        if plan.again:
            self.say("run with --keep-old to go on with the old results instead")
        for why, number in Counter(plan.kept_old.values()).items():
            self.say(f"kept though measured by other code: {processes(number)}: {why}")

    def started(self, trial: Trial) -> None:
        """Note when; the line comes at the end."""
        self._began[trial.describe()] = time.monotonic()

    def finished(self, trial: Trial, entries: Sequence[dict[str, Any]]) -> None:
        """Say how the trial ended, with every optimizer that has no result and why."""
        self._end(trial)
        self.say(f"[{self.done}/{self.total}] {trial.describe()}{outcome(entries)}")
        if self._pending and time.monotonic() - self._told >= TOLD_EVERY_S:
            self._told = time.monotonic()
            self.say(self.clock())

    def _end(self, trial: Trial) -> None:
        self.done += trial.to_run
        self._began.pop(trial.describe(), None)
        self._pending.pop(trial.describe(), None)

    def clock(self) -> str:
        """Return the time since the first trial could start and the time left; "" where nothing is left."""
        waiting, now = [*self._pending.values()], time.monotonic()  # trials end in other threads
        if not waiting:
            return ""
        at_work = ((trial, self._began.get(trial.describe(), now)) for trial in waiting)
        passed = sum(
            min(now - began, _AT_WORK * trial.predicted_s)
            / (1 if isinstance(trial, CostBlock) else self._workers)
            for trial, began in at_work
        )
        still = predicted_seconds(waiting, self._workers) - passed
        left = remaining_seconds(now - self._start, self.predicted_s, still)
        return f"{rough(now - self._start)}, ≈ {rough(left)} left"


def rough(seconds: float) -> str:
    """Return a duration in whole seconds, or in two digits of minutes or hours."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            amount = seconds / size
            return f"{amount:.{0 if amount >= 9.95 else 1}f} {unit}"
    return f"{math.ceil(seconds)} s"


def remaining_seconds(elapsed_s: float, predicted_s: float, predicted_left_s: float) -> float:
    """Return the time left: the prediction for what is left, scaled by how wrong it has been so far.

    The scale starts at the prediction and follows the measured times as they come in, as if a tenth of the whole had
    already gone as predicted.
    """
    prior = 0.1 * predicted_s
    passed = predicted_s - predicted_left_s
    return predicted_left_s * (elapsed_s + prior) / (passed + prior) if passed + prior > 0 else 0.0


def processes(number: int) -> str:
    """Return a number of trials that share a process each, in words."""
    return f"{number:,} process{'es' * (number != 1)}"


def outcome(entries: Sequence[dict[str, Any]]) -> str:
    """Return "" where every optimizer has a result, else who has none and why."""
    missing = [entry for entry in entries if entry["status"] != "ok"]
    return "".join(f"; {entry['optimizer']} {entry['status']}: {entry['reason']}" for entry in missing)
