"""What a calibrated time may be wrong by: noise of the fit, a formula that fails outside of the data, another run.

With d the distance of a size from the measured ones, log(true/predicted) is taken to have the variance

    σ²·ν/(ν − 2) + σ_run²                        between measured sizes, d = 0
    σ²·ν/(ν − 2) + σ_run² + s² + (γ·d)²          elsewhere

- σ is the root mean square of the settings' own residuals, each predicted from the others, on ν = S − k degrees of
  freedom (S settings, k terms fitted), so that it is drawn as σ·t_ν;
- s = `STEP` is what a formula may be wrong by as soon as nobody has measured: a cache that no longer holds the data, a
  routine that takes another path. One in twenty is more than a factor of two to one side;
- γ, per factor of e, is the discrepancy of the formula (Kennedy & O'Hagan, JRSS B 63, 2001). It is measured by leaving
  out the block of the largest value of each axis and predicting it from the rest (Roberts et al., Ecography 40, 2017),
  what exceeds σ² + s² being γ²d², and is `LEAST_GAMMA` at least: a block of the study says little of sizes far beyond;
- σ_run is what one run of a study shifts an optimizer by against another run on the same machine (`run_spread`).

d is the distance to the convex hull of the measured settings in (log N, log b, log d_z): 0 between measured sizes.
Statements are confirmed there only: elsewhere they are modelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls

Array = npt.NDArray[np.float64]
AXES = ["parameters", "batch_size", "outputs"]
LEAST_GAMMA = 0.35
STEP = math.log(2.0) / 1.645
"""1.645: the normal quantile of 95 %."""
_CLOSURE = 1e4  # weight of Σw = 1 beside distances of order 1


def distance(points: pd.DataFrame, parameters: Array, batch_size: Array, outputs: Array) -> Array:
    """Return how far sizes lie from the convex hull of `points` (columns `AXES`) in logarithms, broadcast."""
    known = np.unique(np.log(points[AXES].to_numpy(float)), axis=0)
    asked = np.broadcast_arrays(
        *(np.log(np.asarray(each, float)) for each in (parameters, batch_size, outputs))
    )
    flat = np.stack([each.ravel() for each in asked], axis=1)
    weights = np.vstack([known.T, np.full(len(known), _CLOSURE)])
    low, high = known.min(axis=0), known.max(axis=0)
    found = np.linalg.norm(
        np.maximum(low - flat, 0.0) + np.maximum(flat - high, 0.0), axis=1
    )  # from the box around
    if (high > low).sum() > 1:  # else the hull is that box
        for place, size in enumerate(flat):
            solved, _ = nnls(weights, np.append(size, _CLOSURE))
            found[place] = np.linalg.norm(known.T @ (solved / solved.sum()) - size)
    return np.where(found < 1e-6, 0.0, found).reshape(asked[0].shape)


def blocks(points: pd.DataFrame, least: int) -> list[npt.NDArray[np.bool_]]:
    """Return the settings at the largest value of each axis, as masks that leave at least `least` others."""
    found = [
        (points[name] == points[name].max()).to_numpy(bool) for name in AXES if points[name].nunique() > 1
    ]
    return [block for block in found if (~block).sum() >= least]


def gamma(
    points: pd.DataFrame, sigma: float, predict: Callable[[npt.NDArray[np.bool_]], Array], least: int
) -> float:
    """Return γ from the blocks of `points`; `predict` takes a mask of settings and returns all predicted by them."""
    measured = points["measured_s"].to_numpy(float)
    shares = []
    for block in blocks(points, least):
        away = distance(points[~block], *(points.loc[block, name].to_numpy(float) for name in AXES))
        wrong = np.log(measured / predict(~block))[block]
        shares += [
            max(e * e - sigma * sigma - STEP * STEP, 0.0) / (d * d)
            for e, d in zip(wrong, away, strict=True)
            if d > 0
        ]
    return max(LEAST_GAMMA, float(np.sqrt(np.mean(shares))) if shares else 0.0)
