"""A predicted sweep as a figure: the device's iteration and the digital optimizers against one quantity."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos, optimizer_info
from tngd_bench.atomic_write import write
from tngd_bench.csv_text import csv_bytes
from tngd_bench.optimizers import registry
from tngd_bench.report.document import charting, scales
from tngd_bench.report.document.charting import Chart, draw_line
from tngd_bench.report.document.palette import marks
from tngd_bench.report.render import drawings
from tngd_bench.studies.store import columns as c

_WRITERS = {
    ".svg": lambda chart: drawings.white(drawings.svg(chart)).encode(),
    ".png": drawings.png,
    ".pdf": drawings.pdf,
}
_TITLES = {
    **scales.AXES,
    "batch": scales.AXES[c.BATCH_SIZE],
    "analog_time": "analog time t (τ)",
    "positions": "places of a sample that use a weight",
    "cg_iterations": "iterations of NGD-CG",
    "damping": "damping λ",
    "link_rate_bits_per_s": "link rate",
    "tau": "time constant τ",
    "time_constant_s": "time constant τ",
    "word_bits": "word length (bits)",
    c.DEVICE: "device preset",
    "upload": "arrays sent over the link",
    "write_parallel": "cells written at once",
}


def formats() -> tuple[str, ...]:
    """Return the file endings that `write_prediction` takes."""
    return tuple(_WRITERS)


def prediction_chart(rows: Sequence[Mapping[str, Any]], name: str, device: str, where: str) -> Chart:
    """Return the chart of the rows of a sweep over `name`; TNGD is host and device, or the device alone without one.

    Where the device states no time for an item its lower bound is drawn, and named so. ValueError where nothing has a
    time.
    """
    frame = pd.DataFrame(rows)
    digital = [name for name in registry.digital() if f"{name}_s" in frame]
    infos = {label: optimizer_info(label, label) for label in (*digital, "tngd")}
    unfit = frame["does_not_fit"].astype(str) if "does_not_fit" in frame else pd.Series("", frame.index)
    with_host = frame["iteration_at_least_s"].notna() | unfit.str.contains("host")
    total = "iteration_at_least_s" if with_host.any() else "device_at_least_s"
    if not frame[[total, *(f"{label}_s" for label in digital)]].notna().any(axis=None):
        raise ValueError("nothing to draw: the processor has too little memory at every value of the sweep")
    unstated = frame[c.NOT_STATED].astype(str)
    words = bool(frame[name].map(lambda value: isinstance(value, str)).any())
    joules = [f"{label}_j" for label in digital] + [_of_joules(total)]
    priced = frame.reindex(columns=joules).notna().any(axis=None)
    figure, panels = charting.panels(7.0 if priced else 4.2, 1 + bool(priced), sharex=True)
    axes = panels[0]
    _draw(axes, frame, name, total, infos, words=words)
    _scale(axes, frame, name, words=words)
    if priced:
        _draw_energy(panels[1], frame, name, total, infos, words=words)
    timed = frame[[f"{label}_s" for label in digital]].notna().any(axis=None)
    rated = ", at least\n(processors at rated speed)" if timed else ""
    axes.set_ylabel(f"modelled time per iteration{rated}")
    charting.legend_below(figure, axes)
    items = quantities.items(item for row in unstated for item in row.split())
    notes = (" Times of processors are lower bounds." if timed else "") + _unfit(frame, infos)
    if priced:
        notes += " Dotted, or dashes below a star: the energy of TNGD's host alone."
    if items:
        notes += f" {infos['tngd'].title}'s time is a lower bound where no time is stated for: {items}."
    return Chart(
        "prediction",
        f"Predicted iteration against {_TITLES.get(name, name)} ({'; '.join(filter(None, (device, where)))})",
        f"Modelled time per iteration. At {'the last value' if not words else frame[name].iloc[-1]}, fastest first: "
        f"{_fastest(frame.iloc[-1], total, infos)}.",
        f"Modelled: nothing was run.{notes}",
        figure,
        frame,
    )


def _fastest(row: "pd.Series[Any]", total: str, infos: Infos) -> str:
    """Return optimizers with their times at one value, those of processors as the lower bounds that they are."""
    found = [
        (float(row[f"{label}_s"]), info.title, "≥ ")
        for label, info in infos.items()
        if not info.modelled and pd.notna(row[f"{label}_s"])
    ]
    if pd.notna(row[total]):
        exact = total == "device_at_least_s" and not row[c.NOT_STATED]
        found.append((float(row[total]), infos["tngd"].title, "" if exact else "≥ "))
    listed = (f"{title} {bound}{quantities.seconds(value)}" for value, title, bound in sorted(found))
    return ", ".join(listed) or "none"


def _unfit(frame: pd.DataFrame, infos: Infos) -> str:
    """Return a sentence on what has no time at some value because memory is too small; "" for nothing."""
    lacking = {each for row in frame.get("does_not_fit", ()) for each in row.split()}
    titles = [info.title for label, info in infos.items() if label in lacking]
    titles += [f"{infos['tngd'].title} (its host)"] if "host" in lacking else []
    if not titles:
        return ""
    return f" Without a time where the processor has too little memory: {quantities.listed(titles)}."


def _draw(axes: Axes, frame: pd.DataFrame, name: str, total: str, infos: Infos, *, words: bool) -> None:
    """Draw a line per optimizer, TNGD's from the column `total`, with "≥" at its bounds where not all of it is one."""
    places = pd.Series(range(len(frame)), dtype=float) if words else frame[name].astype(float)
    bounds = frame[c.NOT_STATED].astype(str) != ""
    bound = " (at least)" if bounds.all() else " (≥: at least)" if bounds.any() else ""
    look = {"linestyle": ""} if words else {} if len(frame) < 30 else {"marker": ""}
    for label, mark in marks(infos).items():
        own = label == "tngd"
        values = frame[total if own else f"{label}_s"].astype(float)
        if values.notna().any():
            title = infos[label].title + (bound if own else "")
            draw_line(axes, places, values, mark, title, **look)
    if bounds.any() and not bounds.all():
        for place, value in zip(places[bounds], frame[total][bounds], strict=True):
            axes.annotate("≥", (place, value), (-6, 0), textcoords="offset points", ha="right", va="center")


def _of_joules(total: str) -> str:
    """Return the column of joules beside one of seconds."""
    return total.removesuffix("_s") + "_j"


def _draw_energy(
    axes: Axes, frame: pd.DataFrame, name: str, total: str, infos: Infos, *, words: bool
) -> None:
    """Draw the joules of each optimizer, TNGD's host apart; what has no price is left out of a bound."""
    places = pd.Series(range(len(frame)), dtype=float) if words else frame[name].astype(float)
    styles, look = marks(infos), {"linestyle": ""} if words else {"marker": ""}
    for label, mark in styles.items():
        values = frame.get(f"{label}_j" if label != "tngd" else _of_joules(total))
        if values is not None and values.notna().any():
            draw_line(axes, places, values.astype(float), mark, infos[label].title, **look)
    host = frame.get("host_j")
    if host is not None and host.notna().any():
        dotted = {"linestyle": "" if words else ":", "marker": "_"}
        draw_line(axes, places, host.astype(float), styles["tngd"], "TNGD's host alone", **dotted)
    scales.log_joules(axes, "y")
    axes.set_xlabel(_TITLES.get(name, name.replace("_", " ")))
    axes.set_ylabel("joules per iteration, at least")


def _scale(axes: Axes, frame: pd.DataFrame, name: str, *, words: bool) -> None:
    if words:
        ticks = [each if isinstance(each, str) else quantities.significant(each) for each in frame[name]]
        axes.set_xticks(range(len(frame)), ticks, rotation=0 if len(frame) < 5 else 30)
        axes.set_xlim(-0.5, len(frame) - 0.5)
    elif (frame[name] > 0).all():
        if name == "link_rate_bits_per_s":
            scales.log_bit_rates(axes, "x")
        elif name in ("tau", "time_constant_s"):
            scales.log_seconds(axes, "x")
        elif name != "word_bits":
            scales.log_counts(axes, "x")
    scales.log_seconds(axes, "y")
    if not words:  # values at which nothing fits have no point, and are shown all the same
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, float(frame[name].min())), max(high, float(frame[name].max())))
    axes.set_xlabel(_TITLES.get(name, name.replace("_", " ")))


def write_prediction(
    rows: Sequence[Mapping[str, Any]], name: str, device: str, where: str, path: Path
) -> None:
    """Write the chart to `path`, in the format that its ending names, and its data as CSV beside it."""
    with charting.style():
        chart = prediction_chart(rows, name, device, where)
    write(path, _WRITERS[path.suffix.lower()](chart))
    write(path.with_suffix(".csv"), csv_bytes(chart.data))
