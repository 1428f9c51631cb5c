"""What the trials of earlier stores teach about predicted times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tngd_bench.studies.plan.durations import STEP_OVERHEAD_S, Correction, Durations, steps_seconds
from tngd_bench.studies.run.machine import difference
from tngd_bench.studies.store.records import Records, read_records


@dataclass(frozen=True)
class Lesson:
    """Corrections by method and kind of section, the folders they come from, and those left out with the reason.

    `evaluations` are seconds by problem and N.
    """

    corrections: Mapping[tuple[str, str], Correction] = field(default_factory=dict)
    used: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    evaluations: Mapping[tuple[str, int], float] = field(default_factory=dict)

    @property
    def durations(self) -> Durations:
        """What predicts the seconds of trials with these corrections."""
        return Durations(self.corrections, self.evaluations)


def learn_from(places: Iterable[Path], environment: Mapping[str, Any]) -> Lesson:
    """Return what the stores in `places` teach about a machine and settings described by `environment`.

    A store measured with another processor, torch, thread count or dtype is left out. Raises StoreError where there is
    no store.
    """
    used, left_out, ratios, evaluated = [], {}, [], []
    for place in places:
        records = read_records(place)
        differing = difference(records.environment, environment)
        if differing is not None:
            name, held, here = differing
            left_out[str(place)] = f"measured with {name} = {held!r}, and here it is {here!r}"
            continue
        used.append(str(place))
        ratios.append(ratios_of(records))
        evaluated.append(evaluations_of(records))
    if not used:
        return Lesson(left_out=left_out)
    evaluations = {
        (str(problem), int(str(parameters))): float(part.median())
        for (problem, parameters), part in pd.concat(evaluated).groupby(["problem", "parameters"])["seconds"]
    }
    return Lesson(corrections_of(pd.concat(ratios)), tuple(used), left_out, evaluations)


def corrections_of(ratios: pd.DataFrame) -> dict[tuple[str, str], Correction]:
    """Return the median ratio by method and kind."""
    return {
        (str(method), str(kind)): Correction(float(part.median()), len(part))
        for (method, kind), part in ratios.groupby(["method", "kind"])["ratio"]
    }


def ratios_of(records: Records) -> pd.DataFrame:
    """Return `method`, `kind` and `ratio` (measured / predicted seconds) of every finished trial; see `durations`."""
    trials = records.trials[records.trials["status"] == "ok"]
    costs = records.costs
    simulated = costs["step_s"] != costs["digital_s"]  # the host's part is then timed apart, after the step
    spent = costs["step_s"].fillna(0.0) + costs["digital_s"].where(simulated, 0.0)
    measured = spent.groupby(costs["key"]).median().rename("measured")
    cost = trials[trials["kind"] == "cost"].join(measured, on="key")
    cost = cost.assign(ratio=cost["measured"] / (cost["estimate_seconds"] + STEP_OVERHEAD_S))
    training = _runs(records)
    predicted = [
        steps_seconds(seconds, steps)
        for seconds, steps in training[["estimate_seconds", "steps"]].itertuples(index=False)
    ]
    training = training.assign(
        ratio=training["measured_s"] / pd.Series(predicted, training.index, dtype=float)
    )
    both = pd.concat([cost[["method", "kind", "ratio"]], training[["method", "kind", "ratio"]]])
    return both[both["ratio"] > 0]


def evaluations_of(records: Records) -> pd.DataFrame:
    """Return `problem`, `parameters` and `seconds`: what each training took beside its steps, per evaluation."""
    runs = _runs(records)
    return runs.assign(seconds=(runs["elapsed_s"] - runs["measured_s"]) / runs["evaluations"])[
        ["problem", "parameters", "seconds"]
    ]


def _runs(records: Records) -> pd.DataFrame:
    """Return the finished trainings with their `steps`, `evaluations` and the `measured_s` of all steps."""
    trials = records.trials[(records.trials["status"] == "ok") & (records.trials["kind"] == "training")]
    by_run = records.curves.groupby("key")
    runs = pd.DataFrame(
        {
            "steps": by_run["iteration"].max(),
            "evaluations": by_run["train_loss"].count(),
            "measured_s": by_run["measured_s"].max(),
        }
    )
    return trials.join(runs, on="key")
