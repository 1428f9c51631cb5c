"""Charts of cost per iteration: time against size, ratio to SGD, and what the time is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.caveats import NOT_STATED
from tngd_bench.analysis.cost.leads import strongest_digital
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.report.cost import cost_series
from tngd_bench.report.cost.cost_series import CostSeries
from tngd_bench.report.document import charting, scales, slugs
from tngd_bench.report.document.charting import Chart, draw_band, draw_line
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import INK, PAPER, PARTS, marks
from tngd_bench.studies.store import columns as c

_SPLIT_TITLES = {name: f"{name} ({'measured' if name == 'digital' else 'modelled'})" for name in PARTS}
_HATCHES = {"digital": "", "write": "////", "relax": "xxxx", "read": "----"}
"""No dots: they are thousands of curves in an SVG."""


def _series(results: Results) -> list[CostSeries]:
    return cost_series.cover(results.cost_summary)


@figure_of("cost", "time per iteration", cases=_series)
def time_chart(results: Results, series: CostSeries) -> Chart:
    """Draw time per iteration against size."""
    infos, styles = results.infos, marks(results.infos)
    part, axis = series.part, series.axis
    figure, axes = charting.panel(4.3)
    for label, rows in charting.by_optimizer(part, infos):
        own = rows.sort_values(axis)
        bound = " (at least)" if own["total_median_s"].isna().any() else ""
        draw_line(axes, own[axis], own["at_least_s"], styles[label], f"{infos[label].title}{bound}")
        draw_band(axes, own, (axis, "total_q1_s", "total_q3_s"), styles[label].colour, 0.15)
        if infos[label].method == "tngd":
            x, y = own[axis].to_numpy(float), own["digital_median_s"].to_numpy(float)
            title = f"{infos[label].title}, measured part"
            axes.plot(x, y, color=styles[label].colour.light, linestyle=":", linewidth=1.6, label=title)
    scales.log_counts(axes, "x")
    scales.log_seconds(axes, "y")
    axes.set_xlabel(series.title)
    axes.set_ylabel("time per iteration")
    charting.legend_below(figure, axes)
    largest = part[part[axis] == part[axis].max()].sort_values("at_least_s", kind="stable")
    fastest = ", ".join(
        f"{infos[row.optimizer].title} {quantities.at_least(row.total_median_s, row.at_least_s)}"
        for row in c.each(largest)
    )
    size = quantities.count(float(part[axis].max()))
    return Chart(
        slugs.slug("time-per-iteration", *series.slug_parts),
        f"Time per iteration against {series.sign} ({series.where})",
        f"Median time per iteration against {series.title}. At {series.sign} = {size}, fastest first: {fastest}.",
        "Medians with quartile bands, both axes logarithmic. Digital optimizers: measured. TNGD: measured digital + "
        "modelled device; the dotted line is its measured digital part alone.",
        figure,
        part.reset_index(drop=True),
    )


@figure_of("cost", "time per iteration relative to SGD", cases=_series)
def ratio_chart(results: Results, series: CostSeries) -> Chart | None:
    """Draw the ratio of every optimizer's time to SGD's against size."""
    infos, styles = results.infos, marks(results.infos)
    part, axis = series.select(results.ratios_to_sgd), series.axis
    if part.empty:
        return None
    bounds = set(series.part.loc[series.part["total_median_s"].isna(), c.OPTIMIZER])
    figure, axes = charting.panel(4.3)
    others = part[part[c.OPTIMIZER] != part["reference"]]
    against = quantities.listed([infos[label].title for label in infos if label in set(part["reference"])])
    for label, rows in charting.by_optimizer(others, infos):
        own = rows.sort_values(axis)
        bound = " (at least)" if label in bounds else ""
        draw_line(axes, own[axis], own["total_ratio"], styles[label], f"{infos[label].title}{bound}")
        spread = [(own["total_ratio"] - own["total_low"]), (own["total_high"] - own["total_ratio"])]
        axes.errorbar(
            own[axis].to_numpy(float),
            own["total_ratio"].to_numpy(float),
            yerr=np.maximum(np.stack([side.to_numpy(float) for side in spread]), 0.0),
            fmt="none",
            ecolor=styles[label].colour.light,
            elinewidth=1.0,
        )
    axes.axhline(1.0, color=INK.light, linewidth=0.9)
    scales.log_counts(axes, "x")
    scales.log_ratios(axes, "y")
    axes.set_xlabel(series.title)
    axes.set_ylabel(f"time relative to {against}")
    charting.legend_below(figure, axes)
    size = part[axis].max()
    largest = others[others[axis] == size].sort_values("total_ratio", kind="stable")
    listed = ", ".join(
        f"{infos[row.optimizer].title} {'≥ ' if row.optimizer in bounds else ''}"
        f"{quantities.significant(row.total_ratio)} times"
        for row in c.each(largest)
    )
    return Chart(
        slugs.slug("ratio-to-sgd", *series.slug_parts),
        f"Ratio to {against} against {series.sign} ({series.where})",
        f"Time per iteration relative to {against}. At {series.sign} = {quantities.count(float(size))}: {listed}.",
        "Median of ratios paired within one process and repetition, with 95 % t-intervals over processes. For TNGD the "
        "numerator is measured digital + modelled device; the table has its measured part alone.",
        figure,
        part.reset_index(drop=True),
    )


def _splits(results: Results) -> Iterator[tuple[CostSeries, str]]:
    """Yield the series with a device, and that device."""
    for series in _series(results):
        present = set(series.part[c.OPTIMIZER])
        device = next(
            (label for label, info in results.infos.items() if info.modelled and label in present), None
        )
        if device is not None:
            yield series, device


def _split_table(series: CostSeries, timed: pd.DataFrame, device: str, infos: Infos) -> pd.DataFrame:
    rows = []
    part, axis = series.part, series.axis
    for size in sorted(set(part.loc[part[c.OPTIMIZER] == device, axis])):
        here = timed[timed[axis] == size]
        rivals = (strongest_digital(here, infos), strongest_digital(here, infos, exact_natural()))
        for label in dict.fromkeys(name for name in (*rivals, device) if name is not None):
            own = part[(part[axis] == size) & (part[c.OPTIMIZER] == label)].iloc[0]
            row = {name: own[name] for name in cost_series.AXES}
            row |= {c.OPTIMIZER: label, c.DIGITAL_S: own["digital_median_s"]}
            row |= {f"{name}_s": own[f"{name}_s"] for name in ("write", "relax", "read")}
            row["at_least_s"] = own["at_least_s"]
            rows.append(row)
    return pd.DataFrame(rows)


@figure_of("split", "what an iteration of TNGD is made of", cases=_splits)
def split_chart(results: Results, case: tuple[CostSeries, str]) -> Chart:
    """Draw the parts of a device's time beside the strongest digital competitor at each size."""
    (series, device), infos = case, results.infos
    table = _split_table(series, series.select(results.finished_costs), device, infos)
    axis = series.axis
    parts = [f"{name}_s" for name in PARTS]
    complete = table[parts].notna().all(axis=1)
    table = table.assign(sum_s=table[parts].sum(axis=1, skipna=False).where(complete, table["at_least_s"]))
    sizes = sorted(set(table[axis]))
    figure, axes = charting.panel(0.24 * len(table) + 1.7)
    for place, size in enumerate(sizes):
        pair = table[table[axis] == size]
        longest = float(pair["sum_s"].max())
        offsets = (np.arange(len(pair)) - (len(pair) - 1) / 2) * 0.27
        for offset, (_, row) in zip(offsets, pair.iterrows(), strict=True):
            _bar(axes, place + offset, row, longest)
            bound = "" if row[parts].notna().all() else "≥ "
            text = f"{infos[str(row[c.OPTIMIZER])].title}  {bound}{quantities.seconds(float(row['sum_s']))}"
            axes.text(102, place + offset, text, va="center", fontsize=8)
    axes.set_yticks(range(len(sizes)), [quantities.count(float(tick)) for tick in sizes])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"share of the longest bar at that {series.sign} (%)")
    axes.set_ylabel(series.title)
    _split_legend(figure, axes)
    return Chart(
        slugs.slug("cost-split", *series.slug_parts),
        f"{infos[device].title} beside its strongest digital competitors ({series.where})",
        _split_alt(table, series, device, infos),
        f"{infos[device].title} beside the fastest digital second-order optimizer of each size and, where that is not "
        "one, the fastest exact natural gradient. Bars of one size are scaled to the longest, the text gives the time. "
        "Hatched parts are modelled, plain parts measured."
        + ("" if complete.all() else " Gaps: a part has an item without a stated time (≥: a lower bound)."),
        figure,
        table.drop(columns=["sum_s", "at_least_s"]).reset_index(drop=True),
    )


def _look(name: str) -> dict[str, Any]:
    """Return how the bar of a part of an iteration is drawn."""
    return {"color": PARTS[name].light, "hatch": _HATCHES[name], "edgecolor": PAPER.light}


def _bar(axes: Axes, y: float, row: pd.Series, longest: float) -> None:
    left = 0.0
    for name in PARTS:
        if pd.isna(row[f"{name}_s"]):
            continue
        width = 100.0 * float(row[f"{name}_s"]) / longest
        axes.barh(y, width, 0.22, left, **_look(name), linewidth=0.0)
        left += width


def _split_legend(figure: Figure, axes: Axes) -> None:
    for name in PARTS:
        axes.barh([0], [0], **_look(name), label=_SPLIT_TITLES[name])
    charting.legend_below(figure, axes, columns=2)


def _split_alt(table: pd.DataFrame, series: CostSeries, device: str, infos: Infos) -> str:
    axis = series.axis
    largest = table[(table[axis] == table[axis].max()) & (table[c.OPTIMIZER] == device)].iloc[0]
    total = float(largest["sum_s"])
    bound = any(pd.isna(largest[f"{name}_s"]) for name in PARTS)
    shares = ", ".join(
        f"{_SPLIT_TITLES[name]} "
        + (NOT_STATED if pd.isna(seconds := largest[f"{name}_s"]) else quantities.percent(seconds / total))
        for name in PARTS
    )
    size = quantities.count(float(largest[axis]))
    taken = f"{'≥ ' if bound else ''}{quantities.seconds(total)}"
    return f"Parts of an iteration of {infos[device].title}. At {series.sign} = {size}, {taken}: {shares}."
