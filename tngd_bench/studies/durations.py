"""How long trials take: the formulas' seconds, corrected by what earlier trials have shown.

A correction is the median over earlier trials of measured / predicted seconds, for an optimizer and a kind of section:
in cost sections of one step, in training of the whole run without the process's start. The formulas count operations
and know nothing of caches, threads, small matrices, or of how long an evaluation takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tngd_bench.measure.contestant import Contestant

PROCESS_START_S = 0.4
STEP_OVERHEAD_S = 2e-3
EVALUATION_S = 0.05


@dataclass(frozen=True)
class Correction:
    """Measured over predicted seconds, the median over `trials` trials."""

    factor: float
    trials: int


@dataclass(frozen=True)
class Durations:
    """Predicts the seconds of trials; `corrections` by method and kind ("cost" or "training")."""

    corrections: Mapping[tuple[str, str], Correction] = field(default_factory=dict)

    def learned_from(self, method: str, kind: str) -> int:
        """Return from how many trials a prediction is learned; 0 where it is the formula's alone."""
        found = self.corrections.get((method, _learned_kind(kind)))
        return 0 if found is None else found.trials

    def timed(
        self, contestant: Contestant, seconds: float, repetitions: int, least: int, seconds_limit: float
    ) -> float:
        """Return the seconds of one optimizer in a cost block, whose step is predicted to take `seconds`.

        One step more than are timed: the warm-up of dense methods takes as long.
        """
        step = self._factor(contestant.method, "cost") * (seconds + STEP_OVERHEAD_S) * cycle_of(contestant)
        return step + max(min(least, repetitions) * step, min(repetitions * step, seconds_limit))

    def inspected(self, contestant: Contestant, seconds: float) -> float:
        """Return the seconds of an inspection: two steps."""
        return 2 * self._factor(contestant.method, "cost") * (seconds + STEP_OVERHEAD_S)

    def trained(self, contestant: Contestant, seconds: float, iterations: int, evaluations: int) -> float:
        """Return the seconds of a training run."""
        return self._factor(contestant.method, "training") * run_seconds(seconds, iterations, evaluations)

    def _factor(self, method: str, kind: str) -> float:
        found = self.corrections.get((method, kind))
        return 1.0 if found is None else found.factor


def run_seconds(seconds: float, iterations: float, evaluations: float) -> float:
    """Return the formula's seconds of a training run whose step is predicted to take `seconds`."""
    return iterations * (seconds + STEP_OVERHEAD_S) + evaluations * EVALUATION_S


def cycle_of(contestant: Contestant) -> int:
    """Return the steps that are timed as one: the refreshes of K-FAC come round once in so many."""
    intervals = [contestant.settings.get(name, 1) for name in ("factor_interval", "inverse_interval")]
    return max(interval for interval in intervals if isinstance(interval, int))


def _learned_kind(kind: str) -> str:
    return "cost" if kind == "inspection" else kind
