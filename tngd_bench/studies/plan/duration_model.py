"""Predicted seconds of trials: the formulas' seconds times what earlier trials have shown.

A correction is the median over earlier trials of measured / predicted seconds of a step, for an optimizer and a kind of
section. The formulas know nothing of caches, threads and small matrices. What a training takes beside its steps is
shared out among its evaluations, and is learned by problem and N. Of an optimizer in no earlier trial, steps that are
timed for the plan correct the formula (`probes`). Where it describes no cost, they are extrapolated to larger sizes,
or a lower bound there.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.settling import TIMED_STEPS, is_short, settling_steps
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.torch_class.entry import is_class_name
from tngd_bench.studies.file.schema import CostSection
from tngd_bench.studies.plan.probes import STEP_OVERHEAD_S, Step, TimedStep, grown, nearest, seconds_of_sample
from tngd_bench.studies.plan.step_bounds import Seen, Size, least_step
from tngd_bench.studies.store.environment import difference
from tngd_bench.studies.store.records import Records, read_records

TURN_START_S, INSPECTION_START_S = 0.03, 0.08
"""Of an optimizer in a trial, its model made and its code loaded; where operations and memory are watched."""
EVALUATION_S = 2e-3
"""Of an evaluation without samples."""
Basis = Literal["bound", "formula", "extrapolated", "timed", "trials"]
"""What a prediction comes from, the weakest first: the formula, alone or corrected by steps timed for the plan, or
earlier trials; where no cost is described, a lower bound, steps timed at smaller sizes, or at this one."""


@dataclass(frozen=True)
class Correction:
    """Measured over predicted seconds, the median over `trials` trials."""

    factor: float
    trials: int


@dataclass(frozen=True)
class _Known:
    """Knowledge of an optimizer: measured over predicted seconds, and the seconds to make it.

    `before_s`, those until its steps are timed, is known at the size of a probe alone; `repeated` and `described` are
    as of a probe.
    """

    factor: float = 1.0
    made_s: float = 0.0
    before_s: float | None = None
    repeated: float | None = None
    described: bool = True
    stopped: bool = False
    """Whether a step goes beyond the limit at which the run stops, or skips, what describes no cost."""

    def step(self, seconds: float) -> float:
        """Return the seconds of a step that takes `seconds` by formula."""
        return self.factor * (seconds + STEP_OVERHEAD_S)


@dataclass(frozen=True)
class DurationModel:
    """Predicts the seconds of trials; `corrections` by method and kind ("cost" or "training").

    `evaluations` are seconds of one evaluation by problem and N, as earlier trainings took them. `learned_from` are the
    stores that these come from, `left_out` those that say nothing of this machine, with the reason. `probes` are the
    steps timed for the plan. `step_limit`: seconds of an iteration beyond which an optimizer that describes no cost is
    not run.
    """

    corrections: Mapping[tuple[str, str], Correction] = field(default_factory=dict)
    evaluations: Mapping[tuple[str, int], float] = field(default_factory=dict)
    learned_from: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    probes: tuple[TimedStep, ...] = ()
    step_limit: float = math.inf

    def trials_behind(self, method: str, kind: str) -> int:
        """Return from how many trials a prediction is learned; 0 where none is."""
        correction = self.corrections.get((method, "cost" if kind == "inspection" else kind))
        return 0 if correction is None else correction.trials

    def timed(
        self,
        config: OptimizerConfig,
        instance: ProblemInstance,
        seconds: float,
        section: CostSection,
        first_s: float,
        check_s: float,
    ) -> float:
        """Return the seconds of one optimizer in a cost block, as `measure.cost` makes its steps.

        Predicted by formula are a step (`seconds`), the first one on a few samples and the check of the curvature.
        """
        found = self._known(config, instance, "cost", seconds)
        if found.stopped:
            return 0.0
        cycle = cycle_of(config)
        step = (found.repeated or cycle) * found.step(seconds)
        # of what describes no cost nobody knows how a step depends on the samples
        first = cycle * found.step(first_s if found.described else seconds)
        wanted = section.seconds_limit / step if step else math.inf
        timed = math.ceil(min(section.repetitions, max(section.least_repetitions, wanted)))
        untimed = settling_steps(step) * math.ceil(timed / TIMED_STEPS)
        before = found.before_s
        if before is None:
            before = TURN_START_S + found.made_s + found.factor * check_s + first + is_short(first) * step
        return before + (timed + untimed) * step

    def inspected(self, config: OptimizerConfig, instance: ProblemInstance, seconds: float) -> float:
        """Return the seconds of an inspection: what counts operations and watches memory, and two steps of `seconds`.

        Of an optimizer named by its class two first steps and two cycles.
        """
        found = self._known(config, instance, "cost", seconds)
        if found.stopped:
            return 0.0
        steps = 1 + cycle_of(config) if is_class_name(config.method) else 1
        return INSPECTION_START_S + found.made_s + 2 * steps * found.step(seconds)

    def trained(
        self,
        config: OptimizerConfig,
        instance: ProblemInstance,
        seconds: float,
        iterations: int,
        evaluations: int,
        evaluation_s: float,
    ) -> float:
        """Return the seconds of a training run; by formula a step takes `seconds`, an evaluation `evaluation_s`."""
        found = self._known(config, instance, "training", seconds)
        if found.stopped:
            return 0.0
        before = TURN_START_S + found.made_s
        return before + iterations * found.step(seconds) + evaluations * evaluation_s

    def evaluation(
        self, instance: ProblemInstance, parameters: int, samples: int, by_formula: Callable[[], float]
    ) -> float:
        """Return the seconds of one evaluation of `samples`: as earlier trials took, as timed for the plan, else by
        the formula of the model's passes."""
        learned = self.evaluations.get((instance.problem, parameters))
        if learned is not None:
            return learned
        timed = seconds_of_sample(self.probes, instance)
        return EVALUATION_S + (by_formula() if timed is None else samples * timed)

    def _known(self, config: OptimizerConfig, instance: ProblemInstance, kind: str, seconds: float) -> _Known:
        """Return the known times of an optimizer: learned from trials, else timed at this size or the nearest."""
        correction = self.corrections.get((config.method, kind))
        if correction is not None:
            return _Known(correction.factor)
        step = Step.of(config, instance, kind)
        probe = nearest(self.probes, step, seconds)
        if probe is None:
            return _Known()
        here, factor = probe.step.key == step.key, probe.factor
        if not probe.described:
            taken = probe.measured_s if here else max(self._least(step), self._extrapolated(step) or 0.0)
            if taken > self.step_limit:
                return _Known(stopped=True)
            factor = (taken if here else max(taken, seconds)) / (seconds + STEP_OVERHEAD_S)
        before_s = probe.before_s if here else None
        # a cycle that a probe found too long is too long wherever steps take as long or longer
        like = cycle_of(probe.step.config) == cycle_of(config) and (here or seconds >= probe.predicted_s)
        return _Known(factor, probe.made_s, before_s, probe.repeated if like else None, probe.described)

    def _least(self, step: Step) -> float:
        """Return the seconds of a step at least, by those of the optimizer at smaller sizes."""
        exact = {size: [Seen(s, True) for s in seconds] for size, seconds in self._seen(step).items()}
        return least_step(exact, _size(step))[0]

    def _seen(self, step: Step) -> dict[Size, list[float]]:
        """Return the seconds timed of the optimizer at each size, with whatever swept settings."""
        found: dict[Size, list[float]] = {}
        for probe in self.probes:
            if probe.step.is_like(step):
                found.setdefault(_size(probe.step), []).append(probe.measured_s)
        return found

    def _extrapolated(self, step: Step) -> float | None:
        """Return the seconds of a step by those of the optimizer at smaller N and the same b and d_z."""
        n, *others = _size(step)
        middle = {size: statistics.median(seconds) for size, seconds in self._seen(step).items()}
        smaller = {at: s for (at, *rest), s in middle.items() if rest == others and at < n and s > 0.0}
        return grown(smaller, n)

    def step_seconds(
        self, config: OptimizerConfig, instance: ProblemInstance, kind: str, seconds: float
    ) -> float:
        """Return the seconds of a step that takes `seconds` by formula, in a trial of a `kind`."""
        found = self._known(config, instance, kind, seconds)
        return math.inf if found.stopped else found.step(seconds)

    def basis(
        self, config: OptimizerConfig, instance: ProblemInstance, kind: str, *, described: bool
    ) -> Basis:
        """Return what the prediction for an optimizer in a trial of a `kind` comes from.

        `described`: whether its cost is predicted at this size; else its formula is a gradient's.
        """
        kind = "cost" if kind == "inspection" else kind
        step = Step.of(config, instance, kind)
        alike = nearest(self.probes, step, 1.0)
        if self.trials_behind(config.method, kind):
            return "trials" if described else "bound"
        if alike is None:
            return "formula" if described else "bound"
        if alike.described:
            return "timed"
        if self._known(config, instance, kind, 1.0).stopped:
            return "bound"
        if alike.step.key == step.key:
            return "timed"
        return "bound" if self._extrapolated(step) is None else "extrapolated"


def _size(step: Step) -> Size:
    return step.instance.parameters, step.instance.batch_size, step.instance.outputs


def cycle_of(config: OptimizerConfig) -> int:
    """Return the steps that are timed as one: the refreshes of K-FAC come round once in so many."""
    entry = registry.get(config.method)
    return entry.cycle({**entry.defaults, **config.settings})


def learn_from(places: Iterable[Path], environment: Mapping[str, Any]) -> DurationModel:
    """Return the model that the stores in `places` give for a machine and settings described by `environment`.

    A store measured with another processor, torch, thread count or dtype is left out. Raises StoreError where there is
    no store.
    """
    used: dict[str, Records] = {}
    left_out = {}
    for place in map(Path, places):
        records = read_records(place)
        differing = difference(records.environment, environment)
        if differing is None:
            used[str(place)] = records
        else:
            name, there, here = differing
            left_out[str(place)] = f"measured with {name} = {there!r}, and here it is {here!r}"
    if not used:
        return DurationModel(left_out=left_out)
    corrections = corrections_of(pd.concat([ratios_of(records) for records in used.values()]))
    evaluations = pd.concat([evaluations_of(records) for records in used.values()]).dropna()
    by_size: Mapping[Any, float] = (
        evaluations.groupby(["problem", "parameters"])["seconds"].median().to_dict()
    )
    return DurationModel(corrections, by_size, tuple(used), left_out)


def corrections_of(ratios: pd.DataFrame) -> dict[tuple[str, str], Correction]:
    """Return the median ratio by method and kind."""
    return {
        (str(method), str(kind)): Correction(float(part.median()), len(part))
        for (method, kind), part in ratios.groupby(["method", "kind"])["ratio"]
    }


def ratios_of(records: Records) -> pd.DataFrame:
    """Return `method`, `kind` and `ratio` (measured / predicted seconds of a step) of every finished trial."""
    trials = records.trials[records.trials["status"] == "ok"]
    costs = records.costs
    simulated = costs["step_s"] != costs["digital_s"]  # the host's part is then timed apart, after the step
    spent = costs["step_s"].fillna(0.0) + costs["digital_s"].where(simulated, 0.0)
    measured = spent.groupby(costs["key"]).median().rename("measured")
    cost = trials[trials["kind"] == "cost"].join(measured, on="key")
    cost = cost.assign(ratio=cost["measured"] / (cost["estimate_seconds"] + STEP_OVERHEAD_S))
    training = _runs(records)
    predicted = training["steps"] * (training["estimate_seconds"] + STEP_OVERHEAD_S)
    training = training.assign(ratio=training["measured_s"] / predicted)
    both = pd.concat([cost[["method", "kind", "ratio"]], training[["method", "kind", "ratio"]]])
    return both[both["ratio"] > 0]


def evaluations_of(records: Records) -> pd.DataFrame:
    """Return `problem`, `parameters` and `seconds`: what each training took beside its steps, per evaluation."""
    runs = _runs(records)
    seconds = (runs["elapsed_s"] - runs["measured_s"]) / runs["evaluations"]
    return runs.assign(seconds=seconds)[["problem", "parameters", "seconds"]]


def _runs(records: Records) -> pd.DataFrame:
    """Return the finished trainings with their `steps`, `evaluations` and the `measured_s` of all steps."""
    trials = records.trials[(records.trials["status"] == "ok") & (records.trials["kind"] == "training")]
    runs = records.curves.groupby("key").agg(
        steps=("iteration", "max"), evaluations=("train_loss", "count"), measured_s=("measured_s", "max")
    )
    return trials.join(runs, on="key")
