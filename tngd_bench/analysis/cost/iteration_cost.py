"""Cost per iteration: medians and quartiles, ratios paired within a process, and what the time is made of.

Measured seconds, modelled device seconds and counted operations stay in columns of their own. The only column that
adds the first two is `total`, which for a thermodynamic optimizer is measured digital + modelled device time. Where its
device states no time for an item there is no total, only what it is `at_least`: it can be shown, not ranked.

The unit of a ratio is the process: what its heap, its clock and its neighbours do is shared by all of its iterations
(Kalibera & Jones, Rigorous benchmarking in reasonable time, ISMM 2013). The interval is Student's t over the logarithms
of the processes' median ratios. It is 95 % for a number of processes fixed before the first look at the result, and
where `studies.plan.enough_processes` chose the number.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.arrays import Array, Places
from tngd_bench.analysis.cost.reference import reference_label
from tngd_bench.studies.plan import enough_processes
from tngd_bench.studies.store import columns as c

SETTING = [c.GROUP, c.PROBLEM, *c.SIZE, c.ROWS]
MINIMUM_PAIRS = 5
"""Fewer paired iterations make no 95 % interval worth a verdict."""
MINIMUM_PROCESSES = enough_processes.LEAST_PROCESSES
NEEDED = f"{MINIMUM_PAIRS} from {MINIMUM_PROCESSES} processes"
"""Paired iterations that a verdict needs, in words."""
_MODELLED = [c.WRITE_S, c.RELAX_S, c.READ_S]


@dataclass(frozen=True)
class Ratio:
    """A median ratio of paired times with its 95 % interval; `pairs` iterations, `processes` processes.

    `p` is the two-sided p-value of a ratio of 1, 1.0 where there is one process.
    """

    value: float
    low: float
    high: float
    pairs: int
    processes: int
    p: float

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 1, with at least `MINIMUM_PAIRS` from `MINIMUM_PROCESSES`."""
        return self.tested and (self.low > 1.0 or self.high < 1.0)

    @property
    def tested(self) -> bool:
        """Whether there are pairs and processes enough for the interval to say anything."""
        return self.pairs >= MINIMUM_PAIRS and self.processes >= MINIMUM_PROCESSES

    @property
    def amount(self) -> str:
        """Return the number of pairs and processes, e.g. "4 paired iterations from 2 processes"."""
        iterations = f"{self.pairs} paired iteration{'' if self.pairs == 1 else 's'}"
        return f"{iterations} from {self.processes} process{'' if self.processes == 1 else 'es'}"

    @property
    def text(self) -> str:
        """Return the ratio with its interval, as "1.23× [1.20, 1.31]"."""
        return quantities.ratio(self.value, self.low, self.high)


def finished_costs(costs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the timed iterations of cost trials with status "ok" and a finite total."""
    good = c.only(trials, kind="cost", status="ok")[c.KEY]
    return costs[costs[c.KEY].isin(good) & np.isfinite(costs[c.TOTAL_S].astype(float))]


def timed_costs(costs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the timed iterations of cost trials with status "ok", also those whose device states no time for an item.

    They get a column `at_least_s`: `total_s` where there is one, else the lower bound from the items that are stated.
    """
    good = c.completed(c.only(trials, kind="cost", status="ok"), [c.STATED_S])
    own = c.completed(costs[costs[c.KEY].isin(good[c.KEY])], [c.DIGITAL_S, c.OVERLAP_S])
    # without any row a map keeps the dtype of the keys
    stated = own[c.KEY].map(good.drop_duplicates(c.KEY).set_index(c.KEY)[c.STATED_S]).astype(float)
    bound = own[c.DIGITAL_S].astype(float) + stated - own[c.OVERLAP_S].astype(float)
    own = own.assign(at_least_s=own[c.TOTAL_S].astype(float).fillna(bound))
    known: pd.DataFrame = own[np.isfinite(own["at_least_s"])]
    return known


def summarise(costs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting and optimizer that has finished timings, sorted.

    Columns: the setting, optimizer, method; `n` iterations, `processes`; quartiles `digital_q1_s`, `digital_median_s`,
    `digital_q3_s` (measured) and the same for `total`; `total_mean_s` (what an optimizer with periodic work
    spends on average); medians `write_s`, `relax_s`, `read_s`, `modelled_s` (modelled) and `step_s` (measured wall
    time of step(), simulation included); `flops` (counted) and `peak_bytes` (largest over processes), NaN where
    absent; `keys`, the records behind the row. `at_least_s` is the median total, or its lower bound where the device
    states no time for an item: then the quartiles of the total, its mean and that part of the device are NaN.
    """
    clean = timed_costs(costs, trials)
    extra = trials.set_index(c.KEY)[[c.FLOPS, c.PEAK_BYTES]].astype(float)
    rows = []
    for row, part in c.groups(clean, [*SETTING, c.OPTIMIZER, c.METHOD]):
        keys = sorted(set(part[c.KEY]))
        behind = extra.loc[keys]
        row |= {"n": len(part), "processes": int(part[c.PROCESS].nunique())}
        times = part[[c.DIGITAL_S, c.TOTAL_S, "at_least_s"]].to_numpy(float)
        quartiles = np.percentile(times, [25, 50, 75], axis=0).T
        for name, (low, middle, high) in zip(("digital", "total"), quartiles, strict=False):
            row |= {f"{name}_q1_s": low, f"{name}_median_s": middle, f"{name}_q3_s": high}
        row["total_mean_s"] = float(part[c.TOTAL_S].mean(skipna=False))
        row["at_least_s"] = float(quartiles[2, 1])
        row |= {name: float(part[name].astype(float).median(skipna=False)) for name in _MODELLED}
        row[c.MODELLED_S] = float(part[_MODELLED].sum(axis=1, skipna=False).median())
        row[c.STEP_S] = float(part[c.STEP_S].median())
        row |= {c.FLOPS: behind[c.FLOPS].median(), c.PEAK_BYTES: behind[c.PEAK_BYTES].max()}
        row["keys"] = tuple(keys)
        rows.append(row)
    return pd.DataFrame(rows, columns=_SUMMARY_COLUMNS)


def median_text(row: Any) -> str:
    """Return the median total of a row of `summarise`, or with "≥" its lower bound."""
    unknown = math.isnan(row.total_median_s) and not math.isnan(row.at_least_s)
    return f"≥ {quantities.seconds(row.at_least_s)}" if unknown else quantities.seconds(row.total_median_s)


_SUMMARY_COLUMNS = [
    *SETTING,
    *[c.OPTIMIZER, c.METHOD, "n", "processes"],
    *["digital_q1_s", "digital_median_s", "digital_q3_s"],
    *["total_q1_s", "total_median_s", "total_q3_s", "total_mean_s", "at_least_s"],
    *_MODELLED,
    *[c.MODELLED_S, c.STEP_S, c.FLOPS, c.PEAK_BYTES, "keys"],
]


_REPETITION_BITS = 32


def paired_ratio(
    costs: pd.DataFrame, numerator: str, denominator: str, column: str = c.TOTAL_S
) -> Ratio | None:
    """Return the median of numerator/denominator over iterations paired by process and repetition.

    `costs` holds one setting. The interval is Student's t over the processes' medians, as wide as to hold the median of
    all; of a single process it is the range of its pairs. None when no pair exists.
    """
    blocks = paired_quotients(costs, numerator, denominator, column)
    if not blocks:
        return None
    every = np.concatenate(blocks)
    value = float(np.median(every))
    if len(blocks) == 1:
        low, high, p = float(every.min()), float(every.max()), 1.0
    else:
        logs = [float(np.log(np.median(block))) for block in blocks]
        level = interval_level(costs)
        half, p = enough_processes.half_width(logs, level), enough_processes.p_value(logs, level)
        low, high = (float(np.exp(np.mean(logs) + side * half)) for side in (-1.0, 1.0))
    return Ratio(value, min(low, value), max(high, value), len(every), len(blocks), p)


def interval_level(costs: pd.DataFrame) -> float:
    """Return the nominal level of the intervals of `costs`: higher where a precision chose the number of processes."""
    stopped = c.PRECISION in costs and bool(costs[c.PRECISION].notna().any())
    return enough_processes.LEVEL if stopped else enough_processes.LOOKED_AT


def paired_quotients(
    costs: pd.DataFrame, numerator: str, denominator: str, column: str = c.TOTAL_S
) -> list[Array]:
    """Return numerator/denominator of the iterations paired by process and repetition, an array for each process.

    `costs` holds one setting. Pairing cancels what a process shares: heap layout, frequency, neighbours.
    """
    process = pd.factorize(costs[c.PROCESS], sort=True)[0].astype(np.int64)  # names in pooled runs
    at = (process << _REPETITION_BITS) + costs[c.REPETITION].to_numpy(np.int64)
    values, label = costs[column].to_numpy(float), costs[c.OPTIMIZER]
    own = ((label == name).to_numpy(bool) for name in (numerator, denominator))
    (top_at, top), (bottom_at, bottom) = (_by_pair(at[rows], values[rows]) for rows in own)
    pairs, in_top, in_bottom = np.intersect1d(top_at, bottom_at, assume_unique=True, return_indices=True)
    top, bottom = top[in_top], bottom[in_bottom]
    kept = (bottom > 0) & (top > 0) & np.isfinite(top)
    if not kept.any():
        return []
    starts = np.flatnonzero(np.diff(pairs[kept] >> _REPETITION_BITS)) + 1
    return np.split(top[kept] / bottom[kept], starts)


def _by_pair(at: Places, values: Array) -> tuple[Places, Array]:
    """Return an optimizer's values in order of process and repetition, and before them both in one number."""
    place, first = np.unique(at, return_index=True)
    return place, values[first]


def ratios_to_sgd(costs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return per setting and optimizer the paired ratio to SGD, measured digital and total apart.

    Columns: the setting, optimizer, `reference` (SGD's label there, see `reference.reference_label`); `digital_ratio`,
    `_low`, `_high`; `total_ratio`, `_low`, `_high` (for digital optimizers the two agree; a lower bound where the total
    has no more, see `summarise`); `pairs`. Settings without SGD give no row.
    """
    rows = []
    for setting, part in c.groups(timed_costs(costs, trials), SETTING):
        reference = reference_label(part)
        if reference is None:
            continue
        for optimizer in sorted(set(part[c.OPTIMIZER])):
            row = setting | {c.OPTIMIZER: optimizer, "reference": reference}
            for name, column in (("digital", c.DIGITAL_S), ("total", "at_least_s")):
                ratio = paired_ratio(part, optimizer, reference, column)
                if ratio is None:
                    break
                row |= {f"{name}_ratio": ratio.value, f"{name}_low": ratio.low, f"{name}_high": ratio.high}
                row["pairs"] = ratio.pairs
            else:
                rows.append(row)
    numbers = [f"{name}_{part}" for name in ("digital", "total") for part in ("ratio", "low", "high")]
    return pd.DataFrame(rows, columns=[*SETTING, c.OPTIMIZER, "reference", *numbers, "pairs"])
