"""Progress of a running study: a live line with the time left on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from tngd_bench.analysis.quantities import seconds as duration
from tngd_bench.studies.plan.make_plan import Plan
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
        self._progress.update(self._task, total=self.total, completed=self.done, description="running")

    def started(self, trial: Trial) -> None:
        """Show the trial as running."""
        super().started(trial)
        self._show()

    def finished(self, trial: Trial, entries: Sequence[dict[str, Any]]) -> None:
        """Move the bar; print a line where there is no result."""
        self._end(trial)
        if missing := outcome(entries):
            self.say(f"{trial.describe()}{missing}")
        self._progress.update(self._task, completed=self.done)
        self._show()

    def _show(self) -> None:
        self._progress.update(self._task, description=next(iter(self._began), "running"))


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


def against_plan(elapsed_s: float, planned_s: float) -> str:
    """Return how long a run took against its plan; "" where that had nothing to run. Both hold start and page."""
    planned = f"planned {duration(planned_s, 2)} by formula"
    return f"time: {duration(elapsed_s, 2)}, {planned}" if planned_s else ""
