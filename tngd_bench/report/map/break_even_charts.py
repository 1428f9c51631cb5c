"""Charts of what the device would have to do: break-even link rates, and its time as link, τ or word length change."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import break_even, caveats
from tngd_bench.analysis.families import Infos
from tngd_bench.report.document import charting, scales, slugs
from tngd_bench.report.document.charting import Chart, Look, draw_band, line_style
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import INK, series
from tngd_bench.report.map.map_view import DECADES, MapView
from tngd_bench.studies.store import columns as c

_PANELS = {
    "link_rate_bits_per_s": ("link rate", scales.log_bit_rates),
    "time_constant_s": ("time constant τ = RC", scales.log_seconds),
    "word_bits": ("bits of a word on the link", None),
}
_NAMED_RATES = {50e9: "50 Gb/s (paper)", 5.12e11: "PCIe 5.0 x16", 2.68e13: "HBM3"}


def _rates(view: MapView) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every rival with the link rates at which the device breaks even."""
    if view.use is None or not view.rivals:
        return
    lines = map(view.line, DECADES)
    rates = [break_even.break_even_rates(line, view.rivals) for line in lines if line is not None]
    if rates:
        for rival, frame in pd.concat(rates, ignore_index=True).groupby("rival", sort=False):
            yield str(rival), frame


@figure_of("what-if", "the link rate at which the device breaks even", cases=_rates)
def rate_chart(view: MapView, case: tuple[str, pd.DataFrame]) -> Chart:
    """Draw the break-even link rate against m, one line per N."""
    (rival, frame), device, outputs = case, view.device_name, view.main[c.OUTPUTS]
    figure, axes = charting.panel(3.8)
    sizes = sorted(set(frame[c.PARAMETERS]))
    for place, size in enumerate(sizes):
        own = c.only(frame, parameters=size).sort_values(c.ROWS)
        reached = own[np.isfinite(own["rate_bits_per_s"])]
        mark = series(place)
        x, y, near = (reached[name].to_numpy() for name in (c.ROWS, "rate_bits_per_s", "near"))
        marked = line_style(mark, linewidth=1.4, markersize=4, markevery=np.flatnonzero(near).tolist())
        axes.plot(x, y, **marked, label=f"N = {quantities.count(size)}")
        bounded = own[np.isfinite(own["high"])]
        draw_band(axes, bounded, (c.ROWS, "low", "high"), mark.colour, 0.14)
    axes.set_xlim(frame[c.ROWS].min(), frame[c.ROWS].max())
    axes.set_ylim(1e8, 1e15)
    for rate, name in _NAMED_RATES.items():
        axes.axhline(rate, color=INK.light, linewidth=0.7, linestyle=":")
        axes.text(frame[c.ROWS].max() / 1.1, rate * 1.15, name, fontsize=7.5, va="bottom", ha="right")
    scales.axis(axes, "x", f"rows m = b·d_z (d_z = {outputs})", scales.log_counts)
    scales.axis(axes, "y", "break-even link rate", scales.log_bit_rates)
    charting.legend_below(figure, axes, columns=3 if len(sizes) != 4 else 2)
    finding = " ".join(_least(c.only(frame, parameters=size), size) for size in sizes)
    return Chart(
        slugs.slug("break-even-link-rate", rival),
        f"Link rate at which {device} is as fast as {rival}",
        f"Break-even link rate of {device} against {rival}, by m. {finding}",
        "Modelled. Above a line the device's iteration is the shorter one; no line: no rate is enough. Band: the "
        "middle 95 % of the calibration's draws, where all of them reach a rate. Markers: between measured sizes; on a "
        "line without them the digital seconds, the host's too, are extrapolated."
        + _bound(frame.get(c.NOT_STATED, ())),
        figure,
        frame.reset_index(drop=True),
    )


def _bound(not_stated: Iterable[str]) -> str:
    items = quantities.items(item for names in not_stated for item in names.split())
    return f" A lower bound: no time is stated for {items}, and none is counted." if items else ""


def _least(own: pd.DataFrame, size: float) -> str:
    reached = own[np.isfinite(own["rate_bits_per_s"])]
    where = f"N = {quantities.count(size)}"
    if reached.empty:
        return f"{where}: no rate is enough at any m."
    best = reached.loc[reached["rate_bits_per_s"].idxmin()]
    least = quantities.bit_rate(float(best["rate_bits_per_s"]))
    return f"{where}: least {least}, at m = {quantities.count(float(best[c.ROWS]))}."


def _sensitivities(view: MapView) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every rival with the ratio of times as one figure of the device changes."""
    if view.use is None:
        return
    setting = view.main[c.PARAMETERS], view.main[c.OUTPUTS], (32, 512, 8192)
    line = break_even.line(view.calibrations, view.use, *setting, draws=100)
    if line is None:
        return
    for rival, labels in view.rivals.items():
        yield rival, break_even.sensitivities(line, view.use, labels)


@figure_of("what-if", "what the break-even size depends on", cases=_sensitivities, place=10)
def sensitivity_chart(view: MapView, case: tuple[str, pd.DataFrame]) -> Chart:
    """Draw the device's time relative to the rival's as its link, τ or word length change."""
    (rival, frame), device, use = case, view.device_name, view.use
    assert use is not None
    figure, panels = charting.panels(6.6, len(_PANELS), sharey=True)
    for axes, (parameter, (title, scale)) in zip(panels, _PANELS.items(), strict=True):
        _sensitivity_panel(axes, c.only(frame, parameter=parameter), getattr(use.device, parameter))
        scales.axis(axes, "x", title, scale)
        scales.axis(axes, "y", "time relative to rival", scales.log_ratios)
    charting.legend_below(figure, panels[0])
    head = frame.iloc[0]
    where = f"N = {quantities.count(head[c.PARAMETERS])}, d_z = {head[c.OUTPUTS]}"
    return Chart(
        slugs.slug("break-even-sensitivity", rival),
        f"What the device's figures change ({where}, against {rival})",
        f"Time of {device} relative to {rival} at {where}. {_sensitivity_words(frame)}",
        "Modelled. One figure of the device is changed, the others stay as in the study (dotted line: its value "
        "there). Below 1× the device is ahead. Bands: the middle 95 % of the calibration's draws. Extrapolated: "
        f"digital seconds, the host's too, beyond measured sizes.{_bound(use.not_stated)}",
        figure,
        frame.reset_index(drop=True),
    )


def _sensitivity_panel(axes: Axes, part: pd.DataFrame, now: float | None) -> None:
    for place, (batch_size, own) in enumerate(part.groupby(c.BATCH_SIZE, sort=True)):
        own = own.sort_values("value")
        mark, beyond = series(place), "" if own["near"].all() else ", extrapolated"
        x, y = own["value"].to_numpy(float), own["ratio"].to_numpy(float)
        marked = line_style(mark, linewidth=1.4, marker="")
        axes.plot(x, y, **marked, label=f"b = {quantities.count(float(str(batch_size)))}{beyond}")
        draw_band(axes, own, ("value", "low", "high"), mark.colour, 0.14)
    axes.axhline(1.0, color=INK.light, linewidth=0.9)
    if now is not None:
        axes.axvline(now, color=INK.light, linewidth=0.8, linestyle=":")


def _sensitivity_words(frame: pd.DataFrame) -> str:
    words = []
    for parameter, (title, _) in _PANELS.items():
        part = c.only(frame, parameter=parameter)
        ranges = [
            f"b = {quantities.count(float(str(b)))}: {quantities.significant(own['ratio'].min(), 2)} to "
            f"{quantities.significant(own['ratio'].max(), 2)} times"
            for b, own in part.groupby(c.BATCH_SIZE, sort=True)
        ]
        words.append(f"Over the range of the {title}: {'; '.join(ranges)}.")
    return " ".join(words)


def shows_a_plane(times: pd.DataFrame) -> bool:
    """Return whether `times` has two places of (N, b) at least: fewer are said in words, see `place_words`."""
    return len(times.drop_duplicates([c.PARAMETERS, c.BATCH_SIZE])) > 1


def place_words(times: pd.DataFrame, infos: Infos) -> str:
    """Return who reached the target first in each training section of `times` (see `place_chart`); "" for none."""
    if times.empty:
        return ""
    words = " ".join(
        f"Section {row.group} (N = {quantities.count(row.parameters)}, b = {row.batch_size}), {row.target}: "
        f"{infos[row.optimizer].title} in {quantities.seconds(row.seconds)}{_beside(row, infos)}."
        for row in c.each(times)
    )
    return (
        "The fastest optimizer to the highest target that a median seed reached, of those with a cost per iteration. "
        f"{words}"
    )


def _beside(row: Any, infos: Infos) -> str:
    """Return a runner-up that the seeds do not tell from the fastest, and the number of optimizers of unknown cost."""
    notes = []
    if row.runner_up and not row.told:
        seconds = quantities.seconds(row.seconds * row.ratio)
        notes.append(f"these seeds do not distinguish it from {infos[row.runner_up].title}, {seconds}")
    if row.untimed:
        notes.append(f"{row.untimed} more reached it at an unknown cost")
    return f" ({'; '.join(notes)})" if notes else ""


@figure_of("map", "who reaches the target first", place=30)
def place_chart(view: MapView) -> Chart | None:
    """Draw the plane of the lowest time to target: one mark per training section, that of the fastest optimizer."""
    times, infos = view.reached, view.infos
    untimed = caveats.named(view.results.unstated("training"), infos)
    if not shows_a_plane(times):
        return None
    figure, axes = charting.panel(3.6)
    for label, own in charting.by_optimizer(times, infos):
        mark = view.styles[label]
        x, y = own[c.PARAMETERS].to_numpy(float), own[c.BATCH_SIZE].to_numpy(float)
        point: Look = {"linestyle": "", "marker": mark.marker, "markersize": 12, "color": mark.colour.light}
        axes.plot(x, y, **point, label=infos[label].title)
    for place, own in c.groups(times, [c.PARAMETERS, c.BATCH_SIZE]):
        at = place[c.PARAMETERS], place[c.BATCH_SIZE]
        text = "\n".join(f"{row.group}: {quantities.seconds(row.seconds)}" for row in c.each(own))
        axes.annotate(text, at, (0, 9), textcoords="offset points", ha="center", va="bottom", fontsize=8)
    axes.margins(0.25)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(times[c.PARAMETERS].min() / 6, times[c.PARAMETERS].max() * 6)
    axes.set_ylim(times[c.BATCH_SIZE].min() / 3, times[c.BATCH_SIZE].max() * 3)
    scales.axis(axes, "x", scales.AXES[c.PARAMETERS], scales.log_counts)
    scales.axis(axes, "y", scales.AXES[c.BATCH_SIZE], scales.log_counts)
    charting.legend_below(figure, axes)
    return Chart(
        "lowest-time-to-target",
        "Who reaches the target first, where convergence was measured",
        place_words(times, infos),
        "Median over seeds of measured digital + modelled device time; a miss counts as ∞. Only measured points: "
        "convergence is not predicted. Told from the runner-up: exact signed-rank test over paired seeds, p ≤ 5 %, "
        "corrected for the pairs of optimizers."
        + (f" Left out, as no time is stated for items: {untimed}." if untimed else ""),
        figure,
        times.reset_index(drop=True),
    )
