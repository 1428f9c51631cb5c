"""Charts: a matplotlib figure with its words and its data, and the ways it is written down.

Figures are made without pyplot, so nothing is remembered between calls, and user text is never parsed as
mathematics. The same figure gives a stand-alone SVG and PNG on white, and an inline SVG whose colours are the page's
CSS variables, so that it follows the reader's theme.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from tngd_bench.analysis import quantities
from tngd_bench.problems.metrics import Metric
from tngd_bench.report.document.palette import INK, MUTED, RULE, palette

if TYPE_CHECKING:
    from tngd_bench.report.document.missing_figures import MissingFigure

WIDTH_INCHES = 4.7
PNG_DOTS_PER_INCH = 200
POINTS_PER_INCH = 72
_NOT_STYLE = (
    "backend",
    "interactive",
    "toolbar",
    "timezone",
    "webagg.",
    "tk.",
    "date.epoch",
    "docstring.",
    "figure.max_open",
)
_FEWEST_TICKS = 3  # on a logarithmic axis
_ONE_VALUE = 1.0 + 1e-6
_PNG_COMPRESSION = 6  # 9 takes eight times as long for a tenth less
_LEGEND_CHARACTERS, _LEGEND_HANDLE = (
    78,
    8,
)  # so many characters of a legend fit beside one another, and a handle's width


@dataclass(frozen=True)
class Chart:
    """A figure: `name` (a slug, unique on the page), heading, `alt` (states the finding), caption, data behind it.

    `missing` says why where it could not be made; then it is left out of the page, see `missing_figures`.
    """

    name: str
    heading: str
    alt: str
    caption: str
    figure: Figure
    data: pd.DataFrame
    missing: MissingFigure | None = None


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
        "text.color": INK.light,
        "axes.labelcolor": INK.light,
        "axes.edgecolor": MUTED.light,
        "xtick.color": MUTED.light,
        "ytick.color": MUTED.light,
        "xtick.labelcolor": INK.light,
        "ytick.labelcolor": INK.light,
        "axes.grid": True,
        "grid.color": RULE.light,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "axes.linewidth": 0.8,
        "axes.unicode_minus": True,
        "hatch.linewidth": 0.7,
        "lines.linewidth": 1.4,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
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


def legend_below(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """Put the legend of `axes` under it, outside the data, in at most `columns`, fewer where labels are long."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = max(1, min(columns, _LEGEND_CHARACTERS // (max(map(len, labels)) + _LEGEND_HANDLE)))
        figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.4
        )


_TICKS, _WIDE_TICKS = 12, 6
"""Ticks of a logarithmic axis at most, and side by side where each is as long as "100 Gb/s"."""


def log_counts(axes: Axes, which: str) -> None:
    """Make an axis logarithmic with ticks 10³, 10⁴, … and 2·10³, 5·10³ when the range is short."""
    _log(axes, which, _decade)


def log_seconds(axes: Axes, which: str) -> None:
    """Make an axis logarithmic with ticks 10 µs, 1 ms, …"""
    _log(axes, which, _round_seconds)


def log_bit_rates(axes: Axes, which: str) -> None:
    """Make an axis logarithmic with ticks 1 Gb/s, 10 Gb/s, …"""
    _log(axes, which, quantities.bit_rate)


def log_ratios(axes: Axes, which: str) -> None:
    """Make an axis logarithmic with ticks 0.1×, 1×, 10×, …"""
    _log(axes, which, lambda value: f"{quantities.level(value)}×")


def percentages(axes: Axes) -> None:
    """Label the y axis, a fraction, in percent."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantities.percent(value)))


def log_plain(axes: Axes, which: str) -> None:
    """Make an axis logarithmic with plain numbers at decades, and at 2 and 5 when the range is short."""
    _log(axes, which, quantities.level)


def metric_axis(axes: Axes, metric: Metric, *, positive: bool) -> None:
    """Make the y axis that of a metric: shares in percent, what is to fall logarithmic where all of it is positive."""
    if metric.share:
        percentages(axes)
    elif positive and not metric.larger_is_better:
        log_plain(axes, "y")


def _log(axes: Axes, which: str, text: Any) -> None:
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    wide = which == "x" and text in (_round_seconds, quantities.bit_rate)
    axis.set_major_locator(_ReadableLogLocator(10, numticks=_WIDE_TICKS if wide else _TICKS))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_formatter(NullFormatter())
    axes.autoscale_view(scalex=which == "x", scaley=which == "y")  # by the new locator


class _ReadableLogLocator(LogLocator):
    """Ticks at decades; at 1, 2 and 5 where these are fewer than three; evenly spaced where those are, too."""

    def nonsingular(self, vmin: float, vmax: float) -> Any:
        """Return limits for data from `vmin` to `vmax`: values that no tick could tell apart are one value."""
        low, high = sorted((vmin, vmax))
        return super().nonsingular(low, low if low > 0 and high <= low * _ONE_VALUE else high)

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks, some perhaps outside the limits."""
        low, high = sorted((vmin, vmax))
        decades = np.asarray(super().tick_values(low, high))
        if low <= 0:
            return decades
        exponents = np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for ticks in (decades, np.outer(10.0**exponents, (1.0, 2.0, 5.0)).ravel()):
            if np.count_nonzero((ticks >= low) & (ticks <= high)) >= _FEWEST_TICKS:
                return ticks
        even = np.asarray(MaxNLocator(_FEWEST_TICKS + 2, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
        return even[even > 0]  # the first may lie at or below 0, which a logarithmic axis has no place for


def _decade(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    leading = float(f"{value / 10.0**exponent:.3g}")
    return quantities.power(exponent) if leading == 1 else f"{leading:g}·{quantities.power(exponent)}"


def _round_seconds(value: float) -> str:
    return re.sub(r"\.0+(?= )", "", quantities.seconds(value))


def svg(chart: Chart) -> str:
    """Return the stand-alone SVG, on white; the same figure gives the same bytes."""
    with style(chart.name):
        _settle(chart.figure)
        buffer = io.StringIO()
        chart.figure.set_canvas(FigureCanvasSVG(chart.figure))
        words = {"Date": None, "Creator": None, "Title": chart.heading}
        chart.figure.savefig(buffer, format="svg", metadata=words)
    return _compact(buffer.getvalue())


_COORDINATES = re.compile(r'(?<= )(d|x|y|points)="([^"]*)"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_UPRIGHT = re.compile(r' transform="rotate\(-?0 [^)]*\)"')
_TICK = re.compile(r'<path id="([^"]+)" d="M 0 0 L (?:0 [\d.-]+|[\d.-]+ 0)" style="stroke: [^"]*"/>')
_TICK_USED = re.compile(r'(<use xlink:href="#([^"]+)"[^>]*?) style="[^"]*"')


def _compact(document: str) -> str:
    """Return an SVG with coordinates to a tenth of a point and without what says nothing: half of its size.

    That is indentation, rotations by nothing, and the style of every use of a tick, whose path has its own.
    """
    short = _COORDINATES.sub(lambda found: f'{found[1]}="{_rounded(found[2])}"', document)
    short = _UPRIGHT.sub("", short)
    ticks = set(_TICK.findall(short))
    short = _TICK_USED.sub(lambda found: found[1] if found[2] in ticks else found.group(), short)
    return re.sub(r"\n +", "\n", short)


def _rounded(coordinates: str) -> str:
    numbers = _LONG_NUMBER.sub(
        lambda number: f"{float(number.group()):.1f}".rstrip("0").rstrip("."), coordinates
    )
    return " ".join(numbers.split())


def white(document: str) -> str:
    """Return a stand-alone SVG with a white ground, for viewers with a dark one."""
    return re.sub(
        r"(<svg [^>]*>)", r'\1\n <rect width="100%" height="100%" fill="#ffffff"/>', document, count=1
    )


def png(chart: Chart) -> bytes:
    """Return the PNG on white at 200 dots per inch."""
    with style(chart.name):
        _settle(chart.figure)
        buffer = io.BytesIO()
        canvas = FigureCanvasAgg(chart.figure)
        chart.figure.set_canvas(canvas)
        chart.figure.savefig(buffer, format="rgba", dpi=PNG_DOTS_PER_INCH, facecolor="white")
    return _with_palette(buffer.getvalue(), (int(canvas.renderer.width), int(canvas.renderer.height)))


def _with_palette(pixels: bytes, size: tuple[int, int]) -> bytes:
    """Return the PNG with 256 colours of its own, which is a third of its size and looks the same."""
    from PIL import Image

    image = Image.frombuffer("RGBA", size, pixels, "raw", "RGBA", 0, 1).convert("RGB")
    few = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small = io.BytesIO()
    few.save(small, "png", compress_level=_PNG_COMPRESSION, dpi=(PNG_DOTS_PER_INCH, PNG_DOTS_PER_INCH))
    return small.getvalue()


def pdf(chart: Chart) -> bytes:
    """Return the figure as a PDF of one page, on white, its text kept as text."""
    with style(chart.name):
        _settle(chart.figure)
        buffer = io.BytesIO()
        chart.figure.set_canvas(FigureCanvasPdf(chart.figure))
        metadata: dict[str, Any] = {"CreationDate": None, "Creator": None, "Producer": None}
        chart.figure.savefig(
            buffer, format="pdf", facecolor="white", metadata=metadata | {"Title": chart.heading}
        )
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Lay the figure out where that has not been done, and keep the layout: every format then draws it once, and alike.

    A figure with a layout engine, even one that does nothing, is drawn twice by each `savefig`.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    figure.set_canvas(FigureCanvasSVG(figure))
    dots_per_inch, figure.dpi = figure.dpi, POINTS_PER_INCH
    engine.execute(figure)
    figure.dpi = dots_per_inch
    figure.set_layout_engine(
        None
    )  # with `style` that means none; "none" would leave an engine that does nothing


def inline(chart: Chart, document: str) -> str:
    """Return `document`, the chart's SVG, as an element of an HTML page.

    Ids that something refers to get the chart's name, so that two figures on one page do not share them; colours become
    CSS variables with the light value as the fallback; the alternative text is the element's label.
    """
    body = document[document.index("<svg") :]
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"\s*<title>.*?</title>", "", body, flags=re.S)
    body = re.sub(r"\s*<style type=\"text/css\">.*?</style>", "", body, flags=re.S)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda found: found.group() if found[1] in used else "", body)
    body = re.sub(r'\bid="', f'id="{chart.name}-', body)
    body = body.replace("url(#", f"url(#{chart.name}-")
    body = re.sub(r'xlink:href="#', f'href="#{chart.name}-', body)
    for colour in palette():
        body = body.replace(colour.light, f"var({colour.name}, {colour.light})")
    body = re.sub(r"font-family: 'DejaVu Sans'[^;\"]*", "font-family: var(--sans)", body)
    body = re.sub(r"(font: [^;\"]*?px) 'DejaVu Sans'[^;\"]*", r"\1 var(--sans)", body)
    box = re.search(r'viewBox="([^"]*)"', body)
    assert box is not None  # matplotlib always writes one
    opening = f'<svg role="img" aria-label="{escape(chart.alt)}" viewBox="{box.group(1)}">'
    return re.sub(r"<svg [^>]*>", lambda _: opening, body, count=1)
