"""How much of one imperfection training stands: the level at which the final loss leaves the ideal device's band.

Paired: the trials of one seed share start and batches, and one imperfection is swept. With ℓ(level, seed) the
final training loss (∞ if the trial diverged), the excess of a level is the median over seeds of ℓ(level, seed) −
ℓ(ideal, seed), and the band is the spread of the ideal device itself: max − median of ℓ(ideal, ·) over
seeds. A level is inside while its excess is at most that. The tolerance is the worst level such that
it and every milder one are inside. Its interval comes from resampling the seeds, all nⁿ ways for n ≤ 5.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tngd_bench.analysis.resampling import seed_draws

MINIMUM_SEEDS = 2
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """The tolerance to one imperfection of one optimizer.

    `worst_inside` is the worst level tolerated, `first_outside` the next, worse one measured (NaN where there is none).
    `low` and `high` bound `worst_inside` over resampled seeds, the harsher second (NaN: not even the mildest level).
    `levels` is the table behind it, mildest first: level, excess, inside, seeds, diverged. `note` is set where
    the data do not decide, and then the numbers are NaN. `beside` names the level of a second swept setting at
    which this holds, empty where there is none. `size` is N of the model trained.
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


def tolerances(final: pd.DataFrame) -> tuple[Tolerance, ...]:
    """Return the tolerance of every sweep in `final` (see `outcomes.final_values`), in sorted order."""
    swept = final[final["sweep_parameter"].notna()]
    keys = ["group", "optimizer", "sweep_parameter"]
    second = [name for name in ("sweep_parameter_2", "sweep_label_2") if name in swept]
    found = []
    for values, part in swept.groupby([*keys, *second], sort=True, dropna=False):
        group, optimizer, parameter, *beside = map(str, values)
        if not part["sweep_value"].notna().any():
            continue  # words and flags have no order from mild to harsh
        tolerance = _tolerance(group, optimizer, parameter, part)
        named = len(beside) == 2 and part["sweep_parameter_2"].notna().all()
        held = f"{beside[0]} = {beside[1]}" if named else ""
        found.append(dataclasses.replace(tolerance, beside=held, size=int(part["parameters"].max())))
    return tuple(found)


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


def _tolerance(group: str, optimizer: str, parameter: str, part: pd.DataFrame) -> Tolerance:
    part = part[part["status"].isin(["ok", "diverged"])]
    loss = part["final_loss"].astype(float).where(part["status"] == "ok", np.inf)
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
        empty = pd.DataFrame(columns=["level", "excess", "inside", "seeds", "diverged"])
        return Tolerance(group, optimizer, parameter, nan, nan, nan, nan, nan, len(baseline), empty, note)
    everyone = np.arange(len(baseline))[None, :]
    excesses, bands = _excess(losses, baseline, everyone)
    excess, band, tolerated = excesses[0], float(bands[0]), int(_tolerated(excesses, bands)[0])
    resampled = np.sort(_tolerated(*_excess(losses, baseline, seed_draws(len(baseline)))))
    tail = int(0.025 * len(resampled))
    padded = np.concatenate([[np.nan], levels, [np.nan]])
    table = pd.DataFrame(
        {"level": levels, "excess": excess, "inside": excess <= band, "seeds": len(baseline)}
    )
    table["diverged"] = np.isinf(losses).sum(axis=0)
    return Tolerance(
        group,
        optimizer,
        parameter,
        worst_inside=float(padded[tolerated]),
        first_outside=float(padded[tolerated + 1]),
        low=float(padded[resampled[tail]]),
        high=float(padded[resampled[-1 - tail]]),
        band=band,
        seeds=len(baseline),
        levels=table,
        note="",
    )


def _excess(losses: Array, baseline: Array, picks: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the median paired excess of each level, (draws, levels), and the band of the ideal device, (draws,).

    `losses` are (seeds, levels), `baseline` (seeds,); a draw is a row of places of seeds, `picks` (draws, seeds).
    """
    excess = np.median((losses - baseline[:, None])[picks], axis=1)
    drawn = baseline[picks]
    return excess, drawn.max(axis=1) - np.median(drawn, axis=1)


def _tolerated(excess: Array, band: Array) -> npt.NDArray[np.int64]:
    """Return how many levels, counted from the mildest, are inside without a break, for each draw: (draws,)."""
    inside = excess <= band[:, None]
    return np.asarray(np.minimum.accumulate(inside, axis=1).sum(axis=1))
