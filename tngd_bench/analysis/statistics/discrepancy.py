"""Error of a calibrated time: noise of the fit, a formula that fails outside of the data, another run.

With d the distance of a size from the measured ones, log(true/predicted) is taken to have the variance

    σ²·ν/(ν − 2) + σ_run²                        between measured sizes, d = 0
    σ²·ν/(ν − 2) + σ_run² + s² + (γ·d)²          elsewhere

- σ is the root mean square of the settings' own residuals, each predicted from the others, on ν = S − k degrees of
  freedom (S settings, k terms fitted), so that it is drawn as σ·t_ν;
- s = `STEP` is a formula's error as soon as nobody has measured: a cache that no longer holds the data, a
  routine that takes another path. One in twenty is more than a factor of two to one side;
- γ, per factor of e, is the discrepancy of the formula (Kennedy & O'Hagan, JRSS B 63, 2001). It is measured by leaving
  out the block of the largest value of each axis and predicting it from the rest (Roberts et al., Ecography 40, 2017),
  what exceeds σ² + s² being γ²d², and is `LEAST_GAMMA` at least: a block of the study says little of sizes far beyond;
- σ_run is the shift of an optimizer between two runs of a study on the same machine (`run_spread`).

d is the distance to the convex hull of the measured settings in (log N, log b, log d_z): 0 between measured sizes.
Statements are confirmed there only: elsewhere they are modelled.
A prediction is vouched for where 90 % of this law lie within a factor of 1.5.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from tngd_bench.analysis.arrays import Array, Mask
from tngd_bench.analysis.statistics.distributions import normal_quantile, t_quantile
from tngd_bench.studies.store import columns as c

LEAST_GAMMA = 0.35
STEP = math.log(2.0) / 1.645
"""1.645: the normal quantile of 95 %."""
VOUCHED_FACTOR, VOUCHED_SHARE = 1.5, 0.9
_CLOSURE = 1e4  # weight of Σw = 1 beside distances of order 1


def distance(points: pd.DataFrame, parameters: Array, batch_size: Array, outputs: Array) -> Array:
    """Return the distance of sizes from the convex hull of `points` (columns `SIZE`) in logarithms, broadcast."""
    known = np.unique(np.log(points[c.SIZE].to_numpy(float)), axis=0)
    asked = np.stack(np.broadcast_arrays(parameters, batch_size, outputs), axis=-1)
    flat = np.log(asked.reshape(-1, 3).astype(float))
    return _from_hull(known.tobytes(), flat.tobytes()).reshape(asked.shape[:-1])


@lru_cache(maxsize=64)
def _from_hull(known_bytes: bytes, asked_bytes: bytes) -> Array:
    """Return the distances of points, (n, 3), from the hull of others; optimizers timed alike share them."""
    known, flat = (np.frombuffer(each).reshape(-1, 3) for each in (known_bytes, asked_bytes))
    weights = np.vstack([known.T, np.full(len(known), _CLOSURE)])
    low, high = known.min(axis=0), known.max(axis=0)
    # from the box around
    found = np.linalg.norm(np.maximum(low - flat, 0.0) + np.maximum(flat - high, 0.0), axis=1)
    if (high > low).sum() > 1:  # else the hull is that box
        for place, size in enumerate(flat):
            solved, _ = nnls(weights, np.append(size, _CLOSURE))
            found[place] = np.linalg.norm(known.T @ (solved / solved.sum()) - size)
    return np.where(found < 1e-6, 0.0, found)


def half_width(sigma: float, freedom: float, gamma: float, run_spread: float, distances: Array) -> Array:
    """Return the logarithm of the factor within which `VOUCHED_SHARE` of the law lie, at `distances`."""
    tail = (1.0 + VOUCHED_SHARE) / 2.0
    own = t_quantile(tail, freedom) if math.isfinite(freedom) else normal_quantile(tail)
    formula = STEP**2 * (distances > 0) + (gamma * distances) ** 2
    beside = normal_quantile(tail)
    return np.asarray(np.sqrt((own * sigma) ** 2 + beside**2 * (run_spread**2 + formula)))


def blocks(points: pd.DataFrame, least: int) -> list[Mask]:
    """Return the settings at the largest value of each axis, as masks that leave at least `least` others."""
    found = [(points[name] == points[name].max()).to_numpy(bool) for name in c.SIZE]
    return [block for block in found if (~block).sum() >= least]


@dataclass(frozen=True)
class Unseen:
    """Measured sizes predicted without those at the largest value of an axis: how far they lie, and log of the ratio.

    `ratio_logs` are log(measured/predicted).
    """

    distances: Array
    ratio_logs: Array

    def gamma(self, sigma: float) -> float:
        """Return γ."""
        away = self.distances > 0
        excess = np.maximum(self.ratio_logs[away] ** 2 - sigma**2 - STEP**2, 0.0)
        shares = excess / self.distances[away] ** 2
        return max(LEAST_GAMMA, float(np.sqrt(shares.mean())) if len(shares) else 0.0)


def unseen(points: pd.DataFrame, predict: Callable[[Mask], Array], least: int) -> Unseen:
    """Return the blocks of `points`; `predict` takes a mask of settings and returns all predicted by them."""
    measured = points[c.MEASURED_S].to_numpy(float)
    distances, logs = [np.empty(0)], [np.empty(0)]
    for block in blocks(points, least):
        distances.append(distance(points[~block], *points.loc[block, c.SIZE].to_numpy(float).T))
        logs.append(np.log(measured / predict(~block))[block])
    return Unseen(np.concatenate(distances), np.concatenate(logs))
