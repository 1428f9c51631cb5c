"""The paper's figures drawn from our records: mean ± standard deviation and quartiles, one chart for each problem."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from tngd_bench.analysis import optimizer_names, quantities
from tngd_bench.analysis.claims.paper_figures import FigureEntry, figure_points
from tngd_bench.analysis.families import Infos, optimizer_info
from tngd_bench.analysis.optimizer_names import SIGNS
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.convergence import PAPER_WINDOW
from tngd_bench.report.document import charting, scales, slugs
from tngd_bench.report.document.charting import Chart, line_style
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import Mark, marks, strength
from tngd_bench.studies.file.optimizer_label import label_texts
from tngd_bench.studies.store import columns as c

TUNED = "[tuned]"
_AXES = {
    **scales.AXES,
    c.ITERATION: "iterations",
    c.MODELLED_S: "time (measured digital + modelled device)",
    c.TOTAL_S: "time per iteration",
    c.LOSS: "training loss of the mini-batch",
    "test_error": "1 − test accuracy",
}


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper with its points from our records, and the titles of its optimizers."""

    figure: FigureEntry
    results: Results

    @cached_property
    def points(self) -> pd.DataFrame:
        """The points of all problems; see `figure_points`."""
        return figure_points(self.figure, self.results)

    def problems(self) -> list[str]:
        """Return the problems in the records that have points."""
        present = set(self.points[c.PROBLEM])
        return [name for name in dict.fromkeys(self.results.trials[c.PROBLEM]) if name in present]


def _titles(figure: FigureEntry, trials: pd.DataFrame, infos: Infos) -> dict[str, str]:
    """Return the name of each optimizer of `figure` in its legend.

    Where variants of a method change a setting, each is named with its value, the default too: "TNGD (t = 50 τ)".
    """
    labels = [label for label in figure.optimizers if label in infos]
    here = trials[trials[c.GROUP].isin(figure.groups)].drop_duplicates(c.OPTIMIZER)
    complete = {row.optimizer: json.loads(row.settings) for row in c.each(here[[c.OPTIMIZER, c.SETTINGS]])}
    titles = {}
    for label in labels:
        method, own = infos[label].method, label_texts(label)
        same = (label_texts(other) for other in labels if infos[other].method == method)
        varied = dict.fromkeys(name for texts in same for name in texts if name in SIGNS and name not in own)
        set_here = {name: value for name in varied if (value := complete.get(label, {}).get(name))}
        titles[label] = optimizer_names.name(optimizer_info(method, method, None).title, own | set_here)
    return titles


@figure_of("verdicts", "a figure of the paper from these records", cases=PaperFigure.problems)
def paper_chart(of: PaperFigure, problem: str) -> Chart:
    """Draw a figure of the paper on one problem: mean with standard deviation and quartiles."""
    figure, infos = of.figure, of.results.infos
    points = c.only(of.points, problem=problem)
    titles = _titles(figure, of.results.trials, infos)
    labels = [label for label in figure.optimizers if label in set(points[c.OPTIMIZER])]
    panels = [("", [label for label in labels if TUNED not in label])]
    tuned = [label for label in labels if TUNED in label]
    if tuned and panels[0][1]:
        panels = [("settings of the paper, or usual ones", panels[0][1]), ("tuned", tuned)]
    elif tuned:
        panels = [("tuned", tuned)]
    drawn_on, axes_of = charting.panels(1.3 + 2.7 * len(panels), len(panels), sharex=True, sharey=True)
    for axes, (title, shown) in zip(axes_of, panels, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        styles = marks({label: infos[label] for label in shown})
        for label in shown:
            own, opacity = c.only(points, optimizer=label), strength(label, shown, infos)
            spacing = 1 if figure.y == c.TOTAL_S else max(1, len(own) // 6)
            look = _look(styles[label], opacity) | {"markevery": spacing}
            _draw(axes, own, look, optimizer_names.without_tuned(titles[label]))
        if title:
            axes.set_title(title, loc="left")
        axes.set_ylabel(_AXES[figure.y])
    _scales(figure, axes_of, points)
    axes_of[-1].set_xlabel(_AXES[figure.x])
    columns = 2 if max(len(titles[label]) for label in labels) > 18 else 3
    longest = max(axes_of, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    charting.legend_below(drawn_on, longest, columns)
    return Chart(
        slugs.slug("paper", figure.id, problem),
        f"{figure.number}: {figure.title} ({problem})",
        _alt(figure, points, titles),
        _caption(figure, points),
        drawn_on,
        points.reset_index(drop=True),
    )


def _look(mark: Mark, opacity: float) -> dict[str, Any]:
    width, size = 1.9 if mark.emphasised else 1.3, 7 if mark.marker == "*" else 4.5
    look = line_style(mark, alpha=opacity, linewidth=width, markersize=size)
    return look | {"zorder": 3 if mark.emphasised else 2}


def _draw(axes: Axes, own: pd.DataFrame, look: Mapping[str, Any], title: str) -> None:
    x, mean, std, low, high = (own[name].to_numpy(float) for name in ("x", "mean", "std", "low", "high"))
    axes.plot(x, mean, **look, label=title)
    spread = np.nan_to_num(std)
    below = np.where(
        mean > spread, mean - spread, low
    )  # a logarithmic axis has no place for less than nothing
    for bottom, top, opacity in ((below, mean + spread, 0.10), (low, high, 0.16)):
        axes.fill_between(x, bottom, top, color=look["color"], alpha=opacity * look["alpha"], linewidth=0)


def _scales(figure: FigureEntry, panels: Sequence[Axes], points: pd.DataFrame) -> None:
    for axes in panels:
        if figure.x in (c.PARAMETERS, c.OUTPUTS):
            scales.log_counts(axes, "x")
        elif figure.x == c.MODELLED_S and (points["x"] > 0).any():
            axes.set_xlim(left=float(points.loc[points["x"] > 0, "x"].min()))
            scales.log_seconds(axes, "x")
        elif figure.x == c.ITERATION:
            scales.whole(axes, "x")
        if figure.y == c.TOTAL_S:
            scales.log_seconds(axes, "y")
        elif figure.y == "test_error":
            scales.percentages(axes)
        if figure.y != c.TOTAL_S and (points["mean"] > 0).all():
            scales.log_plain(axes, "y")
            if figure.y != c.LOSS:  # errors span two decades at most
                axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=12))
                scales.percentages(axes)


def _caption(figure: FigureEntry, points: pd.DataFrame) -> str:
    counts = sorted({int(value) for value in points["seeds"]})
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    of = "timed iterations" if figure.y == c.TOTAL_S else "seed" if counts == [1] else "seeds"
    text = f"Line: mean over {number} {of}; light band: ± standard deviation; darker band: quartiles."
    if figure.window > 1:
        there = (
            " as in the paper" if figure.window == PAPER_WINDOW else "; the paper does not say how it smooths"
        )
        text += f" Mini-batch loss, moving average of {figure.window} iterations{there}."
    if figure.x == c.MODELLED_S or figure.y == c.TOTAL_S:
        text += " Time of TNGD: its measured digital part + the modelled device; others: measured."
    return text


def _alt(figure: FigureEntry, points: pd.DataFrame, titles: Mapping[str, str]) -> str:
    last = points.sort_values("x", kind="stable").groupby(c.OPTIMIZER).tail(1)

    def shown(value: float) -> str:
        if figure.y == c.TOTAL_S:
            return quantities.seconds(value)
        return quantities.percent(value) if figure.y == "test_error" else quantities.significant(value)

    ends = ", ".join(
        f"{titles[row.optimizer]} {shown(row.mean)}"
        for row in c.each(last.sort_values("mean", kind="stable"))
    )
    return f"{figure.title}, mean. At each one's last point, lowest first: {ends}."
