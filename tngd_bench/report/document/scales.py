"""Scales of axes: logarithmic ones with readable ticks, shares in percent, metrics as their problems say."""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from tngd_bench.analysis import quantities
from tngd_bench.problems.metrics import Metric
from tngd_bench.studies.store import columns as c

AXES = {c.PARAMETERS: "parameters N", c.BATCH_SIZE: "batch size b", c.OUTPUTS: "outputs d_z"}
SIGNS = {c.PARAMETERS: "N", c.BATCH_SIZE: "b", c.OUTPUTS: "d_z"}
"""The axes of a size: how they are labelled and called."""
Scale = Callable[[Axes, str], None]
"""Sets scale and ticks of the axis "x" or "y" of axes."""
_FEWEST_TICKS = 3  # on a logarithmic axis
_ONE_VALUE = 1.0 + 1e-6
_SHORT = 100.0
"""The longest logarithmic axis with ticks between its decades, as high over low."""
_PLAIN = 1000
"""Counts below it are written out, in place of a power of ten."""
_TICKS, _WIDE_TICKS = 12, 6
"""Ticks of a logarithmic axis at most, and side by side where each is as long as "100 Gb/s"."""
_WITHIN_A_DECADE = (1.0, 2.0, 5.0), (1.0, 3.0)
"""The leading digits of ticks where decades are too few, and where that is too many."""


def axis(axes: Axes, which: str, label: str, scale: Scale | None = None) -> None:
    """Label the axis "x" or "y", on a scale of this module where one is given."""
    if scale is not None:
        scale(axes, which)
    axes.set(**{f"{which}label": label})


def _decade(value: float) -> str:
    if 1 <= value < _PLAIN:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    leading = float(f"{value / 10.0**exponent:.3g}")
    return quantities.power(exponent) if leading == 1 else f"{leading:g}·{quantities.power(exponent)}"


def round_seconds(value: float) -> str:
    """Return seconds as a tick writes them, without zeros after the point."""
    return re.sub(r"\.0+(?= )", "", quantities.seconds(value))


def _round_joules(value: float) -> str:
    return re.sub(r"\.0+(?= )", "", quantities.joules(value))


def _log(axes: Axes, which: str, text: Callable[[float], str]) -> None:
    """Make an axis logarithmic, with readable ticks written by `text`."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    wide = which == "x" and text in (round_seconds, _round_joules, quantities.bit_rate)
    axis.set_major_locator(_ReadableLogLocator(10, numticks=_WIDE_TICKS if wide else _TICKS))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_locator(_MinorLogLocator(10, subs="auto"))
    axis.set_minor_formatter(NullFormatter())
    axes.autoscale_view(scalex=which == "x", scaley=which == "y")  # by the new locator


log_counts = partial(_log, text=_decade)
"""Ticks 10, 10³, 10⁴, … and 20, 2·10³, 5·10³ when the range is short."""
log_seconds = partial(_log, text=round_seconds)
"""Ticks 10 µs, 1 ms, …"""
log_joules = partial(_log, text=_round_joules)
"""Ticks 10 µJ, 1 mJ, …"""
log_bit_rates = partial(_log, text=quantities.bit_rate)
"""Ticks 1 Gb/s, 10 Gb/s, …"""
log_ratios = partial(_log, text=lambda value: f"{quantities.level(value)}×")
"""Ticks 0.1×, 1×, 10×, …"""
log_plain = partial(_log, text=quantities.level)
"""Plain numbers at decades, and at 2 and 5 when the range is short."""


def whole(axes: Axes, which: str) -> None:
    """Put ticks of a linear axis at whole numbers, as of iterations."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True, min_n_ticks=1))


def percentages(axes: Axes) -> None:
    """Label the y axis, a fraction, in percent."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantities.percent(value)))


def metric_axis(axes: Axes, metric: Metric, *, positive: bool) -> None:
    """Make the y axis that of a metric: shares in percent, what is to fall logarithmic where all of it is positive."""
    if metric.share:
        percentages(axes)
    elif positive and not metric.larger_is_better:
        log_plain(axes, "y")


class _MinorLogLocator(LogLocator):
    """Ticks between decades, where these are few: beyond that they say nothing, and take a quarter of the drawing."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks, none where the axis is longer than `_SHORT`."""
        low, high = sorted((vmin, vmax))
        if low <= 0 or high > low * _SHORT:
            return np.empty(0)
        return super().tick_values(vmin, vmax)


class _ReadableLogLocator(LogLocator):
    """Ticks at decades; at 1, 2 and 5, or at 1 and 3, where these are fewer than three; else evenly spaced."""

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
        within = [np.outer(10.0**exponents, leading).ravel() for leading in _WITHIN_A_DECADE]
        shown = [np.count_nonzero((ticks >= low) & (ticks <= high)) for ticks in (decades, *within)]
        if shown[0] >= _FEWEST_TICKS:
            return decades
        if shown[1] >= _FEWEST_TICKS:
            return within[0] if shown[1] <= (self.numticks or _TICKS) else within[1]
        even = np.asarray(MaxNLocator(_FEWEST_TICKS + 2, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
        return even[even > 0]  # the first may lie at or below 0, which a logarithmic axis has no place for
