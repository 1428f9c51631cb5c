"""Charts of cost per iteration: time against size, ratio to SGD, what the time is made of, and how cost grows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.caveats import NOT_STATED
from tngd_bench.analysis.cost.iteration_cost import median_text
from tngd_bench.analysis.cost.leads import main_size, strongest_digital
from tngd_bench.analysis.families import Infos, device_title
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
_RATIO = ("total_ratio", "total_low", "total_high")
_HATCHES = {"digital": "", "write": "////", "relax": "xxxx", "read": "----"}
"""No dots: they are thousands of curves in an SVG."""


def _series(results: Results) -> list[CostSeries]:
    return cost_series.several(results.cost_summary)


@figure_of("cost", "time per iteration", cases=_series)
def time_chart(results: Results, series: CostSeries) -> Chart:
    """Draw time per iteration against size."""
    infos, styles = results.infos, marks(results.infos)
    part, axis, dotted = series.part, series.axis, False
    figure, axes = charting.panel(4.3)
    for label, rows in charting.by_optimizer(part, infos):
        own = rows.sort_values(axis)
        bound = " (at least)" if own["total_median_s"].isna().any() else ""
        draw_line(axes, own[axis], own["at_least_s"], styles[label], f"{infos[label].title}{bound}")
        draw_band(axes, own, (axis, "total_q1_s", "total_q3_s"), styles[label].colour, 0.15)
        if infos[label].method == "tngd":
            dotted = True
            x, y = own[axis].to_numpy(float), own["digital_median_s"].to_numpy(float)
            title = f"{infos[label].title}, measured part"
            axes.plot(x, y, color=styles[label].colour.light, linestyle=":", linewidth=1.6, label=title)
    scales.axis(axes, "x", series.title, scales.log_counts)
    scales.axis(axes, "y", "time per iteration", scales.log_seconds)
    charting.legend_below(figure, axes)
    largest = part[part[axis] == part[axis].max()].sort_values("at_least_s", kind="stable")
    fastest = ", ".join(f"{infos[row.optimizer].title} {median_text(row)}" for row in c.each(largest))
    size = quantities.count(float(part[axis].max()))
    return Chart(
        slugs.slug("time-per-iteration", *series.slug_parts),
        f"Time per iteration against {series.sign} ({series.where})",
        f"Median time per iteration against {series.title}. At {series.sign} = {size}, fastest first: {fastest}.",
        "Medians with quartile bands, both axes logarithmic. Digital optimizers: measured. "
        f"{device_title(infos, set(part[c.OPTIMIZER]))}: measured digital + modelled device"
        + ("; the dotted line is its measured digital part alone." if dotted else ".")
        + charting.appended(results.about_formats(set(part[c.OPTIMIZER]))),
        figure,
        part.reset_index(drop=True),
    )


def _main_series(results: Results) -> list[CostSeries]:
    """Return the series along N of the size that is shown in a picture of its own, see `main_size`."""
    size = main_size(results.cost_summary, results.infos).head(1)
    found = [series for series in _growths(results) if len(series.select(size))]
    return sorted(found, key=lambda series: series.axis != c.PARAMETERS)[:1]


@figure_of("pictures", "time per iteration", cases=_main_series, place=10)
def time_picture(results: Results, series: CostSeries) -> Chart | None:
    """Draw time per iteration against the size of the network for the page's first screen."""
    return time_chart(results, series)


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
        x, middle, low, high = (own[name].to_numpy(float) for name in (axis, *_RATIO))
        spread = np.maximum((middle - low, high - middle), 0.0)
        axes.errorbar(x, middle, spread, fmt="none", ecolor=styles[label].colour.light, elinewidth=1.0)
    axes.axhline(1.0, color=INK.light, linewidth=0.9)
    scales.axis(axes, "x", series.title, scales.log_counts)
    scales.axis(axes, "y", f"time relative to {against}", scales.log_ratios)
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
        "Median of ratios paired within one process and repetition, with 95 % t-intervals over processes. For "
        f"{device_title(infos, set(part[c.OPTIMIZER]))} the "
        "numerator is measured digital + modelled device; the table has its measured part alone."
        + charting.appended(results.about_formats(set(part[c.OPTIMIZER]))),
        figure,
        part.reset_index(drop=True),
    )


def _splits(results: Results) -> Iterator[tuple[CostSeries, str]]:
    """Yield the series with a device, and that device."""
    for series in _series(results):
        present = set(series.part[c.OPTIMIZER])
        devices = [label for label, info in results.infos.items() if info.modelled and label in present]
        yield from ((series, device) for device in devices[:1])


def _split_table(series: CostSeries, timed: pd.DataFrame, device: str, infos: Infos) -> pd.DataFrame:
    rows = []
    part, axis = series.part, series.axis
    for size in sorted(set(part.loc[part[c.OPTIMIZER] == device, axis])):
        here = timed[timed[axis] == size]
        rivals = (strongest_digital(here, infos), strongest_digital(here, infos, exact_natural()))
        for label in dict.fromkeys(name for name in (*rivals, device) if name is not None):
            own = part[(part[axis] == size) & (part[c.OPTIMIZER] == label)].iloc[0]
            row = {name: own[name] for name in scales.AXES}
            row |= {c.OPTIMIZER: label, c.DIGITAL_S: own["digital_median_s"]}
            row |= {f"{name}_s": own[f"{name}_s"] for name in ("write", "relax", "read")}
            row["at_least_s"] = own["at_least_s"]
            rows.append(row)
    return pd.DataFrame(rows)


@figure_of("split", "what an iteration with a device is made of", cases=_splits)
def split_chart(results: Results, case: tuple[CostSeries, str]) -> Chart:
    """Draw the parts of a device's time beside the strongest digital competitor at each size."""
    (series, device), infos = case, results.infos
    table = _split_table(series, series.select(results.finished_costs), device, infos)
    axis = series.axis
    parts = [f"{name}_s" for name in PARTS]
    complete = table[parts].notna().all(axis=1)
    table = table.assign(sum_s=table[parts].sum(axis=1, skipna=False).where(complete, table["at_least_s"]))
    sizes = sorted(set(table[axis]))
    titles = {label: charting.folded(infos[label].title, 34) for label in table[c.OPTIMIZER].unique()}
    lines = max(title.count("\n") + 1 for title in titles.values())
    figure, axes = charting.panel(0.24 * max(1.0, 0.6 * lines) * len(table) + 1.7)
    for place, size in enumerate(sizes):
        pair = table[table[axis] == size]
        longest = float(pair["sum_s"].max())
        offsets = (np.arange(len(pair)) - (len(pair) - 1) / 2) * 0.27
        for offset, (_, row) in zip(offsets, pair.iterrows(), strict=True):
            _bar(axes, place + offset, row, longest)
            bound = "" if row[parts].notna().all() else "≥ "
            text = f"{titles[str(row[c.OPTIMIZER])]}  {bound}{quantities.seconds(float(row['sum_s']))}"
            axes.text(102, place + offset, text, va="center", fontsize=8)
    axes.set_yticks(range(len(sizes)), [quantities.count(float(tick)) for tick in sizes])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"share of the longest bar at that {series.sign} (%)")
    axes.set_ylabel(series.title)
    for name in PARTS:
        axes.barh([0], [0], **_look(name), label=_SPLIT_TITLES[name])
    charting.legend_below(figure, axes, columns=2)
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
    """Return the look of the bar of a part of an iteration."""
    return {"color": PARTS[name].light, "hatch": _HATCHES[name], "edgecolor": PAPER.light}


def _bar(axes: Axes, y: float, row: pd.Series, longest: float) -> None:
    left = 0.0
    for name in PARTS:
        if pd.isna(row[f"{name}_s"]):
            continue
        width = 100.0 * float(row[f"{name}_s"]) / longest
        axes.barh(y, width, 0.22, left, **_look(name), linewidth=0.0)
        left += width


def _split_alt(table: pd.DataFrame, series: CostSeries, device: str, infos: Infos) -> str:
    axis = series.axis
    largest = table[(table[axis] == table[axis].max()) & (table[c.OPTIMIZER] == device)].iloc[0]
    total = float(largest["sum_s"])
    seconds = {title: largest[f"{name}_s"] for name, title in _SPLIT_TITLES.items()}
    shares = ", ".join(
        f"{title} {NOT_STATED if pd.isna(part) else quantities.percent(part / total)}"
        for title, part in seconds.items()
    )
    size = quantities.count(float(largest[axis]))
    taken = f"{'≥ ' if any(map(pd.isna, seconds.values())) else ''}{quantities.seconds(total)}"
    return f"Parts of an iteration of {infos[device].title}. At {series.sign} = {size}, {taken}: {shares}."


_COLUMNS = (
    ("digital_median_s", "measured seconds (digital)"),
    (c.MODELLED_S, "modelled seconds (device)"),
    (c.FLOPS, "operations, counted"),
    (c.PEAK_BYTES, "peak memory (MiB), measured"),
)


def _growths(results: Results) -> list[CostSeries]:
    return [series for axis in scales.AXES for series in cost_series.along(results.cost_summary, axis)]


@figure_of("scaling", "how cost grows", cases=_growths)
def scaling_chart(results: Results, series: CostSeries) -> Chart:
    """Draw measured digital seconds, modelled device seconds, counted operations and memory, in panels of their own."""
    infos, styles = results.infos, marks(results.infos)
    part, axis = series.part, series.axis
    shown = [(name, title) for name, title in _COLUMNS if (part[name].astype(float) > 0).any()]
    figure, panels = charting.panels(2.05 * len(shown) + 0.7, len(shown), sharex=True)
    for axes, (name, title) in zip(panels, shown, strict=True):
        for label, own in charting.by_optimizer(part[part[name].astype(float) > 0].sort_values(axis), infos):
            y = own[name] / 2**20 if name == c.PEAK_BYTES else own[name]
            draw_line(axes, own[axis], y, styles[label], infos[label].title)
        scales.log_counts(axes, "x")
        scales.axis(axes, "y", title, scales.log_seconds if name.endswith("_s") else scales.log_counts)
    panels[-1].set_xlabel(series.title)
    charting.legend_below(figure, panels[0])
    columns = [*scales.AXES, c.ROWS, c.OPTIMIZER, *(name for name, _ in shown)]
    return Chart(
        slugs.slug("scaling", *series.slug_parts),
        f"Cost against {series.sign}, by kind of cost ({series.where})",
        _growth_alt(series, shown, infos),
        "Medians; peak memory is what an iteration adds to the process. The modelled column has the device "
        "alone; no ratio mixes the columns."
        + charting.appended(results.about_formats(set(part[c.OPTIMIZER]))),
        figure,
        part[columns].reset_index(drop=True),
    )


def _growth_alt(series: CostSeries, shown: list[tuple[str, str]], infos: Infos) -> str:
    part, axis = series.part, series.axis
    words = []
    for name, title in shown:
        growth = {}
        for label, own in part.groupby(c.OPTIMIZER, sort=True):
            costs = own.sort_values(axis)[name].astype(float)
            costs = costs[costs > 0]
            if len(costs) > 1:
                growth[infos[str(label)].title] = costs.iloc[-1] / costs.iloc[0]
        grew = f"{title[:1].upper()}{title[1:]} grew"
        times = {label: f"{quantities.significant(factor)} times" for label, factor in growth.items()}
        ordered = sorted(growth, key=growth.__getitem__)
        if len(ordered) == 1:
            words += [f"{grew} {times[label]} for {label}." for label in ordered]
        elif ordered:
            least, most = ordered[0], ordered[-1]
            words.append(f"{grew} least for {least} ({times[least]}) and most for {most} ({times[most]}).")
    low, high = quantities.count(float(part[axis].min())), quantities.count(float(part[axis].max()))
    return f"Cost from {series.sign} = {low} to {high}. {' '.join(words)}"
