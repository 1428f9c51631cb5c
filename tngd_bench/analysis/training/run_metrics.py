"""Values of training runs that claims compare: losses early, on average or last, accuracies, distances of two losses.

"The loss" of a run is the paper's: the mini-batch loss as a trailing moving average of 200 points, of an eighth of the
run where that is shorter. Parameters are those of a claim: `value` is "final_test_accuracy", "final_loss", "mean-loss"
(over the whole run), "early-loss" (when `share` of the shorter run's `clock`, an iteration or seconds, has passed) or
"reach-loss" (the `clock` when the loss is first `level` or less, ∞ where it never is).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.convergence import PAPER_WINDOW, moving_average
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import LOSS, Metric
from tngd_bench.studies.store import columns as c

_SHORTEST_SHARE = 8


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
    own = results.curves[results.curves[c.KEY].isin(runs[c.KEY])]
    curves = {str(key): run.sort_values(c.ITERATION) for key, run in own.groupby(c.KEY, sort=False)}
    clock = str(parameters.get("clock", c.ITERATION))
    until = float(parameters["share"]) * _until(runs, curves, clock) if kind == "early-loss" else math.inf
    level = float(parameters.get("level", math.nan))
    found = [_run_value(curves.get(row.key), until, kind, clock, level) for row in c.each(runs)]
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
    left, right = _smoothed_by_seed(results, first), _smoothed_by_seed(results, second)
    both = left.keys() & right.keys()
    apart = {seed: float((left[seed] / right[seed]).map(np.log).abs().mean()) for seed in both}
    for finished, other in ((left, second), (right, first)):
        lost = c.only(c.outside_sweeps(results.final), optimizer=other, status="diverged")[c.SEED]
        apart |= dict.fromkeys(finished.keys() & set(lost), math.inf)
    return pd.Series(dict(sorted(apart.items())), dtype=float)


def _smoothed_by_seed(results: Results, optimizer: str) -> dict[Any, pd.Series]:
    runs = c.only(c.outside_sweeps(results.final), optimizer=optimizer, status="ok")
    own = results.curves[results.curves[c.KEY].isin(runs[c.KEY])]
    curves = dict(list(own.groupby(c.KEY, sort=False)))
    return {row.seed: _smooth(curves[row.key]) for row in c.each(runs) if row.key in curves}


def _until(runs: pd.DataFrame, curves: Mapping[str, pd.DataFrame], clock: str) -> float:
    """Return the clock at the end of the optimizer whose finished runs are the shortest, in their median."""
    finished = c.only(runs, status="ok")
    ends = finished[c.KEY].map({key: float(run[clock].iloc[-1]) for key, run in curves.items()})
    shortest = ends.astype(float).groupby(finished[c.OPTIMIZER]).median().min()
    return float("inf") if np.isnan(shortest) else float(shortest)


def _run_value(curve: pd.DataFrame | None, until: float, kind: str, clock: str, level: float) -> float:
    if curve is None:
        return math.nan
    smooth = _smooth(curve)
    passed = pd.Series(curve[clock].to_numpy(float), index=curve[c.ITERATION].to_numpy())
    if kind == "reach-loss":
        when = passed.reindex(smooth.index)
        return float(when[smooth <= level].min() if (smooth <= level).any() else when.max() + math.inf)
    reached = smooth[passed.reindex(smooth.index) <= until]
    if reached.empty:
        return float("nan")
    return float(reached.mean()) if kind == "mean-loss" else float(reached.iloc[-1])


def _smooth(curve: pd.DataFrame) -> pd.Series:
    """Return the moving average of the mini-batch loss by iteration; the window is in the module's description."""
    known = curve[np.isfinite(curve[c.LOSS].astype(float))].sort_values(c.ITERATION)
    window = max(1, min(PAPER_WINDOW, len(known) // _SHORTEST_SHARE))
    return pd.Series(moving_average(known[c.LOSS].to_numpy(float), window), known[c.ITERATION].to_numpy())
