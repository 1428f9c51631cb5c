"""Tables of the report: what stands in each cell as text, and the frame it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.host_columns import host_extrapolated
from tngd_bench.analysis.cost.lower_bounds import NOT_STATED
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.analysis.rows import each
from tngd_bench.analysis.setting_names import parameter_name

MEASURED, MODELLED, COUNTED = "measured", "modelled", "counted"
EXTRAPOLATED = "≈: host seconds extrapolated to all columns of the Jacobian from the 16 that were timed."


@dataclass(frozen=True)
class Column:
    """A column: its heading, whether it holds numbers, and the clock it belongs to ("" for none)."""

    title: str
    numeric: bool = True
    clock: str = ""


def words(*titles: str) -> tuple[Column, ...]:
    """Return columns of words under `titles`."""
    return tuple(Column(title, numeric=False) for title in titles)


@dataclass(frozen=True)
class Table:
    """A table: `name` (a slug), caption, columns, rows of text (the first cell names the row), data behind it.

    `anchors`: for each row the place on the page that its first cell leads to; none where left out.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    data: pd.DataFrame
    anchors: tuple[str, ...] = ()


def short_keys(keys: Iterable[str]) -> str:
    """Return record keys with each file named once: "a.json #0 #1, b.json #0"."""
    by_file: dict[str, list[str]] = {}
    for key in sorted(keys):
        file, _, entry = key.rpartition("#")
        by_file.setdefault(file or key, []).append(f"#{entry}" if file else "")
    return ", ".join(" ".join([file, *entries]).strip() for file, entries in by_file.items())


def _placed(frame: pd.DataFrame, by: Sequence[str], known: Mapping[str, OptimizerInfo]) -> pd.DataFrame:
    """Return the rows sorted by columns: optimizers as the report orders them, sizes' axes as in its text."""
    places = {"optimizer": list(known), "axis": list(_AXES)}

    def place(column: pd.Series) -> pd.Series:
        order = places.get(str(column.name))
        return column if order is None else column.map({name: place for place, name in enumerate(order)})

    return frame.sort_values(list(by), kind="stable", key=place).reset_index(drop=True)


def cost_table(summary: pd.DataFrame, ratios: pd.DataFrame, known: Mapping[str, OptimizerInfo]) -> Table:
    """Return every cost with its spread; `summary` and `ratios` as in `analysis.cost`."""
    setting = ["group", "problem", "parameters", "batch_size", "outputs", "rows", "optimizer"]
    merged = summary.merge(ratios, on=setting, how="left")
    merged = _placed(merged, ["group", "batch_size", "outputs", "parameters", "optimizer"], known)
    rows = tuple(
        (
            known[row.optimizer].title,
            row.group,
            quantities.count(row.parameters),
            f"{row.batch_size} · {row.outputs} · {row.rows}",
            _host_mark(row, known[row.optimizer])
            + quantities.seconds_with_spread(row.digital_median_s, row.digital_q1_s, row.digital_q3_s),
            quantities.ratio(row.digital_ratio, row.digital_low, row.digital_high),
            *_modelled(row, known[row.optimizer].modelled),
            f"≥ {quantities.seconds(row.at_least_s)}"
            if pd.isna(row.total_median_s)
            else quantities.seconds_with_spread(row.total_median_s, row.total_q1_s, row.total_q3_s),
            NOT_STATED if pd.isna(row.total_mean_s) else quantities.seconds(row.total_mean_s),
            ("≥ " if pd.isna(row.total_median_s) and not pd.isna(row.total_ratio) else "")
            + quantities.ratio(row.total_ratio, row.total_low, row.total_high),
            quantities.significant(row.flops),
            quantities.memory(row.peak_bytes),
            f"{row.n} in {row.processes}",
            short_keys(row.keys),
        )
        for row in each(merged)
    )
    columns = (
        *words("optimizer", "section"),
        Column("N"),
        Column("b · d_z · m"),
        Column("digital time, median [quartiles]", clock=MEASURED),
        Column("digital relative to SGD [95 %]", clock=MEASURED),
        Column("write", clock=MODELLED),
        Column("relax", clock=MODELLED),
        Column("read", clock=MODELLED),
        Column("total, median [quartiles]", clock="measured digital + modelled device"),
        Column("total, mean", clock="measured digital + modelled device"),
        Column("total relative to SGD [95 %]", clock="measured digital + modelled device"),
        Column("FLOPs", clock=COUNTED),
        Column("peak memory", clock=MEASURED),
        Column("iterations in processes"),
        Column("records", numeric=False),
    )
    caption = (
        "Cost per iteration: medians over timed iterations with quartiles. The mean counts work that an optimizer "
        "does only now and then, as K-FAC's refreshes. A digital optimizer has no modelled part: its total is measured."
    )
    if merged["total_median_s"].isna().any():
        caption += " ≥: a lower bound, the device states no time for an item of its bill."
    if any(row[4].startswith("≈") for row in rows):
        caption += f" {EXTRAPOLATED}"
    return Table("cost-per-iteration", caption, columns, rows, merged)


def _modelled(row: object, device: bool) -> tuple[str, str, str]:
    if not device:
        return (quantities.NOT_MEASURED,) * 3
    write, relax, read = (
        NOT_STATED if pd.isna(getattr(row, name)) else quantities.seconds(getattr(row, name))
        for name in ("write_s", "relax_s", "read_s")
    )
    return write, relax, read


def _host_mark(row: object, kind: OptimizerInfo) -> str:
    setting = (getattr(row, name) for name in ("problem", "parameters", "outputs"))
    return "≈ " if kind.modelled and host_extrapolated(*setting) else ""


_AXES = {"parameters": "N", "batch_size": "b", "outputs": "d_z"}


def fits_table(scaling: pd.DataFrame, known: Mapping[str, OptimizerInfo]) -> Table:
    """Return the exponents in N, b and d_z beside those of the paper's Table 1; `scaling` as in `analysis.fits`."""
    held = [name for name in ("batch_size", "outputs") if name in scaling]
    scaling = _placed(scaling, ["axis", "group", *held, "optimizer"], known)
    rows = tuple(
        (
            known[row.optimizer].title,
            _AXES.get(row.axis, row.axis),
            row.quantity,
            _exponent(row.log_log, row.log_log_low, row.log_log_high),
            _exponent(row.exponent, row.exponent_low, row.exponent_high, row.exponent_determined),
            quantities.NOT_MEASURED if pd.isna(row.paper) else f"{row.paper:g}",
            quantities.NOT_MEASURED if pd.isna(row.paper_here) else f"{row.paper_here:.2f}",
            " · ".join(f"{slope:.2f}".replace("-", "−") for slope in row.local_slopes),
            f"{row.sizes}: {quantities.count(row.smallest)} – {quantities.count(row.largest)}",
            row.group,
            short_keys(row.keys),
        )
        for row in each(scaling)
    )
    columns = (
        *words("optimizer", "against", "quantity"),
        Column("log-log slope [95 %]"),
        Column("p over an overhead [95 %]"),
        Column("Table 1, largest power"),
        Column("Table 1, slope over this range"),
        Column("local slopes, small to large"),
        Column("sizes and fit range"),
        *words("section", "records"),
    )
    caption = (
        "How cost grows with N, b and d_z. A fixed overhead flattens the log-log slope; p is the exponent of a + b·xᵖ, "
        "fitted over it. Intervals: the wider of a hierarchical bootstrap (sizes, then repetitions) and a t-interval "
        "over sizes; of a slope also that of a line with one step, where it fits better. Fewer than five sizes give no "
        "exponent. Table 1 of arXiv 2405.13817: its largest power, and the log-log slope of its whole formula over the "
        "same sizes."
    )
    return Table("scaling-fits", caption, columns, rows, scaling)


def _exponent(value: float, low: float, high: float, determined: bool = True) -> str:
    if pd.isna(value):
        return "no exponent"
    if not determined:
        return "not determined"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")


_SCORES = {
    "final_test_accuracy": "final test accuracy",
    "final_test_exact_match": "final exact match on test questions",
    "untrained_test_f1": "F1 on test questions before training",
    "final_test_f1": "final F1 on test questions",
}


def final_table(ends: pd.DataFrame, known: Mapping[str, OptimizerInfo], *, sweeps: bool) -> Table:
    """Return how training ended, side by side or along sweeps; `ends` as in `analysis.outcomes.summarise_final`."""
    swept = ends["sweep_parameter"].notna()
    part = _placed(ends[swept if sweeps else ~swept], ["group", "optimizer"], known)
    rows = []
    scores = [name for name in _SCORES if part[f"{name}_median"].notna().any()] or ["final_test_accuracy"]
    for row in each(part):
        cells = [
            known[row.optimizer].title,
            row.group,
            f"{row.problem}, N = {quantities.count(row.parameters)}",
        ]
        if sweeps:
            cells.append(f"{parameter_name(row.sweep_parameter)} = {level_text(row.sweep_value)}")
        cells += [
            f"{row.finished} of {row.trials}" + (f", {row.diverged} diverged" if row.diverged else ""),
            _spread(row.final_loss_median, row.final_loss_q1, row.final_loss_q3),
            *(
                _percent_spread(*(getattr(row, f"{name}_{part}") for part in ("median", "q1", "q3")))
                for name in scores
            ),
            quantities.count(row.iterations),
            quantities.seconds(row.measured_s),
            quantities.seconds(row.modelled_s),
            short_keys(row.keys),
        ]
        rows.append(tuple(cells))
    columns = (
        *words("optimizer", "section", "problem", *(["level"] if sweeps else [])),
        Column("seeds finished"),
        Column("final training loss, median [quartiles]"),
        *(Column(f"{_SCORES[name]}, median [quartiles]") for name in scores),
        Column("iterations"),
        Column("elapsed time of the trial in step(), simulation included", clock=MEASURED),
        Column("iterations × cost per iteration", clock="measured digital + modelled device"),
        Column("records", numeric=False),
    )
    name = "sensitivity" if sweeps else "training"
    caption = (
        "How training ended: medians and quartiles over the finished seeds; a diverged seed enters no median."
    )
    return Table(name, caption, columns, tuple(rows), part)


def level_text(value: float) -> str:
    """Return a swept value, "ideal" where there is none."""
    return "ideal" if pd.isna(value) else quantities.level(value)


def _spread(median: float, low: float, high: float) -> str:
    if pd.isna(median):
        return quantities.NOT_MEASURED
    return f"{quantities.significant(median)} {quantities.interval(low, high)}"


def _percent_spread(median: float, low: float, high: float) -> str:
    if pd.isna(median):
        return quantities.NOT_MEASURED
    return f"{100 * median:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def targets_table(times: pd.DataFrame, known: Mapping[str, OptimizerInfo]) -> Table:
    """Return times to targets with hit rates; `times` as in `analysis.time_to_target`."""
    part = _placed(times, ["group", "target", "optimizer"], known)
    rows = tuple(
        (
            known[row.optimizer].title,
            row.group,
            row.target,
            f"{row.hits} of {row.tries}" if row.tries else "not tried",
            _censored(row),
            quantities.seconds(row.modelled_median),
        )
        for row in each(part)
    )
    columns = (
        *words("optimizer", "section", "target"),
        Column("seeds that hit"),
        Column("iterations, median (after, by] [its interval]"),
        Column("iterations × cost per iteration, median", clock="measured digital + modelled device"),
    )
    confidence = part["confidence"].min()
    caption = (
        "Time to targets fixed beforehand. A target is first seen met at an evaluation: (78, 156] was met after "
        "iteration 78 and by 156. A miss is censored: it counts as ∞, and no mean is taken."
        + (
            ""
            if pd.isna(confidence)
            else f" Intervals of medians: {quantities.percent(confidence)} at least, exact."
        )
    )
    if part["provenance"].str.startswith("median of").any():
        caption += " A median of reruns as a target is missed by half of them: whether its own baseline hits is a coin."
    for provenance, targets in part.groupby("provenance", sort=True)["target"]:
        caption += f" {', '.join(sorted(set(targets)))}: {provenance}."
    return Table("time-to-target", caption, columns, rows, part)


def _censored(row: Any) -> str:
    """Return e.g. "(78, 156] [78, 234]": between which evaluations the median seed met a target, and its interval."""
    if pd.isna(row.iterations_median):
        return quantities.NOT_MEASURED
    low, median, high = (
        quantities.significant(value) if np.isinf(value) else quantities.count(value)
        for value in (row.iterations_low, row.iterations_median, row.iterations_high)
    )
    if np.isinf(row.iterations_median):
        shown = median
    else:
        shown = f"({quantities.count(row.after_median)}, {median}]" if row.after_median >= 0 else median
    return f"{shown} [{low}, {high}]"
