"""Progress of a running study: a live line with the time left on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from tngd_bench.analysis.quantities import seconds as duration
from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.plan.duration_model import RUN_START_S
from tngd_bench.studies.plan.forecast import report_seconds
from tngd_bench.studies.plan.make_plan import Plan, predicted_seconds
from tngd_bench.studies.plan.trials import Trial
from tngd_bench.studies.run.audience import PlainAudience, outcome

_PIPED_WIDTH = 120
_WIDE = 80


def make_console() -> Console:
    """Return a console on stdout; where that is no terminal, wide and without colour."""
    if sys.stdout.isatty():
        return Console()
    # FORCE_COLOR, which CI services set, would make rich move the cursor about in a log.
    return Console(width=_PIPED_WIDTH, color_system=None, force_terminal=False, force_interactive=False)


class LiveAudience(PlainAudience):
    """A bar with the time passed and left and the trials at work; lines only for what has no result."""

    def __init__(self, console: Console) -> None:
        super().__init__(partial(_print, console))
        self._progress = Progress(
            BarColumn(bar_width=24 if console.width >= _WIDE else 8),
            MofNCompleteColumn(),
            _Clock(self.clock),
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            console=console,
            expand=True,
            transient=True,
        )
        self._task = self._progress.add_task("preparing", total=None)
        self._running: dict[str, None] = {}
        self._pending: dict[str, Trial] = {}
        self._workers = 1
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def preparing(self, what: str) -> None:
        """Show what is being prepared."""
        self._progress.update(self._task, description=f"preparing: {what}")

    def planned(self, plan: Plan, pending: Sequence[str]) -> None:
        """Start the bar."""
        super().planned(plan, pending)
        self._pending = {plan.trials[key].describe(): plan.trials[key] for key in pending}
        self._workers = plan.study.execution.workers
        self._start = time.monotonic()
        self._progress.update(self._task, total=self.total, completed=self.done, description="running")

    def started(self, trial: Trial) -> None:
        """Show the trial as running."""
        self._running[trial.describe()] = None
        self._show()

    def finished(self, trial: Trial, entries: Sequence[dict[str, Any]]) -> None:
        """Move the bar; print a line where there is no result."""
        self.done += trial.to_run
        self._running.pop(trial.describe(), None)
        self._pending.pop(trial.describe(), None)
        if missing := outcome(entries):
            self.say(f"{trial.describe()}{missing}")
        self._progress.update(self._task, completed=self.done)
        self._show()

    def _show(self) -> None:
        self._progress.update(self._task, description=next(iter(self._running), "running"))

    def clock(self) -> str:
        """Return the time since the first trial could start and the time left; "" before the plan is made."""
        if not self._pending:
            return ""
        elapsed = time.monotonic() - self._start
        still = predicted_seconds([*self._pending.values()], self._workers)  # trials end in other threads
        left = remaining_seconds(elapsed, self.predicted_s, still)
        return f"{_whole(elapsed)}, ≈ {_whole(left)} left"


def _whole(seconds: float) -> str:
    """Return seconds without a fraction, and minutes or hours in two digits."""
    return duration(float(math.ceil(seconds)), 1 if seconds <= 119 else 2)


class _Clock(ProgressColumn):
    """The text of `read`, read again each second."""

    max_refresh = 1.0

    def __init__(self, read: Callable[[], str]) -> None:
        super().__init__()
        self._read = read

    def render(self, task: Task) -> Text:
        """Return the text."""
        return Text(self._read(), no_wrap=True)


def make_audience(console: Console) -> PlainAudience:
    """Return the live audience for a terminal, the plain one for anything else."""
    return LiveAudience(console) if console.is_interactive else PlainAudience(partial(_print, console))


def _print(console: Console, text: str) -> None:
    """Print one line at once."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.file.flush()


def against_plan(elapsed_s: float, trials_s: float, study: Study) -> str:
    """Return how long a run took against its plan, of whose trials `trials_s` seconds were left to run; "" where none.

    Start and page are part of both.
    """
    planned = RUN_START_S + trials_s + report_seconds(study)
    return f"time: {duration(elapsed_s, 2)}, planned {duration(planned, 2)}" if trials_s else ""


def remaining_seconds(elapsed_s: float, predicted_s: float, predicted_left_s: float) -> float:
    """Return the time left: the prediction for what is left, scaled by how wrong it has been so far.

    The scale starts at the prediction and follows the measured times as they come in, as if a tenth of the whole had
    already gone as predicted.
    """
    prior = 0.1 * predicted_s
    passed = predicted_s - predicted_left_s
    return predicted_left_s * (elapsed_s + prior) / (passed + prior) if passed + prior > 0 else 0.0
