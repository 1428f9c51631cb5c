"""Values of training runs that claims compare: losses early, on average or last, accuracies, distances of two losses.

"The loss" of a run is the smoothed one of `loss_curves`. Parameters are those of a claim: `value` is
"final_test_accuracy", "final_loss", "mean-loss" (over the whole run), "early-loss" (when `share` of the shorter run's
`clock`, an iteration or seconds, has passed) or "reach-loss" (the `clock` when the loss is first `level` or less, ∞
where it never is).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.loss_curves import LossCurve
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import LOSS, Metric
from tngd_bench.studies.store import columns as c


def metric_of(parameters: Mapping[str, Any]) -> Metric:
    """Return the metric that the value is one of."""
    value = str(parameters["value"])
    return registered_metrics.of_final(value).metric if value.startswith("final_") else LOSS


def values_of_runs(
    results: Results, optimizers: Sequence[str], parameters: Mapping[str, Any]
) -> pd.DataFrame:
    """Return optimizer, seed, status and `value` of the runs of `optimizers` outside sweeps (NaN: none)."""
    final = c.outside_sweeps(results.final)
    runs = final[final[c.OPTIMIZER].isin(optimizers)]
    kind = str(parameters["value"])
    if kind.startswith("final_"):
        return runs.assign(value=runs[kind].astype(float))
    curves = {key: results.losses.of(key) for key in runs[c.KEY]}
    clock = str(parameters.get("clock", c.ITERATION))
    until = float(parameters["share"]) * _until(runs, curves, clock) if kind == "early-loss" else math.inf
    level = float(parameters.get("level", math.nan))
    found = [_run_value(curves[key], until, kind, clock, level) for key in runs[c.KEY]]
    return runs.assign(value=pd.Series(found, index=runs.index, dtype=float))


def log_ratios(results: Results, first: str, second: str, parameters: Mapping[str, Any]) -> pd.Series:
    """Return the log ratio of the values of `first` and `second`, by seed that both finished."""
    ended = c.only(values_of_runs(results, (first, second), parameters), status="ok")
    values = [c.only(ended, optimizer=name).groupby(c.SEED)["value"].first() for name in (first, second)]
    return (values[0] / values[1]).dropna().astype(float).map(np.log)


def distances(results: Results, first: str, second: str) -> pd.Series:
    """Return the mean over iterations of |log(first/second)| of the smoothed losses, by seed that both finished.

    Infinite where one of them diverged and the other finished.
    """
    left, right = _finished_by_seed(results, first), _finished_by_seed(results, second)
    apart = {seed: _distance(left[seed], right[seed]) for seed in left.keys() & right.keys()}
    for finished, other in ((left, second), (right, first)):
        lost = c.only(c.outside_sweeps(results.final), optimizer=other, status="diverged")[c.SEED]
        apart |= dict.fromkeys(finished.keys() & set(lost), math.inf)
    return pd.Series(dict(sorted(apart.items())), dtype=float)


def _finished_by_seed(results: Results, optimizer: str) -> dict[Any, LossCurve]:
    runs = c.only(c.outside_sweeps(results.final), optimizer=optimizer, status="ok")
    return {row.seed: curve for row in c.each(runs) if (curve := results.losses.of(row.key)) is not None}


def _distance(first: LossCurve, second: LossCurve) -> float:
    """Return the mean of |log(first/second)| over the iterations that both have."""
    iterations = first.passed(c.ITERATION), second.passed(c.ITERATION)
    _, left, right = np.intersect1d(*iterations, assume_unique=True, return_indices=True)
    return float(pd.Series(np.log(first.loss[left] / second.loss[right])).abs().mean())


def _until(runs: pd.DataFrame, curves: Mapping[str, LossCurve | None], clock: str) -> float:
    """Return the clock at the end of the optimizer whose finished runs are the shortest, in their median."""
    finished = c.only(runs, status="ok")
    ends = finished[c.KEY].map({key: run.clocks[clock][-1] for key, run in curves.items() if run is not None})
    shortest = ends.astype(float).groupby(finished[c.OPTIMIZER]).median().min()
    return float("inf") if np.isnan(shortest) else float(shortest)


def _run_value(curve: LossCurve | None, until: float, kind: str, clock: str, level: float) -> float:
    if curve is None:
        return math.nan
    passed = curve.passed(clock)
    if kind == "reach-loss":
        met = pd.Series(passed[curve.loss <= level])
        return float(met.min() if len(met) else pd.Series(passed).max() + math.inf)
    reached = curve.loss[passed <= until]
    if not len(reached):
        return math.nan
    return float(reached.mean() if kind == "mean-loss" else reached[-1])
