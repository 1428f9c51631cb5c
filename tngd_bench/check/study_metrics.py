"""A study's records as figures of merit that two stores can be compared by."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis.cost.reference import references
from tngd_bench.analysis.statistics.run_spread import run_spread_of
from tngd_bench.check.baseline import STUDY, Baseline
from tngd_bench.check.metrics import TIME, make_metric
from tngd_bench.check.regression import CheckedMetric
from tngd_bench.studies.store.columns import swept_levels
from tngd_bench.studies.store.records import Records

_CELL = ["group", "problem", "parameters", "batch_size", "outputs"]
_MODELLED = ("write_s", "relax_s", "read_s")


def study_baseline(records: Records) -> Baseline:
    """Return all metrics of a store, with the environment it was measured in.

    Per cell of a cost section: operations, modelled device seconds, solver iterations, and the step's time over SGD's
    in the same process and round. Per training run: the last training loss and the steps to half of the first. What
    times may differ by is what two runs of one study do, in 95 % of cases (`run_spread`), where that is more.
    """
    apart = math.expm1(1.96 * math.sqrt(2.0) * run_spread_of(records.environment).value)
    times = [
        dataclasses.replace(one, tolerance=max(one.tolerance, apart)) for one in _time_metrics(records.costs)
    ]
    metrics = [*_cost_metrics(records), *times, *_training_metrics(records)]
    environment = dict(records.environment)
    environment["threads"] = environment.get("threads_cost", environment.get("threads"))
    environment[STUDY] = str(records.study.get("name", ""))
    return Baseline({metric.name: metric for metric in metrics}, environment)


def _cost_metrics(records: Records) -> list[CheckedMetric]:
    trials = records.trials[(records.trials["kind"] == "cost") & (records.trials["status"] == "ok")]
    found = []
    for row in trials.drop_duplicates([*_CELL, "optimizer"]).to_dict("records"):
        for kind, column in (("operations", "flops"), ("solver iterations", "solver_iterations")):
            if not pd.isna(row[column]):
                found.append(make_metric(f"{kind}/{_where(row)}", [row[column]]))
    # a digital optimizer has no device to be modelled
    device = records.costs[records.costs["device"].notna()].dropna(subset=list(_MODELLED))
    for row in device.drop_duplicates([*_CELL, "optimizer"]).to_dict("records"):
        seconds = sum(float(row[name]) for name in _MODELLED)
        found.append(make_metric(f"modelled latency/{_where(row)}", [seconds]))
    return found


def _time_metrics(costs: pd.DataFrame) -> list[CheckedMetric]:
    paired = [*_CELL, "process", "repetition"]
    chosen = references(costs, _CELL)
    measured = costs[[*_CELL, "optimizer"]].itertuples(index=False, name=None)
    is_reference = np.array([chosen.get(row[:-1]) == row[-1] for row in measured], dtype=bool)
    reference = costs[is_reference].set_index(paired)["step_s"].rename("reference_s")
    if reference.empty:
        return []
    timed = costs[~is_reference].join(reference, on=paired, how="inner")
    found = []
    for _, rows in timed.groupby([*_CELL, "optimizer"], sort=False):
        name = f"{TIME}/{_where(rows.iloc[0].to_dict())}"
        step_s = rows["step_s"].fillna(rows["digital_s"])  # of a device that was not simulated, the host's
        found.append(make_metric(name, list(step_s / rows["reference_s"])))
    return found


def _training_metrics(records: Records) -> list[CheckedMetric]:
    trials = records.trials
    runs = trials[(trials["kind"] == "training") & trials["status"].isin(["ok", "diverged"])]
    runs = runs.assign(level=swept_levels(runs))
    curves = dict(list(records.curves.groupby("key", sort=False)))
    found = []
    for row in runs.to_dict("records"):
        curve = curves.get(row["key"])
        evaluated = None if curve is None else curve.dropna(subset=["train_loss"])
        if evaluated is None or evaluated.empty:
            continue
        level = f"/{row['level'].replace(' = ', '=')}" if row["level"] else ""
        where = f"{_where(row)}{level}/seed {row['seed']}"
        diverged = row["status"] == "diverged"
        loss = math.inf if diverged else float(evaluated["train_loss"].iloc[-1])
        found.append(make_metric(f"loss/{where}", [loss]))
        reached = evaluated[evaluated["train_loss"] <= evaluated["train_loss"].iloc[0] / 2]
        steps = float(reached["iteration"].iloc[0]) if len(reached) else math.inf
        found.append(make_metric(f"steps to half the loss/{where}", [steps]))
    return found


def _where(row: Mapping[Any, Any]) -> str:
    size = f"N={row['parameters']}, b={row['batch_size']}, d={row['outputs']}"
    return f"{row['group']}/{row['optimizer']}/{size}"
