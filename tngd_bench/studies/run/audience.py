"""Telling of a running study in lines of text, on a terminal, in a log or in a notebook."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from tngd_bench.studies.plan.make_plan import Plan, predicted_seconds
from tngd_bench.studies.plan.trials import Extent, Trial


def say_at_once(text: str) -> None:
    """Print one line on the standard output, as a cell of a notebook shows it while it runs."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class PlainAudience:
    """One line for each trial that ended, given to `say`, without times: two runs say the same.

    `predicted_s`: what the plan says that the trials still to run take.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self.say = say
        self.done = 0
        self.total = 0
        self.predicted_s = 0.0

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
        extent = plan.extent
        self.total = extent.trials
        self.predicted_s = predicted_seconds(
            (plan.trials[key] for key in pending), plan.study.execution.workers
        )
        self.done = self.total - Extent.of(plan.trials[key] for key in pending).trials
        kept = f"; {self.done} trials finished earlier" if self.done else ""
        self.say(f"study {plan.study.name}: {extent.describe()}{kept}")
        for why, number in Counter(plan.again.values()).items():
            self.say(
                f"measured by other code, run again: {processes(number)}: {why}; old results: store/earlier"
            )
        if plan.again:
            self.say("run with --keep-old to go on with the old results instead")
        for why, number in Counter(plan.kept_old.values()).items():
            self.say(f"kept though measured by other code: {processes(number)}: {why}")

    def started(self, trial: Trial) -> None:
        """Nothing: the line comes at the end."""

    def finished(self, trial: Trial, entries: Sequence[dict[str, Any]]) -> None:
        """Say how the trial ended, with every optimizer that has no result and why."""
        self.done += trial.to_run
        self.say(f"[{self.done}/{self.total}] {trial.describe()}{outcome(entries)}")


def processes(number: int) -> str:
    """Return a number of trials that share a process each, in words."""
    return f"{number:,} process{'es' * (number != 1)}"


def outcome(entries: Sequence[dict[str, Any]]) -> str:
    """Return "" where every optimizer has a result, else who has none and why."""
    missing = [entry for entry in entries if entry["status"] != "ok"]
    return "".join(f"; {entry['optimizer']} {entry['status']}: {entry['reason']}" for entry in missing)
