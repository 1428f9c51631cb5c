"""Charts: a matplotlib figure with its words and its data, in the type and colours of the report.

Figures are made without pyplot, so nothing is remembered between calls, and user text is never parsed as mathematics.
"""

from __future__ import annotations

import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tngd_bench.analysis.families import Infos
from tngd_bench.report.document.palette import INK, MUTED, RULE, Colour, Mark
from tngd_bench.studies.store import columns as c

Look = dict[str, Any]
"""Keyword arguments of matplotlib for one kind of line, point or area."""
WIDTH_INCHES = 4.7
_NOT_STYLE = (
    *("backend", "interactive", "toolbar", "timezone", "webagg.", "tk.", "date.epoch", "docstring."),
    "figure.max_open",
)
_LEGEND_CHARACTERS, _LEGEND_HANDLE = 78, 8  # so many fit beside one another, and a handle's width


@dataclass(frozen=True)
class MissingFigure:
    """A figure that failed: its `heading`, or what it would show, the `error` in one line, and its traceback.

    `part` says what it is of the page where it is no figure: a section, a sentence.
    """

    heading: str
    error: str
    trace: str
    part: str = "figure"

    @classmethod
    def because(cls, heading: str, error: Exception, part: str = "figure") -> MissingFigure:
        """Return why the figure of `heading` is missing: what was raised while it was made or drawn."""
        said = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
        return cls(heading, said, "".join(traceback.format_exception(error)), part)

    @property
    def note(self) -> str:
        """Return the sentence in place of the figure."""
        done = "drawn" if self.part == "figure" else "made"
        return f"A {self.part} is missing: “{self.heading}” could not be {done} ({self.error})."


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure: `name` (a slug, unique on the page), heading, `alt` (states the finding), caption, data behind it.

    `missing` says why where it could not be made; then it is left out of the page, see `Section.without`.
    """

    name: str
    heading: str
    alt: str
    caption: str
    figure: Figure
    data: pd.DataFrame
    missing: MissingFigure | None = None

    @classmethod
    def failed(cls, why: MissingFigure) -> Chart:
        """Return the placeholder of a chart, or of a whole section, that could not be made."""
        return cls("", why.heading, "", "", Figure(), pd.DataFrame(), why)


@contextmanager
def style(salt: str = "tngd-bench") -> Iterator[None]:
    """Draw with the report's type, colours and line widths; `salt` makes the ids of an SVG reproducible."""
    settings: dict[str, Any] = {
        **_defaults(),
        **sns.axes_style("ticks"),
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "axes.labelsize": 9,
        "axes.titlesize": 9.5,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK.light),
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), MUTED.light),
        "axes.grid": True,
        "grid.color": RULE.light,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "axes.linewidth": 0.8,
        "axes.unicode_minus": True,
        "hatch.linewidth": 0.7,
        "lines.linewidth": 1.4,
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "pdf.fonttype": 3,  # a fifth of the time of embedding subsets of the whole font, and smaller
    }
    with mpl.rc_context(rc=cast(Any, settings)):
        yield


@cache
def _defaults() -> dict[str, Any]:
    """Return matplotlib's own settings, so that a user's matplotlibrc (usetex, fonts, sizes) has no say in a report."""
    return {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith(_NOT_STYLE)}


def panel(height_inches: float = 3.3) -> tuple[Figure, Axes]:
    """Return a figure with one axes, sized to be read on a phone without scaling its text below 9 px."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.add_subplot()
    sns.despine(ax=axes)
    return figure, axes


def panels(height_inches: float, rows: int, columns: int = 1, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure with a grid of axes, row by row; `shared` as of matplotlib's `subplots`."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **shared).flat)


def folded(text: str, characters: int = 26) -> str:
    """Return a label on as many lines as it takes, none of which ends within an equation such as "d_z = 10"."""
    together = text.replace(" = ", "\u00a0=\u00a0")
    return textwrap.fill(together, characters, break_on_hyphens=False).replace("\u00a0", " ")


def appended(note: str) -> str:
    """Return a note as it follows a caption, "" for none."""
    return f" {note}" if note else ""


def legend_below(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """Put the legend of `axes` under it, outside the data, in at most `columns`, fewer where labels are long.

    The figure grows by what the legend takes beyond half of its height.
    """
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        labels = [folded(label, _LEGEND_CHARACTERS - _LEGEND_HANDLE) for label in labels]
        columns = max(1, min(columns, _LEGEND_CHARACTERS // (max(map(len, labels)) + _LEGEND_HANDLE)))
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.4
        )
        rows = -(-len(labels) // columns)
        folds = max(
            sum(text.count("\n") for text in labels[start : start + rows])
            for start in range(0, len(labels), rows)
        )
        size, height = (
            legend.get_texts()[0].get_fontproperties().get_size_in_points() / 72.0,
            figure.get_figheight(),
        )
        taken = size * (rows * (1.2 + legend.labelspacing) + 1.4 * folds)
        figure.set_figheight(height + max(0.0, taken - height / 2.0))


def by_optimizer(frame: pd.DataFrame, infos: Infos) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every optimizer in `frame` with its rows, in the report's order."""
    present = set(frame[c.OPTIMIZER])
    yield from ((label, c.only(frame, optimizer=label)) for label in infos if label in present)


def line_style(mark: Mark, **changes: Any) -> Look:
    """Return matplotlib's arguments for the line of an optimizer, with `changes`."""
    return {
        "color": mark.colour.light,
        "linestyle": mark.dash,
        "linewidth": 2.2 if mark.emphasised else 1.3,
        "marker": mark.marker,
        "markerfacecolor": mark.colour.light if mark.filled else "none",
        **changes,
    }


def draw_line(axes: Axes, x: pd.Series, y: pd.Series, mark: Mark, label: str, **changes: Any) -> None:
    """Draw one optimizer's line with its mark."""
    style = line_style(
        mark,
        markersize=8 if mark.marker == "*" else 5,
        markeredgecolor=mark.colour.light,
        markeredgewidth=0.8,
        zorder=3 if mark.emphasised else 2,
    )
    axes.plot(x.to_numpy(float), y.to_numpy(float), **style | changes, label=label)


def draw_band(
    axes: Axes, frame: pd.DataFrame, columns: tuple[str, str, str], colour: Colour, opacity: float
) -> None:
    """Fill between the second and third of `columns` of a frame over the first."""
    x, low, high = (frame[name].to_numpy(float) for name in columns)
    axes.fill_between(x, low, high, color=colour.light, alpha=opacity, linewidth=0)
