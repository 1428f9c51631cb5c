"""Tables of the map: the rates behind it, and who reaches a target first where that was measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.break_even import BreakEven
from tngd_bench.analysis.cost.calibration import Calibration, Calibrations
from tngd_bench.analysis.families import Infos, OptimizerInfo
from tngd_bench.analysis.statistics import discrepancy
from tngd_bench.analysis.statistics.paired import LEVEL, paired_difference
from tngd_bench.report.document import tables
from tngd_bench.report.document.tables import Cell, Column, Table, amount, number, words
from tngd_bench.studies.store import columns as c


def calibration_table(calibrations: Calibrations, infos: Infos) -> Table:
    """Return the rates behind the maps and how well they predict each measured size from the others."""
    data = pd.DataFrame([_rates(label, found) for label, found in calibrations.by_label.items()])
    columns = (
        words("optimizer", lambda row: _host_title(infos[row.optimizer])),
        amount("measured sizes", c.SETTINGS, str),
        amount("overhead", "overhead_s", quantities.seconds, "fitted"),
        Column("rate of operations", lambda row: _rate(row.flops_per_s, "Gop/s"), "fitted"),
        Column("rate of bytes", lambda row: _rate(row.bytes_per_s, "GB/s"), "fitted"),
        amount("credible readings", "readings", str),
        Column("spread of measured/predicted (1 σ)", lambda row: _factor(row.sigma)),
        Column("the same, added per factor of e from measured sizes", lambda row: _factor(row.gamma)),
        Column(
            "measured/predicted, range",
            lambda row: Cell(row.worst_low, quantities.interval(row.worst_low, row.worst_high)),
        ),
    )
    caption = (
        "The rates behind the maps: measured digital time against closed-form operations and bytes. The spread says "
        "how well each size is predicted from the others. Beyond measured sizes the formula may fail: one in twenty is "
        "more than a factor of two to one side at once, and it may bend besides: by what blocks of the largest sizes "
        "were off when predicted from the rest, and "
        f"×/÷ {quantities.significant(np.exp(discrepancy.LEAST_GAMMA))} at least. The draws vary all of it, and what "
        f"one run differs by from another: {calibrations.run_spread.words}."
    )
    return tables.table_of("calibration", caption, columns, data)


def _rates(label: str, found: Calibration) -> dict[str, object]:
    overhead, flop, byte = found.readings[0]
    ratios = found.points["ratio"]
    return {
        c.OPTIMIZER: label,
        c.SETTINGS: len(found.points),
        "overhead_s": overhead,
        "flops_per_s": 1.0 / flop if flop else np.nan,
        "bytes_per_s": 1.0 / byte if byte else np.nan,
        "readings": len(found.readings),
        "sigma": found.sigma,
        "gamma": found.gamma,
        "worst_low": float(ratios.min()),
        "worst_high": float(ratios.max()),
    }


def _host_title(info: OptimizerInfo) -> str:
    return f"{info.title}, host" if info.modelled else info.title


def _rate(value: float, unit: str) -> Cell:
    return Cell(value, "–" if np.isnan(value) else f"{quantities.significant(1e-9 * value)} {unit}")


def _factor(sigma: float) -> Cell:
    factor = np.exp(sigma)
    return Cell(factor, "not measured" if np.isnan(sigma) else f"×/÷ {quantities.significant(factor)}")


def unseen_words(calibrations: Calibrations, infos: Infos) -> str:
    """Return what predictions are off by at measured sizes that their calibration did not see."""
    parts = []
    for label, found in calibrations.by_label.items():
        if found.unseen is not None and len(found.unseen.ratio_logs):
            ratios = np.exp(found.unseen.ratio_logs)
            span = quantities.interval(float(ratios.min()), float(ratios.max()))
            sizes = f"{len(ratios)} size{'s' * (len(ratios) != 1)}"
            parts.append(f"{_host_title(infos[label])} {span} ({sizes})")
    if not parts:
        return "What predictions are off by at a size that their calibration did not see: not measured, too few sizes."
    return (
        "Measured over predicted where the calibration did not see the size (the largest N, b and d_z left out in "
        f"turn): {'; '.join(parts)}."
    )


def crossover_table(found: Sequence[BreakEven], infos: Infos, device: str) -> Table:
    """Return from which m on the device's iteration is the shorter one, by rival and N."""
    columns = (
        words("rival", lambda each: infos[each.rival].title),
        Column("N", lambda each: number(each.parameters)),
        Column("ahead above m [95 % of draws]", _above, "predicted"),
        Column("ahead at small m too", _below, "predicted"),
        Column("link", _link),
        words(
            "digital seconds", lambda each: "extrapolated" if each.extrapolated else "between measured sizes"
        ),
    )
    first = found[0]
    span = f"m = {quantities.count(first.smallest)} to {quantities.count(first.largest)}"
    caption = (
        f"From which m = b·d_z on {infos[device].title} has the shorter iteration (d_z = {first.outputs}, {span}). "
        "Extrapolated: host and rival are predicted beyond the sizes that were measured."
    )
    if first.not_stated:
        caption += (
            f" At best (≥): no time is stated for {quantities.items(first.not_stated)}, and none is counted."
        )
    data = pd.DataFrame(
        [dataclasses.asdict(each) | {c.NOT_STATED: " ".join(each.not_stated)} for each in found]
    )
    if not data[c.NOT_STATED].any():
        data = data.drop(columns=c.NOT_STATED)
    return tables.table_of("crossovers", caption, columns, found, data)


def _above(each: BreakEven) -> Cell:
    if np.isinf(each.rows_m):
        bound = "" if np.isinf(each.low) else f" [from {_rounded(each.low)}]"
        return Cell(None, f"no crossover in range{bound}")
    low, high = ("beyond" if np.isinf(bound) else _rounded(bound) for bound in (each.low, each.high))
    return Cell(each.rows_m, f"{'≥ ' if each.not_stated else ''}{_rounded(each.rows_m)} [{low}, {high}]")


def _below(each: BreakEven) -> Cell:
    return number(each.below, before="≤ ") if each.below else Cell(None, "–")


def _link(each: BreakEven) -> Cell:
    rate = each.link_rate
    return Cell(math.inf, "unlimited") if rate is None else number(rate, quantities.bit_rate)


def _rounded(value: float) -> str:
    return quantities.count(float(f"{value:.1e}"))


def lowest_times(trials: pd.DataFrame, times: pd.DataFrame, hits: pd.DataFrame) -> pd.DataFrame:
    """Return per training section the fastest optimizer to the highest target that one reached in its median seed.

    `times` and `hits` as in `time_to_target`. Only those whose cost per iteration is known count; `untimed` is how many
    others reached the same target. `told`: whether the paired seeds tell the fastest from its runner-up, by the exact
    signed-rank test of the logarithms of their times, p ≤ 5 % times the number of pairs that could have been those two.
    """
    columns = [c.GROUP, c.PARAMETERS, c.BATCH_SIZE, "target", c.OPTIMIZER, "seconds", "runner_up", "ratio"]
    columns += ["told", "untimed"]
    rows = []
    training = c.only(trials, kind="training")
    for group, part in times.groupby(c.GROUP, sort=True):
        reached = part[np.isfinite(part["modelled_median"].astype(float))]
        if reached.empty:
            continue
        target = reached["target"].iloc[-1] if reached["target"].nunique() == 1 else _hardest(part, reached)
        ranked = c.only(reached, target=target).sort_values("modelled_median", kind="stable")
        setting = c.only(training, group=group).iloc[0]
        first, second = ranked.iloc[0], ranked.iloc[1] if len(ranked) > 1 else None
        row = [group, int(setting[c.PARAMETERS]), int(setting[c.BATCH_SIZE]), target, first[c.OPTIMIZER]]
        row += [float(first["modelled_median"])]
        row += (
            ["", np.nan]
            if second is None
            else [second[c.OPTIMIZER], float(second["modelled_median"] / first["modelled_median"])]
        )
        row += [second is not None and _told_apart(hits, str(group), target, first, second)]
        same = c.only(part, target=target)
        arrived = np.isfinite(same["iterations_median"].astype(float))
        rows.append([*row, int((arrived & same["modelled_median"].isna()).sum())])
    return pd.DataFrame(rows, columns=columns)


def _told_apart(hits: pd.DataFrame, group: str, target: str, first: pd.Series, second: pd.Series) -> bool:
    own = c.only(hits, group=group, target=target)
    by_seed = own.pivot_table(index=c.SEED, columns=c.OPTIMIZER, values="modelled", aggfunc="first")
    pair = by_seed.reindex(columns=[first[c.OPTIMIZER], second[c.OPTIMIZER]]).dropna().to_numpy(float)
    if not len(pair):
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(pair[:, 0] == pair[:, 1], 0.0, np.log(pair[:, 0]) - np.log(pair[:, 1]))
    pairs = math.comb(own.loc[own["modelled"].notna(), c.OPTIMIZER].nunique(), 2)
    return bool(pairs * paired_difference(logs).p <= 1.0 - LEVEL)


def _hardest(part: pd.DataFrame, reached: pd.DataFrame) -> str:
    """Return the last of the targets, in the order of the study, that some optimizer reached."""
    order = list(dict.fromkeys(part["target"]))
    return str(max(set(reached["target"]), key=order.index))
