"""The size at which one optimizer becomes cheaper per iteration than another, with its uncertainty.

At sizes x_s let y_s be the logarithm of the median paired time ratio first/second. In the direction of its trend y is
fitted by isotonic regression in log x (Barlow et al., Statistical Inference under Order Restrictions, 1972), and the
crossover is where the fit, interpolated linearly, passes through zero. The interval comes from draws that
resample the pairs at each size (processes, then pairs, see `resampling`) and add to each y_s a normal effect of the
size itself, of variance

    σ² = mean_s [ (y_s − w·y_{s−1} − (1−w)·y_{s+1})² / (1 + w² + (1−w)²) ],   w = (x_{s+1} − x_s)/(x_{s+1} − x_{s−1})

(residuals from the line between both neighbours, x in logarithms; curvature can only make it larger), because
repetitions at one size share what is special about it. σ² itself is known from S − 2 residuals only, so that each
draw takes it times (S − 2)/χ². A draw without a crossing in the range puts it outside,
and the interval is then open on that side: 0 or ∞.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.cost.fits import series_of
from tngd_bench.analysis.cost.iteration_cost import SETTING, finished_costs, paired_quotients
from tngd_bench.analysis.statistics.resampling import resampled_medians
from tngd_bench.studies.store import columns as c

DRAWS = 400
MINIMUM_SIZES = 4


@dataclass(frozen=True)
class Crossover:
    """`first` is cheaper than `second` on the `side` ("above" or "below") of `size`, in [`low`, `high`] at 95 %.

    `size` is NaN where the data show no crossing, and `note` says why; `low` 0 or `high` ∞: open on that side. `ratios`
    are the median ratios first/second at `sizes`.
    """

    first: str
    second: str
    axis: str
    side: str
    size: float
    low: float
    high: float
    sizes: tuple[float, ...]
    ratios: tuple[float, ...]
    note: str = ""


def crossover(
    costs: pd.DataFrame,
    trials: pd.DataFrame,
    first: str,
    second: str,
    axis: str = c.ROWS,
    *,
    seed: int = 0,
) -> Crossover:
    """Return the crossing of `first` and `second` along `axis`: "rows" (m = b·d_z), parameters, batch_size or outputs.

    `costs` and `trials` are those of one series (one group). Pairs are iterations of one process and repetition.
    """
    clean = finished_costs(costs, trials)
    if axis not in SETTING:
        series_of(axis)  # names the accepted axes
    sizes, blocks = [], []
    for size, part in clean.groupby(axis, sort=True):
        quotients = paired_quotients(part, first, second)
        if quotients:
            sizes.append(float(str(size)))
            blocks.append([np.log(block) for block in quotients])
    x = np.log(np.array(sizes)) if sizes else np.array([])
    y = np.array([np.median(np.concatenate(part)) for part in blocks])
    known = (tuple(sizes), tuple(float(value) for value in np.exp(y)))
    if len(sizes) < MINIMUM_SIZES:
        note = f"not decided: both were timed at {len(sizes)} sizes, {MINIMUM_SIZES} needed"
        return Crossover(first, second, axis, "", *(float("nan"),) * 3, *known, note)
    falling = bool(np.polyfit(x, y, 1)[0] < 0)
    side = "above" if falling else "below"
    at = _crossing(x, y, falling)
    generator = np.random.default_rng(seed)
    drawn = np.stack([resampled_medians(part, DRAWS, generator) for part in blocks], axis=1)
    scale = _size_effect(x, y) / np.sqrt(generator.chisquare(len(x) - 2, (DRAWS, 1)) / (len(x) - 2))
    drawn = drawn + scale * generator.standard_normal(drawn.shape)
    found = np.sort([_crossing(x, row, falling) for row in drawn])
    note = ""
    if not np.isfinite(at):
        cheaper = first if (at < 0) == falling else second
        at, note = np.nan, f"{cheaper} is cheaper at every size measured"
    outside = int(0.025 * DRAWS)
    size, low, high = (float(np.exp(value)) for value in (at, found[outside], found[-1 - outside]))
    return Crossover(first, second, axis, side, size, low, high, *known, note)


def _crossing(x: Array, y: Array, falling: bool) -> float:
    """Return log size where the isotonic fit passes zero; −∞ or ∞ where it does so before or beyond the range."""
    fit = optimize.isotonic_regression(-y if falling else y).x
    if fit[0] >= 0:
        return -np.inf
    if fit[-1] <= 0:
        return np.inf
    right = int(np.argmax(fit > 0))
    left = right - 1
    share = -fit[left] / (fit[right] - fit[left])
    return float(x[left] + share * (x[right] - x[left]))


def _size_effect(x: Array, y: Array) -> float:
    weight = (x[2:] - x[1:-1]) / (x[2:] - x[:-2])
    residual = y[1:-1] - weight * y[:-2] - (1 - weight) * y[2:]
    return float(np.sqrt(np.mean(residual**2 / (1 + weight**2 + (1 - weight) ** 2))))
