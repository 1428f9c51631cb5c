"""How long trials take: the formulas' seconds, corrected by what earlier trials have shown.

A correction is the median over earlier trials of measured / predicted seconds of a step, for an optimizer and a kind of
section. The formulas know nothing of caches, threads and small matrices. What a training takes beside its steps is
shared out among its evaluations, and is learned by problem and N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tngd_bench.measure.optimizer_config import OptimizerConfig

RUN_START_S, PROCESS_START_S = 5.0, 0.4
"""Until the first trial of a run, and of each process."""
STEP_OVERHEAD_S = 2e-4
"""Of the harness: drawing a batch, reading the clock, noting the point."""
EVALUATION_S = 2e-3
"""Of an evaluation without samples."""


@dataclass(frozen=True)
class Correction:
    """Measured over predicted seconds, the median over `trials` trials."""

    factor: float
    trials: int


@dataclass(frozen=True)
class Durations:
    """Predicts the seconds of trials; `corrections` by method and kind ("cost" or "training").

    `evaluations` are seconds of one evaluation by problem and N, as earlier trainings took them.
    """

    corrections: Mapping[tuple[str, str], Correction] = field(default_factory=dict)
    evaluations: Mapping[tuple[str, int], float] = field(default_factory=dict)

    def learned_from(self, method: str, kind: str) -> int:
        """Return from how many trials a prediction is learned; 0 where it is the formula's alone."""
        found = self.corrections.get((method, _learned_kind(kind)))
        return 0 if found is None else found.trials

    def timed(
        self, config: OptimizerConfig, seconds: float, repetitions: int, least: int, seconds_limit: float
    ) -> float:
        """Return the seconds of one optimizer in a cost block, whose step is predicted to take `seconds`.

        One step more than are timed: the warm-up of dense methods takes as long.
        """
        step = self._factor(config.method, "cost") * (seconds + STEP_OVERHEAD_S) * cycle_of(config)
        return step + max(min(least, repetitions) * step, min(repetitions * step, seconds_limit))

    def inspected(self, config: OptimizerConfig, seconds: float) -> float:
        """Return the seconds of an inspection: a check of the curvature and two steps."""
        return 3 * self._factor(config.method, "cost") * (seconds + STEP_OVERHEAD_S)

    def trained(
        self, config: OptimizerConfig, seconds: float, iterations: int, evaluations: int, evaluation_s: float
    ) -> float:
        """Return the seconds of a training run, an evaluation taking `evaluation_s`."""
        steps = self._factor(config.method, "training") * steps_seconds(seconds, iterations)
        return steps + evaluations * evaluation_s

    def evaluation(self, problem: str, parameters: int, seconds: float) -> float:
        """Return the seconds of one evaluation: as earlier trials took, else those of the model's passes, `seconds`."""
        return self.evaluations.get((problem, parameters), seconds + EVALUATION_S)

    def _factor(self, method: str, kind: str) -> float:
        found = self.corrections.get((method, kind))
        return 1.0 if found is None else found.factor


def steps_seconds(seconds: float, iterations: float) -> float:
    """Return the formula's seconds of the steps of a training run whose step is predicted to take `seconds`."""
    return iterations * (seconds + STEP_OVERHEAD_S)


def cycle_of(config: OptimizerConfig) -> int:
    """Return the steps that are timed as one: the refreshes of K-FAC come round once in so many."""
    intervals = [config.settings.get(name, 1) for name in ("factor_interval", "inverse_interval")]
    return max(interval for interval in intervals if isinstance(interval, int))


def _learned_kind(kind: str) -> str:
    return "cost" if kind == "inspection" else kind
