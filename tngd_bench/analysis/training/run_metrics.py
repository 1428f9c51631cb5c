"""Values of training runs that claims compare: losses early, on average or last, accuracies, distances of two losses.

"The loss" of a run is the paper's: the mini-batch loss as a trailing moving average of 200 points, of an eighth of the
run where that is shorter. Parameters are those of a claim: `value` is "final_test_accuracy", "final_loss", "mean-loss"
(over the whole run), "early-loss" (when `share` of the shorter run's `clock`, an iteration or seconds, has passed) or
"reach-loss" (the `clock` when the loss is first `level` or less, ∞ where it never is).
"""

from __future__ import annotations

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
    until = _until(runs, curves, optimizers, parameters)
    clock = str(parameters.get("clock", c.ITERATION))
    level = float(parameters.get("level", math.nan))
    found = [_run_value(curves.get(row.key), until, kind, clock, level) for row in c.each(runs)]
    return runs.assign(value=pd.Series(found, index=runs.index, dtype=float))


def log_ratios(results: Results, first: str, second: str, parameters: Mapping[str, Any]) -> pd.Series:
    """Return the log ratio of the values of `first` and `second`, by seed that both finished."""
    table = values_of_runs(results, (first, second), parameters)
    wide = c.only(table, status="ok").pivot_table(
        index=c.SEED, columns=c.OPTIMIZER, values="value", aggfunc="first"
    )
    if not {first, second} <= set(wide.columns):
        return pd.Series(dtype=float)
    return (wide[first] / wide[second]).dropna().astype(float).map(np.log)


def distances(results: Results, first: str, second: str) -> pd.Series:
    """Return the mean over iterations of |log(first/second)| of the smoothed losses, by seed that both finished."""
    left, right = _smoothed_by_seed(results, first), _smoothed_by_seed(results, second)
    found = {
        seed: float((left[seed] / right[seed]).map(np.log).abs().mean()) for seed in left if seed in right
    }
    return pd.Series(found, dtype=float).sort_index()


def _smoothed_by_seed(results: Results, optimizer: str) -> dict[object, pd.Series]:
    runs = c.only(c.outside_sweeps(results.final), optimizer=optimizer, status="ok")
    own = results.curves[results.curves[c.KEY].isin(runs[c.KEY])]
    curves = dict(list(own.groupby(c.KEY, sort=False)))
    return {row.seed: _smooth(curves[row.key]) for row in c.each(runs) if row.key in curves}


def _until(
    runs: pd.DataFrame,
    curves: Mapping[str, pd.DataFrame],
    optimizers: Sequence[str],
    parameters: Mapping[str, Any],
) -> float:
    """Return the clock up to which runs are judged: a share of the shortest of the optimizers' median whole runs."""
    if parameters["value"] != "early-loss":
        return float("inf")
    clock = str(parameters.get("clock", c.ITERATION))
    ends = []
    for optimizer in optimizers:
        keys = runs.loc[(runs[c.OPTIMIZER] == optimizer) & (runs[c.STATUS] == "ok"), c.KEY]
        last = [float(curves[key][clock].iloc[-1]) for key in keys if key in curves]
        ends.append(float(np.median(last)) if last else float("inf"))
    return float(parameters["share"]) * min(ends)


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
    return pd.Series(
        moving_average(known[c.LOSS].to_numpy(float), window), index=known[c.ITERATION].to_numpy()
    )
