"""Charts of convergence: training loss and test accuracy against iterations and against time, bands over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.analysis.training.convergence import bands_at_iteration, bands_at_time
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import TRAINING_LOSS, CurveMetric
from tngd_bench.report.cost.cost_charts import draw_line
from tngd_bench.report.document import charting, slugs
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.missing_figures import one_figure
from tngd_bench.report.document.palette import Mark, marks, strength
from tngd_bench.report.document.panels import LineGroup, line_groups
from tngd_bench.studies.store.columns import each

_TIME = "time (measured digital + modelled device)"


def convergence_charts(
    curves: pd.DataFrame, infos: Mapping[str, OptimizerInfo], styles: Mapping[str, Mark]
) -> dict[str, list[Chart]]:
    """Return the charts of every group in `curves` (finished trials outside sweeps), by group name.

    Where a group has more optimizers than a figure can show, further settings of a method have figures of their own of
    the training loss; see `line_groups`.
    """
    charts: dict[str, list[Chart]] = {}
    for group, part in curves.groupby("group", sort=True):
        made = []
        setting = part.iloc[0]
        size = quantities.count(float(setting["parameters"]))
        where = f"{setting['problem']}, N = {size}, b = {setting['batch_size']}"
        main, *others = line_groups(infos, set(part["optimizer"]))
        # further settings are drawn after the comparison itself, and by their loss alone: figures would be too many
        wanted = [(main, score) for score in registered_metrics.judged() if score.column in part]
        wanted += [(lines, TRAINING_LOSS) for lines in others]
        for lines, score in wanted:
            own = part[part["optimizer"].isin(lines.labels)]
            for against, bands in (
                ("iterations", bands_at_iteration(own, score.column)),
                ("time", bands_at_time(own, score.column)),
            ):
                if len(bands):
                    made.append(_chart(str(group), where, score, against, bands, lines, infos, styles))
        if made:
            charts[str(group)] = made
    return charts


@one_figure("convergence")
def _chart(
    group: str,
    where: str,
    score: CurveMetric,
    against: str,
    bands: pd.DataFrame,
    lines: LineGroup,
    infos: Mapping[str, OptimizerInfo],
    styles: Mapping[str, Mark],
) -> Chart:
    figure, axes = charting.panel(4.1)
    title = score.title
    present = [label for label in lines.labels if label in set(bands["optimizer"])]
    if lines.method:
        styles = marks({label: infos[label] for label in present})
    for label in present:
        opacity = strength(label, present, infos) if lines.method else 1.0
        own = bands[bands["optimizer"] == label]
        colour = styles[label].colour.light
        spaced = own.iloc[:: max(1, len(own) // 6)] if against == "time" else own
        draw_line(axes, own["x"], own["median"], styles[label], "", markers=False, opacity=opacity)
        marked = styles[label]
        axes.plot(
            [],
            [],
            color=colour,
            alpha=opacity,
            linestyle=marked.dash,
            marker=marked.marker,
            label=infos[label].title,
            markersize=5,
            markerfacecolor=colour if marked.filled else "none",
        )
        axes.plot(
            spaced["x"].to_numpy(float),
            spaced["median"].to_numpy(float),
            linestyle="",
            color=colour,
            alpha=opacity,
            marker=marked.marker,
            markersize=4,
            markerfacecolor=colour if marked.filled else "none",
        )
        x, low, high = (own[name].to_numpy(float) for name in ("x", "low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
    charting.metric_axis(axes, score.metric, positive=bool((bands["low"] > 0).all()))
    if against == "time":
        charting.log_seconds(axes, "x")
    axes.set_xlabel("iterations" if against == "iterations" else _TIME)
    axes.set_ylabel(title)
    charting.legend_below(figure, axes)
    of = f", {lines.words}" if lines.words else ""
    return Chart(
        slugs.slug(group, score.column, against, *([lines.method, *lines.varied] if lines.method else [])),
        f"{title[0].upper()}{title[1:]} against {against}{of} ({where})",
        _alt(score, against, bands, infos),
        "Median and quartile band over the finished seeds; evaluation is off the clock."
        + (" A point is a seed's last evaluation up to that time." if against == "time" else ""),
        figure,
        bands.reset_index(drop=True),
    )


def _alt(score: CurveMetric, against: str, bands: pd.DataFrame, infos: Mapping[str, OptimizerInfo]) -> str:
    title = score.title
    last = bands.sort_values("x", kind="stable").groupby("optimizer").tail(1)
    last = last.sort_values("median", ascending=not score.metric.larger_is_better, kind="stable")
    ends = ", ".join(
        f"{infos[row.optimizer].title} {quantities.metric(row.median, score.metric)}" for row in each(last)
    )
    return f"{title[0].upper()}{title[1:]} against {against}, median over seeds. At its last point, best first: {ends}."
