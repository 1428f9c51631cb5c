"""Charts of convergence: training loss and test accuracy against iterations and against time, bands over seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.convergence import bands_at_iteration, bands_at_time, finished_curves
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import TRAINING_LOSS, CurveMetric
from tngd_bench.report.document import charting, scales, slugs
from tngd_bench.report.document.charting import Chart, draw_band, draw_line, line_style
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import marks, strength
from tngd_bench.report.document.panels import LineGroup, line_groups
from tngd_bench.studies.store import columns as c

_TIME = "time (measured digital + modelled device)"


@dataclass(frozen=True)
class Convergence:
    """One metric of the optimizers `lines` of a section, and its `bands` over seeds `against` iterations or time."""

    group: str
    where: str
    score: CurveMetric
    against: str
    bands: pd.DataFrame
    lines: LineGroup


def _convergence(results: Results) -> Iterator[Convergence]:
    """Yield every section's metrics against iterations and time.

    Where a section has more optimizers than a figure can show, further settings of a method have figures of their own
    of the training loss; see `line_groups`.
    """
    for group, part in finished_curves(results.curves, results.trials).groupby(c.GROUP, sort=True):
        setting = part.iloc[0]
        size = quantities.count(float(setting[c.PARAMETERS]))
        where = f"{setting[c.PROBLEM]}, N = {size}, b = {setting[c.BATCH_SIZE]}"
        main, *others = line_groups(results.infos, set(part[c.OPTIMIZER]))
        # further settings are drawn after the comparison itself, and by their loss alone: figures would be too many
        wanted = [(main, score) for score in registered_metrics.judged() if score.column in part]
        wanted += [(lines, TRAINING_LOSS) for lines in others]
        for lines, score in wanted:
            own = part[part[c.OPTIMIZER].isin(lines.labels)]
            for against, bands_of in (("iterations", bands_at_iteration), ("time", bands_at_time)):
                bands = bands_of(own, score.column)
                if len(bands):
                    yield Convergence(str(group), where, score, against, bands, lines)


@figure_of("convergence", "convergence", cases=_convergence)
def convergence_chart(results: Results, case: Convergence) -> Chart:
    """Draw a metric of one section against iterations or time, medians with bands over seeds."""
    score, against, bands, lines = case.score, case.against, case.bands, case.lines
    infos, styles = results.infos, marks(results.infos)
    figure, axes = charting.panel(4.1)
    title = score.title
    present = [label for label in lines.labels if label in set(bands[c.OPTIMIZER])]
    if lines.method:
        styles = marks({label: infos[label] for label in present})
    for label in present:
        opacity = strength(label, present, infos) if lines.method else 1.0
        own = c.only(bands, optimizer=label)
        spaced = own.iloc[:: max(1, len(own) // 6)] if against == "time" else own
        mark = styles[label]
        draw_line(axes, own["x"], own["median"], mark, "", marker="", alpha=opacity)
        marked = line_style(mark, alpha=opacity)
        del marked["linewidth"]
        axes.plot([], [], **marked | {"markersize": 5}, label=infos[label].title)
        points = spaced["x"].to_numpy(float), spaced["median"].to_numpy(float)
        axes.plot(*points, **marked | {"markersize": 4, "linestyle": ""})
        draw_band(axes, own, ("x", "low", "high"), mark.colour, 0.14)
    scales.metric_axis(axes, score.metric, positive=bool((bands["low"] > 0).all()))
    if against == "time":
        scales.log_seconds(axes, "x")
    axes.set_xlabel("iterations" if against == "iterations" else _TIME)
    axes.set_ylabel(title)
    charting.legend_below(figure, axes)
    of = f", {lines.words}" if lines.words else ""
    return Chart(
        slugs.slug(
            case.group, score.column, against, *([lines.method, *lines.varied] if lines.method else [])
        ),
        f"{title[0].upper()}{title[1:]} against {against}{of} ({case.where})",
        _alt(score, against, bands, infos),
        "Median and quartile band over the finished seeds; evaluation is off the clock."
        + (" A point is a seed's last evaluation up to that time." if against == "time" else ""),
        figure,
        bands.reset_index(drop=True),
    )


def _alt(score: CurveMetric, against: str, bands: pd.DataFrame, infos: Infos) -> str:
    title = score.title
    last = bands.sort_values("x", kind="stable").groupby(c.OPTIMIZER).tail(1)
    last = last.sort_values("median", ascending=not score.metric.larger_is_better, kind="stable")
    ends = ", ".join(
        f"{infos[row.optimizer].title} {quantities.metric(row.median, score.metric)}" for row in c.each(last)
    )
    return f"{title[0].upper()}{title[1:]} against {against}, median over seeds. At its last point, best first: {ends}."
