"""Steps that a plan has timed, of the optimizers that take most of a study and of those that describe no cost.

What nothing tells is where a formula errs: caches, the dimension of Krylov spaces, outside classes. A step measured is
held against the formula at its size; the factor then holds for the optimizer at the sizes near it.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.studies.plan.trials import InspectionTrial, Trial

STEP_OVERHEAD_S = 2e-4
"""Of the harness: drawing a batch, reading the clock, noting the point."""
FEWEST_SIZES, SPAN, FAR = 3, 10, 100
"""Timed sizes that an extrapolation needs; the largest of them over the smallest, at least, and the size asked for over
the largest, at most; the latter where seconds have doubled."""


@dataclass(frozen=True)
class Step:
    """An optimizer's step at one size; `simulating`: with its device simulated, as trainings have it."""

    config: OptimizerConfig
    instance: ProblemInstance
    simulating: bool

    @classmethod
    def of(cls, config: OptimizerConfig, instance: ProblemInstance, kind: str) -> Self:
        """Return the step in a trial of a `kind`; digital optimizers make the same in all."""
        return cls(config, replace(instance, seed_parts=()), kind == "training" and config.simulated)

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Key for look-up: all that the duration depends on."""
        settings = json.dumps(dict(self.config.settings), sort_keys=True, default=str)
        return self.config.method, settings, self.instance, self.simulating

    def is_like(self, other: Self) -> bool:
        """Whether both are of one optimizer on one problem, at whatever sizes and swept settings."""
        return (self.config.label, self.instance.problem, self.simulating) == (
            other.config.label,
            other.instance.problem,
            other.simulating,
        )


@dataclass(frozen=True)
class TimedStep:
    """A timed `step`: seconds predicted of it and measured, and those before it.

    `made_s`: until model and optimizer are made, with code that is loaded for it. `before_s`: until steps are timed.
    `described`: whether the optimizer has a cost that was predicted; else it is a gradient's. `sample_s`: seconds of an
    evaluation for each sample, where that was timed too. `repeated` as of `measure.cost.ProbedStep`.
    """

    step: Step
    predicted_s: float
    made_s: float
    before_s: float
    measured_s: float
    described: bool = True
    sample_s: float | None = None
    repeated: float | None = None

    @property
    def factor(self) -> float:
        """Measured over predicted seconds."""
        return self.measured_s / (self.predicted_s + STEP_OVERHEAD_S)


def seconds_of_sample(probes: Iterable[TimedStep], instance: ProblemInstance) -> float | None:
    """Return the seconds that an evaluation of a model takes for each sample; None where that was not timed."""

    def model(one: ProblemInstance) -> ProblemInstance:
        return replace(one, seed_parts=(), batch_size=1)

    timed = (
        one for one in probes if one.sample_s is not None and model(one.step.instance) == model(instance)
    )
    return next((one.sample_s for one in timed), None)


def nearest(probes: Sequence[TimedStep], step: Step, predicted_s: float) -> TimedStep | None:
    """Return the probe of `step`, else that of the same optimizer with the nearest prediction; None without any."""
    alike = [probe for probe in probes if probe.step.is_like(step)]
    return min(
        alike,
        key=lambda probe: (probe.step.key != step.key, abs(math.log(probe.predicted_s / predicted_s))),
        default=None,
    )


def grown(seen: Mapping[int, float], parameters: int) -> float | None:
    """Return the seconds of a step with so many `parameters`, extrapolated from those `seen` at smaller sizes.

    A step takes a + b N + c N^1.5: its calls, its work on each parameter, and products and inverses of matrices, whose
    order grows as √N with the widths of a network. No term is negative; the fit is of least squares of relative errors.
    None where that would make seconds of noise: without three sizes of which the largest is ten times the smallest, and
    beyond ten times the largest, or a hundred times where the seconds have doubled.
    """
    if len(seen) < FEWEST_SIZES or max(seen) < SPAN * min(seen):
        return None
    if parameters > (FAR if max(seen.values()) > 2.0 * min(seen.values()) else SPAN) * max(seen):
        return None
    from scipy.optimize import nnls  # a run, which extrapolates nothing, would wait for it

    sizes, seconds = np.array(list(seen), float) / parameters, np.array(list(seen.values()))
    terms = np.stack([np.ones_like(sizes), sizes, sizes**1.5], axis=1)
    found, _ = nnls(terms / seconds[:, None], np.ones(len(seen)))
    return float(found.sum())  # at the size asked for each term is 1


def worth_timing(trials: Iterable[Trial], learned: Callable[[str, str], int]) -> list[Trial]:
    """Return a trial of one optimizer for each distinct step; those that take most of the plan come first.

    Left out is what is `learned`, by method and kind of trial. Before all others is what has no predicted cost: first
    each optimizer on each problem at its smallest size, then the next sizes, which tell how its seconds grow.
    """
    spent: dict[tuple[object, ...], float] = defaultdict(float)
    found: dict[tuple[object, ...], Trial] = {}
    for trial in trials:
        for candidate in () if isinstance(trial, InspectionTrial) else trial.candidates:
            if candidate.skip is None and not learned(candidate.config.method, trial.kind):
                key = Step.of(candidate.config, trial.setting, trial.kind).key
                found.setdefault(key, replace(trial, candidates=(candidate,)))
                spent[key] += candidate.predicted_s

    def place(trial: Trial) -> tuple[str, str]:
        return trial.setting.problem, trial.candidate.config.label

    def size(trial: Trial) -> tuple[int, int, int]:
        return trial.parameters, trial.setting.batch_size, trial.setting.outputs

    smallest: dict[tuple[str, str], tuple[int, int, int]] = {}
    for trial in found.values():
        smallest[place(trial)] = min(smallest.get(place(trial), size(trial)), size(trial))

    def rank(key: tuple[object, ...]) -> tuple[bool, bool, float]:
        trial = found[key]
        if trial.candidate.known:
            return True, False, -spent[key]
        return False, size(trial) != smallest[place(trial)], trial.candidate.least_seconds

    return [found[key] for key in sorted(found, key=rank)]
