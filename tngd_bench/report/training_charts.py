"""Charts of convergence: training loss and test accuracy against iterations and against time, bands over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.convergence import Metric, bands_at_iteration, bands_at_time
from tngd_bench.analysis.families import Kind
from tngd_bench.analysis.rows import each
from tngd_bench.report import drawing, slugs
from tngd_bench.report.cost_charts import draw_line
from tngd_bench.report.drawing import Chart
from tngd_bench.report.marks import Mark

_METRICS: tuple[tuple[Metric, str], ...] = (
    ("train_loss", "training loss"),
    ("test_accuracy", "test accuracy"),
)
_TIME = "time (measured digital + modelled device)"


def convergence_charts(
    curves: pd.DataFrame, known: Mapping[str, Kind], drawn: Mapping[str, Mark]
) -> dict[str, list[Chart]]:
    """Return the charts of every group in `curves` (finished trials outside sweeps), by group name."""
    charts: dict[str, list[Chart]] = {}
    for group, part in curves.groupby("group", sort=True):
        made = []
        setting = part.iloc[0]
        size = quantities.count(float(setting["parameters"]))
        where = f"{setting['problem']}, N = {size}, b = {setting['batch_size']}"
        for metric, title in _METRICS:
            for against, bands in (
                ("iterations", bands_at_iteration(part, metric)),
                ("time", bands_at_time(part, metric)),
            ):
                if len(bands):
                    made.append(_chart(str(group), where, metric, title, against, bands, known, drawn))
        if made:
            charts[str(group)] = made
    return charts


def _chart(
    group: str,
    where: str,
    metric: Metric,
    title: str,
    against: str,
    bands: pd.DataFrame,
    known: Mapping[str, Kind],
    drawn: Mapping[str, Mark],
) -> Chart:
    figure, axes = drawing.panel(4.1)
    for label in [label for label in known if label in set(bands["optimizer"])]:
        own = bands[bands["optimizer"] == label]
        colour = drawn[label].colour.light
        spaced = own.iloc[:: max(1, len(own) // 6)] if against == "time" else own
        draw_line(axes, own["x"], own["median"], drawn[label], "", markers=False)
        marked = drawn[label]
        axes.plot(
            [],
            [],
            color=colour,
            linestyle=marked.dash,
            marker=marked.marker,
            label=known[label].title,
            markersize=5,
            markerfacecolor=colour if marked.filled else "none",
        )
        axes.plot(
            spaced["x"].to_numpy(float),
            spaced["median"].to_numpy(float),
            linestyle="",
            color=colour,
            marker=marked.marker,
            markersize=4,
            markerfacecolor=colour if marked.filled else "none",
        )
        x, low, high = (own[name].to_numpy(float) for name in ("x", "low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
    if metric == "train_loss" and (bands["low"] > 0).all():
        drawing.log_plain(axes, "y")
    if metric == "test_accuracy":
        drawing.percentages(axes)
    if against == "time":
        drawing.log_seconds(axes, "x")
    axes.set_xlabel("iterations" if against == "iterations" else _TIME)
    axes.set_ylabel(title)
    drawing.legend_below(figure, axes)
    return Chart(
        slugs.slug(group, metric, against),
        f"{title.capitalize()} against {against} ({where})",
        _alt(title, against, metric, bands, known),
        "Median and quartile band over the finished seeds; evaluation is off the clock."
        + (" A point is a seed's last evaluation up to that time." if against == "time" else ""),
        figure,
        bands.reset_index(drop=True),
    )


def _alt(title: str, against: str, metric: Metric, bands: pd.DataFrame, known: Mapping[str, Kind]) -> str:
    last = bands.sort_values("x", kind="stable").groupby("optimizer").tail(1)
    last = last.sort_values("median", ascending=metric.endswith("loss"), kind="stable")
    shown = quantities.percent if metric.endswith("accuracy") else quantities.significant
    ends = ", ".join(f"{known[row.optimizer].title} {shown(row.median)}" for row in each(last))
    return (
        f"{title.capitalize()} against {against}, median over seeds. At its last point, best first: {ends}."
    )
