"""Bands over seeds on both axes: quantiles of a metric at fixed iteration or time, and of time at a fixed metric.

A band of values is over finished trials only; how many there are stands in `seeds` beside every point. At fixed time a
trial's value is its last evaluation up to then, so nothing is interpolated and nothing read from the future. A
band of times counts every trial that was tried: one that never gets there is censored, ∞.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array
from tngd_bench.problems import registered_metrics
from tngd_bench.studies.store import columns as c

LOW, HIGH = 0.25, 0.75
_TIME_POINTS = 60
PAPER_WINDOW = 200  # points in the paper's moving average
_QUARTILES = ["low", "median", "high"]
LEVEL_COLUMNS = [c.GROUP, c.OPTIMIZER, "level", *_QUARTILES, "hits", "seeds"]
SMOOTHED_COLUMNS = [c.GROUP, c.OPTIMIZER, c.ITERATION, c.MEASURED_S, c.MODELLED_S, "mean", "std"]
SMOOTHED_COLUMNS += [*_QUARTILES, "seeds"]
BAND_COLUMNS = [c.GROUP, c.OPTIMIZER, "x", *_QUARTILES, "seeds"]


def finished_curves(curves: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of training trials with status "ok" outside sweeps."""
    plain = c.outside_sweeps(c.only(trials, kind="training", status="ok"))
    return curves[curves[c.KEY].isin(plain[c.KEY])]


def bands_at_iteration(curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the quartiles of `metric` over seeds per group, optimizer and iteration `x`.

    Only iterations at which every seed of that optimizer was evaluated, so that a band never changes its members.
    """

    def band(part: pd.DataFrame) -> pd.DataFrame:
        table = part.pivot_table(index=c.ITERATION, columns=c.KEY, values=metric, aggfunc="last").dropna()
        return _quartiles(table.to_numpy(float), x=table.index.to_numpy(float))

    return _bands(curves, [metric], BAND_COLUMNS, band)


def bands_at_time(curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the quartiles of `metric` over seeds per group, optimizer and time `x` in seconds.

    Time is `modelled_s`, the clock of `one_clock`. The times run geometrically from the first moment at which every
    seed has been evaluated after its first update to the last that every seed reached; where some seed had ended by
    that first moment, as in runs evaluated once, it is the only one.
    """

    def band(part: pd.DataFrame) -> pd.DataFrame:
        runs = [run.sort_values(c.ITERATION) for _, run in part.groupby(c.KEY, sort=True)]
        times = [run[c.MODELLED_S].to_numpy(float) for run in runs]
        later = [clocked[clocked > 0] for clocked in times]
        if any(len(clocked) == 0 for clocked in later):
            return pd.DataFrame()
        first = max(float(clocked[0]) for clocked in later)
        last = max(first, min(float(clocked[-1]) for clocked in later))
        grid = np.geomspace(first, last, _TIME_POINTS) if last > first else np.array([first])
        grid[0], grid[-1] = first, last  # rounding must not step over the evaluations at the ends
        reached = [
            run[metric].to_numpy(float)[np.searchsorted(clocked, grid, side="right") - 1]
            for run, clocked in zip(runs, times, strict=True)
        ]
        return _quartiles(np.stack(reached, axis=1), x=grid)

    return _bands(curves, [metric, c.MODELLED_S], BAND_COLUMNS, band)


def bands_at_level(
    curves: pd.DataFrame, trials: pd.DataFrame, metric: str, clock: str = c.MODELLED_S, levels: int = 40
) -> pd.DataFrame:
    """Return the quartiles of the time at which `metric` first reaches each level, per group and optimizer.

    The transpose of `bands_at_time`. The `levels` of a group, common to its optimizers, run evenly (geometrically for a
    loss) from the worst start to the best value of any run. Quartiles are order statistics over all trials outside
    sweeps that were tried, the higher of two neighbours; a trial that never reaches a level counts as ∞. Columns:
    group, optimizer, `level`, `low`, `median`, `high` in the unit of `clock`, a column, `hits`, `seeds`.
    """
    tried = c.outside_sweeps(c.only(trials, kind="training"))
    tried = tried[tried[c.STATUS].isin(c.TRIED)]
    known = curves[curves[c.KEY].isin(tried[c.KEY]) & np.isfinite(curves[metric].astype(float))]
    upwards = registered_metrics.of_column(metric).metric.larger_is_better
    bands = []
    for group, part in known.groupby(c.GROUP, sort=True):
        grid = _levels(part, metric, upwards, levels)
        evaluated = dict(list(part.sort_values(c.ITERATION, kind="stable").groupby(c.KEY, sort=False)))
        for setting, runs in c.groups(c.only(tried, group=group), [c.GROUP, c.OPTIMIZER]):
            own = [evaluated.get(key, part.iloc[:0]) for key in sorted(runs[c.KEY])]
            times = [
                _first_times(run[metric].to_numpy(float), run[clock].to_numpy(float), grid, upwards)
                for run in own
            ]
            table = np.stack(times, axis=1)
            band = _quartiles(table, "higher", level=grid, hits=np.isfinite(table).sum(axis=1))
            bands.append(band.assign(**setting))
    return c.joined(bands, LEVEL_COLUMNS)


def _levels(part: pd.DataFrame, metric: str, upwards: bool, number: int) -> Array:
    """Return `number` levels from the worst value at the first evaluation to the best of all, easy ones first."""
    values = part[metric].astype(float)
    first = values[part[c.ITERATION] == part[c.ITERATION].min()]
    if upwards:
        return np.linspace(float(first.min()), float(values.max()), number)
    worst, best = float(first.max()), float(values.min())
    if best <= 0:
        return np.linspace(worst, best, number)
    grid = np.geomspace(worst, best, number)
    grid[0], grid[-1] = worst, best  # rounding must not make the best value miss itself
    return grid


def _first_times(values: Array, clocked: Array, grid: Array, upwards: bool) -> Array:
    """Return the first clock at which a run reaches each level of `grid`, ∞ where it never does: (levels,)."""
    if not len(values):
        return np.full(len(grid), np.inf)
    best = np.maximum.accumulate(values) if upwards else -np.minimum.accumulate(values)
    place = np.searchsorted(best, grid if upwards else -grid, side="left")
    return np.where(place < len(values), clocked[np.minimum(place, len(values) - 1)], np.inf)


def moving_average(values: Array, window: int) -> Array:
    """Return the mean of each value and up to `window` − 1 before it: (n,); NaN are left out of a mean.

    Trailing, so that nothing is read from the future; the first `window` − 1 points average what there is.
    """
    return pd.Series(values).rolling(window, min_periods=1).mean().to_numpy(float)


def smoothed_bands(
    curves: pd.DataFrame, metric: str = c.LOSS, window: int = PAPER_WINDOW, every: int = 1
) -> pd.DataFrame:
    """Return mean ± standard deviation and quartiles over seeds of the moving average of `metric` at each iteration.

    The form of Figs. 3, 4 and 7 of arXiv 2405.13817: mini-batch loss, 200 points, five seeds. Columns: group,
    optimizer, iteration, `measured_s` and `modelled_s` (mean over seeds), `mean`, `std` (n − 1), `low`,
    `median`, `high`, `seeds`. Only iterations that every seed of the optimizer reached, each `every`-th of them.
    """

    def band(part: pd.DataFrame) -> pd.DataFrame:
        runs = [
            run.sort_values(c.ITERATION).set_index(c.ITERATION) for _, run in part.groupby(c.KEY, sort=True)
        ]
        smooth = [pd.Series(moving_average(run[metric].to_numpy(float), window), run.index) for run in runs]
        table = pd.concat(smooth, axis=1).dropna()[::every]
        values = table.to_numpy(float)
        clocks = part.groupby(c.ITERATION)[[c.MEASURED_S, c.MODELLED_S]].mean().reindex(table.index)
        columns = {c.ITERATION: table.index, **{str(name): clocks[name].to_numpy(float) for name in clocks}}
        spread = values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.nan
        return _quartiles(values, **columns, mean=values.mean(axis=1), std=spread)

    return _bands(curves, [metric], SMOOTHED_COLUMNS, band)


def _bands(
    curves: pd.DataFrame,
    finite: Sequence[str],
    columns: Sequence[str],
    band: Callable[[pd.DataFrame], pd.DataFrame],
) -> pd.DataFrame:
    """Return the band of each group and optimizer, from the points whose columns `finite` are so."""
    known = curves[np.isfinite(curves[list(finite)].to_numpy(float)).all(axis=1)]
    bands = (band(part).assign(**setting) for setting, part in c.groups(known, [c.GROUP, c.OPTIMIZER]))
    return c.joined(bands, columns)


def _quartiles(values: Array, method: Any = "linear", **columns: Any) -> pd.DataFrame:
    """Return the quartiles of `values` (points, seeds) beside `columns`, a row per point."""
    if not len(values):
        return pd.DataFrame()
    quartiles = np.quantile(values, [LOW, 0.5, HIGH], axis=1, method=method)
    return pd.DataFrame(
        {**columns, **dict(zip(_QUARTILES, quartiles, strict=True)), "seeds": values.shape[1]}
    )
