"""Predicted seconds of trials: the formulas' seconds times what earlier trials have shown.

A correction is the median over earlier trials of measured / predicted seconds of a step, for an optimizer and a kind of
section. The formulas know nothing of caches, threads and small matrices. What a training takes beside its steps is
shared out among its evaluations, and is learned by problem and N.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.settling import TIMED_STEPS, is_short, settling_steps
from tngd_bench.optimizers import registry
from tngd_bench.studies.file.schema import CostSection
from tngd_bench.studies.store.environment import difference
from tngd_bench.studies.store.records import Records, read_records

RUN_START_S = 4.0
"""Until the first trial of a run: the workers load while this process loads, the report's modules too."""
TURN_START_S, INSPECTION_START_S = 0.03, 0.05
"""Of an optimizer in a trial, its model made and its code loaded; where operations and memory are watched."""
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
class DurationModel:
    """Predicts the seconds of trials; `corrections` by method and kind ("cost" or "training").

    `evaluations` are seconds of one evaluation by problem and N, as earlier trainings took them. `learned_from` are the
    stores that these come from, `left_out` those that say nothing of this machine, with the reason.
    """

    corrections: Mapping[tuple[str, str], Correction] = field(default_factory=dict)
    evaluations: Mapping[tuple[str, int], float] = field(default_factory=dict)
    learned_from: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def trials_behind(self, method: str, kind: str) -> int:
        """Return from how many trials a prediction is learned; 0 where it is the formula's alone."""
        correction = self.corrections.get((method, "cost" if kind == "inspection" else kind))
        return 0 if correction is None else correction.trials

    def timed(
        self, config: OptimizerConfig, seconds: float, section: CostSection, first_s: float, check_s: float
    ) -> float:
        """Return the seconds of one optimizer in a cost block, as `measure.cost` makes its steps.

        Predicted are a step (`seconds`), the first one on a few samples and the check of the curvature.
        """
        factor = self._factor(config.method, "cost")
        first, step = (factor * (one + STEP_OVERHEAD_S) * cycle_of(config) for one in (first_s, seconds))
        timed = min(
            section.repetitions, max(section.least_repetitions, math.ceil(section.seconds_limit / step))
        )
        untimed = is_short(first) + settling_steps(step) * math.ceil(timed / TIMED_STEPS)
        return TURN_START_S + factor * check_s + first + (timed + untimed) * step

    def inspected(self, config: OptimizerConfig, seconds: float) -> float:
        """Return the seconds of an inspection: what counts operations and watches memory, and two steps."""
        return INSPECTION_START_S + 2 * self._factor(config.method, "cost") * (seconds + STEP_OVERHEAD_S)

    def trained(
        self, config: OptimizerConfig, seconds: float, iterations: int, evaluations: int, evaluation_s: float
    ) -> float:
        """Return the seconds of a training run, an evaluation taking `evaluation_s`."""
        step = self._factor(config.method, "training") * (seconds + STEP_OVERHEAD_S)
        return TURN_START_S + iterations * step + evaluations * evaluation_s

    def evaluation(self, problem: str, parameters: int, seconds: float) -> float:
        """Return the seconds of one evaluation: as earlier trials took, else those of the model's passes, `seconds`."""
        return self.evaluations.get((problem, parameters), seconds + EVALUATION_S)

    def _factor(self, method: str, kind: str) -> float:
        correction = self.corrections.get((method, kind))
        return 1.0 if correction is None else correction.factor


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
