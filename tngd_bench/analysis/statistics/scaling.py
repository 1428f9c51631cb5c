"""Exponents: how a cost grows with a size, by three fits, with an interval that admits effects of the sizes.

Let y_s be the median cost at size N_s, s = 1…S, each from repetitions.

1. **Log-log slope**: least squares of log y on log N.
2. **Exponent over an overhead**: y = a + b·Nᵖ with a, b ≥ 0, least squares of the residuals relative to the
   fitted value (in two passes, the first relative to y_s); for each p the pair (a, b) is a two-variable
   non-negative problem in closed form, p is found by a grid and successive refinement. It recovers p where a
   fixed overhead flattens the log-log slope.
3. **Local slopes**: log(y_{s+1}/y_s) / log(N_{s+1}/N_s).

The 95 % interval of 1 and 2 is the wider of two. *Hierarchical bootstrap*: draw S sizes with replacement, then the
processes of each drawn size and the repetitions of each drawn process, refit; percentiles 2.5 and 97.5 (Davison &
Hinkley, Bootstrap Methods and their Application, 1997, §3.8). *t-interval over sizes*: the fit's residual variance over
the S sizes with S − 2 (S − 3) degrees of freedom, through the linearised covariance (JᵀJ)⁻¹ (Seber & Wild, Nonlinear
Regression, 1989, §5.1). The first alone takes too little account of effects that every repetition at one size shares,
as caches and thread thresholds have. Fewer than five sizes give no exponent.

A cost that steps up at one size, where a cache no longer holds it, bends the log-log slope by more than either says. Of
six sizes or more the line with a step, wherever one fits best, is fitted too: where it takes away so much of the
residual that F > 4, and more than a parabola does, the interval holds the t-interval of its slope as well. A step of
20 % is then covered in 95 % and more; in some 80 % where it hides among effects of the sizes of 5 %.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.quantities import WIDEST_EXPONENT
from tngd_bench.analysis.statistics.distributions import t_quantile
from tngd_bench.analysis.statistics.resampling import resampled_medians
from tngd_bench.studies.store import columns as c

MINIMUM_SIZES = 5
DEFAULT_DRAWS = 400
CONFIDENCE = 0.95
LARGEST_EXPONENT = 5.0
STEP_F = 4.0


@dataclass(frozen=True)
class Exponent:
    """An exponent and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def determined(self) -> bool:
        """Whether the data decide: the interval is finite and narrower than 2."""
        return bool(np.isfinite(self.value) and self.high - self.low < WIDEST_EXPONENT)


@dataclass(frozen=True)
class ScalingFit:
    """The three fits of one cost against size.

    `sizes` and `medians` are (S,), `local_slopes` (S − 1,). `log_log` and `over_overhead` are None with fewer than
    five sizes, and `note` says so; `overhead` (a, in the unit of the cost) belongs to `over_overhead`.
    """

    sizes: tuple[float, ...]
    medians: tuple[float, ...]
    log_log: Exponent | None
    over_overhead: Exponent | None
    overhead: float
    local_slopes: tuple[float, ...]
    note: str

    @property
    def fit_range(self) -> tuple[float, float]:
        """The smallest and the largest size that entered; NaN where there is none."""
        return (self.sizes[0], self.sizes[-1]) if self.sizes else (float("nan"), float("nan"))


def fit_scaling(samples: pd.DataFrame, *, draws: int = DEFAULT_DRAWS, seed: int = 0) -> ScalingFit:
    """Fit `samples`, a frame with columns `size` and `cost` and one row per repetition.

    A column `process`, where there is one, says which repetitions were made together. Rows that are not finite and
    positive are left out. `draws` bootstrap draws come from `seed`, so the same frame gives the same fit.
    """
    sizes, blocks = _blocks(samples)
    packed = tuple(tuple(block.tobytes() for block in processes) for processes in blocks)
    return _fitted(tuple(map(float, sizes)), packed, draws, seed)


@lru_cache(maxsize=512)
def _fitted(
    known_sizes: tuple[float, ...], packed: tuple[tuple[bytes, ...], ...], draws: int, seed: int
) -> ScalingFit:
    """Return the fit of costs by size and process: claims ask for fits that a table has as well."""
    sizes = np.array(known_sizes)
    blocks = [[np.frombuffer(block) for block in processes] for processes in packed]
    medians = np.array([np.median(np.concatenate(processes)) for processes in blocks])
    local = np.diff(np.log(medians)) / np.diff(np.log(sizes)) if len(sizes) > 1 else np.array([])
    known = (known_sizes, tuple(map(float, medians)))
    if len(sizes) < MINIMUM_SIZES:
        note = f"no exponent: {len(sizes)} sizes, at least {MINIMUM_SIZES} needed"
        return ScalingFit(*known, None, None, float("nan"), tuple(map(float, local)), note)
    drawn = _hierarchical_draws(sizes, blocks, draws, np.random.default_rng(seed))
    slope = float(_log_log(sizes[None], medians[None])[0])
    margin = _log_log_margin(sizes, medians, slope)
    log_log = _with_step(_wider(slope, _log_log(*drawn), margin), sizes, medians)
    exponent, overhead, factor = (float(part[0]) for part in _over_overhead(sizes[None], medians[None]))
    margin = _over_overhead_margin(sizes, medians, exponent, overhead, factor)
    over = _wider(exponent, _over_overhead(*drawn)[0], margin)
    note = "" if over.determined else "exponent over the overhead not determined by these sizes"
    return ScalingFit(*known, log_log, over, overhead, tuple(map(float, local)), note)


def _blocks(samples: pd.DataFrame) -> tuple[Array, list[list[Array]]]:
    """Return the sizes in order, (S,), and for each the sorted costs of each of its processes; bad rows left out."""
    size, cost = (samples[name].to_numpy(float) for name in ("size", "cost"))
    process = np.zeros(len(size), dtype=np.intp)
    if c.PROCESS in samples:
        process = pd.factorize(samples[c.PROCESS], sort=True)[0]
    good = np.isfinite(cost) & (cost > 0) & (size > 0)
    size, cost, process = size[good], cost[good], process[good]
    order = np.lexsort((cost, process, size))
    size, cost, process = size[order], cost[order], process[order]
    starts = np.flatnonzero((np.diff(size) != 0) | (np.diff(process) != 0)) + 1
    sizes, places = np.unique(size[np.r_[0, starts]] if len(size) else size, return_inverse=True)
    blocks: list[list[Array]] = [[] for _ in sizes]
    for place, block in zip(places, np.split(cost, starts), strict=False):
        blocks[place].append(block)
    return sizes, blocks


def _hierarchical_draws(
    sizes: Array, costs: list[list[Array]], draws: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Return sizes and medians of resampled costs, both (draws, S).

    A draw keeps at least four distinct sizes: three points fit a + b·Nᵖ exactly whatever the noise.
    """
    number = len(sizes)
    chosen = np.empty((0, number), dtype=np.int64)
    while len(chosen) < draws:
        more = generator.integers(number, size=(4 * draws, number))
        distinct = (np.diff(np.sort(more, axis=1), axis=1) > 0).sum(axis=1) + 1
        chosen = np.concatenate([chosen, more[distinct >= 4]])
    chosen = chosen[:draws]
    medians = np.empty((draws, number))
    for place, blocks in enumerate(costs):
        here = chosen == place
        medians[here] = resampled_medians(blocks, int(here.sum()), generator)
    return sizes[chosen], medians


def _log_log(sizes: Array, costs: Array) -> Array:
    """Return the slope of each row of (D, S) inputs: (D,)."""
    x, y = np.log(sizes), np.log(costs)
    x = x - x.mean(axis=1, keepdims=True)
    return np.asarray((x * y).sum(axis=1) / (x * x).sum(axis=1))


def _log_log_margin(sizes: Array, costs: Array, slope: float) -> float:
    x, y = np.log(sizes), np.log(costs)
    residual = (y - y.mean()) - slope * (x - x.mean())
    freedom = len(sizes) - 2
    deviation = np.sqrt((residual**2).sum() / freedom / ((x - x.mean()) ** 2).sum())
    return float(t_quantile(0.5 + CONFIDENCE / 2, freedom) * deviation)


def _with_step(slope: Exponent, sizes: Array, costs: Array) -> Exponent:
    """Return the slope, its interval as wide as to hold that of a line with one step, where there seems to be one."""
    x, y, number = np.log(sizes), np.log(costs), len(sizes)
    freedom = number - 4  # two of the line, the height of the step, its place
    if freedom < 2:
        return slope
    _, plain = _least_squares(np.stack([np.ones(number), x], axis=1), y)
    places = np.arange(number)
    found = []
    for place in range(2, number - 1):  # a size alone on one side would be left out, not explained
        design = np.stack([np.ones(number), x, places >= place], axis=1)
        solved, squares = _least_squares(design, y)
        deviation = np.sqrt(squares / freedom * np.linalg.inv(design.T @ design)[1, 1])
        found.append((squares, float(solved[1]), float(deviation)))
    squares, value, deviation = min(found)
    _, bent = _least_squares(np.stack([np.ones(number), x, x * x], axis=1), y)
    if plain - squares <= STEP_F * squares / freedom or bent < squares:
        return slope
    half = t_quantile(0.5 + CONFIDENCE / 2, freedom) * deviation
    return Exponent(slope.value, min(slope.low, value - half), max(slope.high, value + half))


def _least_squares(design: Array, y: Array) -> tuple[Array, float]:
    """Return the coefficients and the sum of squared residuals."""
    solved = np.linalg.lstsq(design, y, rcond=None)[0]
    return np.asarray(solved, dtype=float), float(((y - design @ solved) ** 2).sum())


def _over_overhead(sizes: Array, costs: Array) -> tuple[Array, Array, Array]:
    """Return p, a and b (of sizes in units of the row's geometric mean) for each row of (D, S) inputs."""
    relative = sizes / np.exp(np.log(sizes).mean(axis=1, keepdims=True))
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(costs), _BLOCK)]
    found = [
        _over_overhead_of_block(*(np.ascontiguousarray(part[block].T) for part in (relative, costs)))
        for block in blocks
    ]
    exponent, overhead, factor = (np.concatenate(part) for part in zip(*found, strict=True))
    return exponent, overhead, factor


# Draws fitted at once: the values of so many at 7 sizes and 101 exponents fill a quarter of a megabyte, a cache.
_BLOCK = 48
_GRIDS = (101, 11, 11, 11)
"""Exponents tried, each time between the neighbours of the best one."""


def _over_overhead_of_block(relative: Array, costs: Array) -> tuple[Array, Array, Array]:
    """Return p, a and b of each column of contiguous (S, D) inputs, over whose first axis sums are fast."""
    scale, first = costs, relative[..., None] ** (LARGEST_EXPONENT * np.linspace(0.0, 1.0, _GRIDS[0]))
    for _ in range(2):  # residuals relative to the data favour low outliers: refit relative to the first fit
        best, a, b = _search(relative, costs, scale, first)
        scale = a + b * relative**best
    return best, a, b


def _search(relative: Array, costs: Array, scale: Array, first: Array) -> tuple[Array, Array, Array]:
    """Return p, a and b; `first` are the powers of the first grid, (S, D, P)."""
    columns = np.arange(costs.shape[1])
    low, high = np.zeros(len(columns)), np.full(len(columns), LARGEST_EXPONENT)
    best = low
    for place, points in enumerate(_GRIDS):
        grid = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, points)
        powers = relative[..., None] ** grid if place else first
        best = grid[columns, _weights(powers, costs, scale)[2].argmin(axis=1)]
        step = (high - low) / (points - 1)
        low, high = np.maximum(best - step, 0.0), np.minimum(best + step, LARGEST_EXPONENT)
    a, b, _ = _weights(relative[..., None] ** best[:, None], costs, scale)
    return best, a[:, 0], b[:, 0]


def _weights(powers: Array, costs: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Return a, b ≥ 0 that minimise Σ ((a + b·Nᵖ − y)/scale)² for each of the `powers` Nᵖ (S, D, P), and that sum."""
    costs, scale = costs[..., None], scale[..., None]
    u = 1.0 / scale
    v = powers / scale
    y = costs / scale
    uu, uv, vv = (u * u).sum(0), (u * v).sum(0), (v * v).sum(0)
    uy, vy = (u * y).sum(0), (v * y).sum(0)
    determinant = uu * vv - uv * uv
    regular = determinant > 1e-12 * uu * vv
    safe = np.where(regular, determinant, 1.0)
    a = np.where(regular, (uy * vv - vy * uv) / safe, 0.0)
    b = np.where(regular, (vy * uu - uy * uv) / safe, vy / vv)
    only_a, only_b = b < 0, a < 0
    a = np.where(only_a, uy / uu, np.maximum(a, 0.0))
    b = np.where(only_b, vy / vv, np.maximum(b, 0.0))
    squares = ((a * u + b * v - y) ** 2).sum(0)
    return a, b, squares


def _over_overhead_margin(
    sizes: Array, costs: Array, exponent: float, overhead: float, factor: float
) -> float:
    relative = sizes / np.exp(np.log(sizes).mean())
    growth = relative**exponent
    fitted = overhead + factor * growth
    jacobian = np.stack([1.0 / fitted, growth / fitted, factor * growth * np.log(relative) / fitted], axis=1)
    # Columns of unit length, so that the condition number speaks of the fit and not of its units.
    lengths = np.sqrt((jacobian**2).sum(axis=0))
    if factor == 0 or not (lengths > 0).all():
        return float("inf")
    normal = (jacobian / lengths).T @ (jacobian / lengths)
    if np.linalg.cond(normal) > 1e12:
        return float("inf")
    freedom = len(sizes) - 3
    variance = ((costs / fitted - 1.0) ** 2).sum() / freedom
    deviation = np.sqrt(variance * np.linalg.inv(normal)[2, 2]) / lengths[2]
    return float(t_quantile(0.5 + CONFIDENCE / 2, freedom) * deviation)


def _wider(value: float, drawn: Array, margin: float) -> Exponent:
    """Return an exponent with the wider one of two intervals, that of the draws and `value` ± `margin`."""
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = map(float, np.percentile(drawn, [tail, 100.0 - tail]))
    if not np.isfinite(margin) or 2 * margin >= high - low:
        low, high = value - margin, value + margin
    return Exponent(value, low, high)
