"""Bands over seeds: quantiles of a metric at fixed iteration and at fixed time.

A band is over finished trials only; how many there are stands in `seeds` beside every point. At fixed time a trial's
value is its last evaluation up to then, so nothing is interpolated and nothing read from the future.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Metric = Literal["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
LOW, HIGH = 0.25, 0.75
_TIME_POINTS = 60
BAND_COLUMNS = ["group", "optimizer", "x", "low", "median", "high", "seeds"]


def finished_curves(curves: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of training trials with status "ok" outside sweeps."""
    plain = trials["sweep_parameter"].isna() & (trials["status"] == "ok") & (trials["kind"] == "training")
    return curves[curves["key"].isin(trials.loc[plain, "key"])]


def bands_at_iteration(curves: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return the quartiles of `metric` over seeds per group, optimizer and iteration `x`.

    Only iterations at which every seed of that optimizer was evaluated, so that a band never changes its members.
    """
    known = curves[np.isfinite(curves[metric].astype(float))]
    rows = []
    for (group, optimizer), part in known.groupby(["group", "optimizer"], sort=True):
        table = part.pivot_table(index="iteration", columns="key", values=metric, aggfunc="last").dropna()
        rows.append(
            _quartiles(str(group), str(optimizer), table.index.to_numpy(float), table.to_numpy(float))
        )
    return _joined(rows)


def bands_at_time(curves: pd.DataFrame, metric: Metric, clock: str = "modelled_s") -> pd.DataFrame:
    """Return the quartiles of `metric` over seeds per group, optimizer and time `x` in seconds.

    `clock` is the column of cumulative time: "modelled_s" (measured digital + modelled device) or "measured_s" (wall
    time of step(), simulation included). The times run geometrically from the first moment at which every
    seed has been evaluated after its first update to the last that every seed reached.
    """
    known = curves[np.isfinite(curves[metric].astype(float)) & np.isfinite(curves[clock].astype(float))]
    rows = []
    for (group, optimizer), part in known.groupby(["group", "optimizer"], sort=True):
        runs = [run.sort_values("iteration") for _, run in part.groupby("key", sort=True)]
        times = [run[clock].to_numpy(float) for run in runs]
        values = [run[metric].to_numpy(float) for run in runs]
        later = [clocked[clocked > 0] for clocked in times]
        if any(len(clocked) == 0 for clocked in later):
            continue
        first = max(float(clocked[0]) for clocked in later)
        last = min(float(clocked[-1]) for clocked in later)
        if last < first:
            continue
        grid = np.geomspace(first, last, _TIME_POINTS) if last > first else np.array([first])
        grid[0], grid[-1] = first, last  # rounding must not step over the evaluations at the ends
        reached = [
            value[np.searchsorted(clocked, grid, side="right") - 1]
            for clocked, value in zip(times, values, strict=True)
        ]
        rows.append(_quartiles(str(group), str(optimizer), grid, np.stack(reached, axis=1)))
    return _joined(rows)


def _quartiles(
    group: str, optimizer: str, x: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """Summarise `values` (points, seeds)."""
    if len(x) == 0:
        return pd.DataFrame(columns=BAND_COLUMNS)
    low, median, high = np.quantile(values, [LOW, 0.5, HIGH], axis=1)
    columns = {"x": x, "low": low, "median": median, "high": high}
    return pd.DataFrame({"group": group, "optimizer": optimizer, **columns, "seeds": values.shape[1]})


def _joined(rows: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in rows if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=BAND_COLUMNS)
