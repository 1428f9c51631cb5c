"""How much of one imperfection training stands: the level at which a final score leaves the ideal device's band.

Paired: the trials of one seed share start and batches, and one imperfection is swept. With ℓ(level, seed) the
final training loss (or minus the test accuracy; ∞ if the trial diverged), the excess of a level is the median over
seeds of ℓ(level, seed) − ℓ(ideal, seed), and the band is the spread of the ideal device itself: max − median of
ℓ(ideal, ·) over seeds. A level is inside while its excess is at most that. The tolerance is the worst level such that
it and every milder one are inside.

Its interval is for the level at which the true excess passes the true band. The excess is that of resampled seeds, all
nⁿ ways for n ≤ 5. The band is not resampled with it: max − median of a resample is 0 in 12 of 27 at n = 3 and in 355
of 3,125 at n = 5, wherever the losses lie. It is c·σ instead, with c the expected max − median of n standard normals
and σ distributed as n seeds tell of it, s·√((n−1)/χ²) with n − 1 degrees of freedom (a confidence distribution: Xie &
Singh, International Statistical Review 81, 2013). The estimate belongs to its interval.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import integrate, special

from tngd_bench.analysis.resampling import seed_draws

MINIMUM_SEEDS = 2
CONFIDENCE = 0.95
SCORES = ("final_loss", "final_test_accuracy", "final_test_f1")
"""Final scores that can be judged; the first is better where it is lower, the others where they are higher."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """The tolerance to one imperfection of one optimizer.

    `worst_inside` is the worst level tolerated, `first_outside` the next, worse one measured (NaN where there is none).
    `low` and `high` are its 95 % interval, the harsher second (NaN: not even the mildest level). `ideal` is the
    ideal device's `score`, its median over seeds. `levels` is the table behind it, mildest first: level, excess (of
    loss, or what is lost of a score better where higher), inside, median (of the score; NaN where most seeds diverged),
    seeds, diverged. `note` is set where the data do not
    decide, and then the numbers are NaN. `beside` names the level of a second swept setting at which this holds, empty
    where there is none. `problem` and `size`, N, are those of the model trained.
    """

    group: str
    optimizer: str
    parameter: str
    worst_inside: float
    first_outside: float
    low: float
    high: float
    band: float
    seeds: int
    levels: pd.DataFrame
    note: str
    beside: str = ""
    size: int = 0
    score: str = SCORES[0]
    ideal: float = float("nan")
    problem: str = ""


def tolerances(final: pd.DataFrame, score: str = SCORES[0]) -> tuple[Tolerance, ...]:
    """Return the tolerance of every sweep in `final` (see `outcomes.final_values`), in sorted order.

    `score` is the one of `SCORES` that is judged; ValueError for another.
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}, not {score!r}")
    swept = final[final["sweep_parameter"].notna()]
    keys = ["group", "optimizer", "sweep_parameter"]
    second = [name for name in ("sweep_parameter_2", "sweep_label_2") if name in swept]
    found = []
    for values, part in swept.groupby([*keys, *second], sort=True, dropna=False):
        group, optimizer, parameter, *beside = map(str, values)
        if not part["sweep_value"].notna().any():
            continue  # words and flags have no order from mild to harsh
        tolerance = _tolerance(group, optimizer, parameter, part, score)
        named = len(beside) == 2 and part["sweep_parameter_2"].notna().all()
        held = f"{beside[0]} = {beside[1]}" if named else ""
        size, problem = int(part["parameters"].max()), str(part["problem"].iloc[0])
        found.append(dataclasses.replace(tolerance, beside=held, size=size, score=score, problem=problem))
    return tuple(found)


def milder(first: Tolerance, second: Tolerance) -> Tolerance:
    """Return how far both scores of one sweep stay inside: `first` with the milder of either bound and level.

    A `second` that decides nothing changes nothing.
    """
    if first.note or second.note:
        return first
    levels = first.levels["level"].tolist()

    def place(level: float) -> int:
        return -1 if np.isnan(level) else levels.index(level)

    def level(name: str) -> float:
        return float(min(getattr(first, name), getattr(second, name), key=place))

    worst = level("worst_inside")
    beyond = [*levels, float("nan")][place(worst) + 1]
    return dataclasses.replace(
        first, worst_inside=worst, first_outside=beyond, low=level("low"), high=level("high")
    )


def mildest_first(parameter: str, levels: Array) -> Array:
    """Return `levels` sorted from mild to harsh: many bits and high rails first, small errors first."""
    return np.sort(levels)[::-1] if larger_is_milder(parameter) else np.sort(levels)


def is_ideal(parameter: str, levels: pd.Series) -> pd.Series:
    """Return where a sweep value means the ideal device: absent where larger is milder, else zero or absent."""
    values = levels.astype(float)
    return values.isna() if larger_is_milder(parameter) else values.isna() | (values == 0)


def larger_is_milder(parameter: str) -> bool:
    """Whether a larger value of `parameter` is a better device, an absent one ideal: bits, rails, gain, range."""
    return parameter.endswith("bits") or parameter in _LARGER_IS_MILDER


_LARGER_IS_MILDER = (
    "rail_volts",
    "amplifier_gain",
    "amplifier_bandwidth_hz",
    "conductance_max_siemens",
    "link_rate_bits_per_s",
)


def _tolerance(group: str, optimizer: str, parameter: str, part: pd.DataFrame, score: str) -> Tolerance:
    part = part[part["status"].isin(["ok", "diverged"])]
    sign = 1.0 if score == SCORES[0] else -1.0
    loss = (sign * part[score].astype(float)).where(part["status"] == "ok", np.inf)
    part = part.assign(loss=loss)[loss.notna()]
    ideal = is_ideal(parameter, part["sweep_value"])
    reference = part[ideal & np.isfinite(part["loss"])].groupby("seed")["loss"].first()
    table = part[~ideal].pivot_table(index="seed", columns="sweep_value", values="loss", aggfunc="first")
    paired = table.reindex(reference.index).dropna(axis=1)
    levels = mildest_first(parameter, paired.columns.to_numpy(float))
    losses = paired[levels].to_numpy(float)
    baseline = reference.to_numpy(float)
    note = ""
    if len(baseline) < MINIMUM_SEEDS:
        number = f"{len(baseline)} finished seed{'' if len(baseline) == 1 else 's'}"
        note = f"not confirmed: {number} of the ideal device, {MINIMUM_SEEDS} needed"
    elif not len(levels):
        note = "not measured: no level was run with every seed of the ideal device"
    if note:
        nan = float("nan")
        empty = pd.DataFrame(columns=["level", "excess", "inside", "median", "seeds", "diverged"])
        return Tolerance(group, optimizer, parameter, nan, nan, nan, nan, nan, len(baseline), empty, note)
    excess = np.median(losses - baseline[:, None], axis=0)
    band = float(baseline.max() - np.median(baseline))
    tolerated, low, high = tolerated_levels(losses, baseline)
    padded = np.concatenate([[np.nan], levels, [np.nan]])
    middle = np.median(losses, axis=0)
    table = pd.DataFrame(
        {
            "level": levels,
            "excess": excess,
            "inside": excess <= band,
            "median": np.where(np.isfinite(middle), sign * middle, np.nan),
            "seeds": len(baseline),
            "diverged": np.isinf(losses).sum(axis=0),
        }
    )
    return Tolerance(
        group,
        optimizer,
        parameter,
        worst_inside=float(padded[tolerated]),
        first_outside=float(padded[tolerated + 1]),
        low=float(padded[low]),
        high=float(padded[high]),
        band=band,
        seeds=len(baseline),
        levels=table,
        note="",
        ideal=sign * float(np.median(baseline)),
    )


def tolerated_levels(losses: Array, baseline: Array) -> tuple[int, int, int]:
    """Return how many levels are inside without a break from the mildest on, and the two ends of its 95 % interval.

    `losses` are (seeds, levels), mildest first; `baseline` (seeds,) those of the ideal device, at least two and finite.
    """
    excess = losses - baseline[:, None]
    # the narrowest band that holds a level and every milder one
    needed = np.maximum.accumulate(np.median(excess, axis=0))
    tolerated = int((needed <= baseline.max() - np.median(baseline)).sum())
    resampled = np.median(excess[seed_draws(len(baseline))], axis=1)
    chances = _chance_of_band(np.maximum.accumulate(resampled, axis=1), baseline).mean(axis=0)
    tail = (1 - CONFIDENCE) / 2
    low, high = int((chances >= 1 - tail).sum()), int((chances > tail).sum())
    return tolerated, min(low, tolerated), max(high, tolerated)


def _chance_of_band(width: Array, baseline: Array) -> Array:
    """Return the confidence that the true band is at least `width` wide, (draws, levels): that of c·σ ≥ `width`."""
    freedom = len(baseline) - 1
    scale = _expected_band(len(baseline)) * float(np.std(baseline, ddof=1))
    positive = width > 0  # no band is narrower than nothing
    ratio = np.divide(scale, width, out=np.zeros_like(width), where=positive)
    return np.where(positive, special.chdtr(freedom, freedom * ratio**2), 1.0)


@cache
def _expected_band(seeds: int) -> float:
    """Return c, the mean of max − median of as many standard normals: that of their maximum, as their median's is 0."""

    def share(x: float) -> float:
        return float(seeds * x * math.exp(-x * x / 2) * special.ndtr(x) ** (seeds - 1))

    return float(integrate.quad(share, -10.0, 10.0)[0]) / math.sqrt(2 * math.pi)
