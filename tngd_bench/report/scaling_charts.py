"""Charts of scaling: measured, modelled and counted cost side by side along N, b or d_z, and memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Kind
from tngd_bench.report import drawing, slugs
from tngd_bench.report.cost_charts import draw_line
from tngd_bench.report.drawing import Chart
from tngd_bench.report.marks import Mark

AXES = {"parameters": "parameters N", "batch_size": "batch size b", "outputs": "outputs d_z"}
_COLUMNS = (
    ("digital_median_s", "measured seconds (digital)"),
    ("modelled_s", "modelled seconds (device)"),
    ("flops", "operations, counted"),
    ("peak_bytes", "peak memory (MiB), measured"),
)
_SHORT = {"parameters": "N", "batch_size": "b", "outputs": "d_z"}


def scaling_charts(
    summary: pd.DataFrame, axis: str, known: Mapping[str, Kind], drawn: Mapping[str, Mark]
) -> list[Chart]:
    """Return, for every series of `summary` (see `cost.summarise`) with several sizes along `axis`, one chart.

    Its panels are never mixed: measured digital seconds, modelled device seconds, counted operations, peak memory.
    Along b and d_z a model's exact N may differ by the 2 % of its width, so a series is told by N's order of size.
    """
    held = [name for name in AXES if name != axis]
    rounded = summary.assign(parameters=summary["parameters"])
    if axis != "parameters":
        rounded["parameters"] = summary["parameters"].map(lambda n: float(f"{n:.1e}"))
    charts = []
    for values, part in rounded.groupby(["group", "problem", *held], sort=True):
        if part[axis].nunique() > 1:
            charts.append(_chart(part, axis, held, values, known, drawn))
    return charts


def _chart(
    part: pd.DataFrame,
    axis: str,
    held: list[str],
    values: tuple[object, ...],
    known: Mapping[str, Kind],
    drawn: Mapping[str, Mark],
) -> Chart:
    shown = [(name, title) for name, title in _COLUMNS if _has_values(part, name)]
    figure = Figure(figsize=(drawing.WIDTH_INCHES, 2.05 * len(shown) + 0.7), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True))
    for axes, (name, title) in zip(panels, shown, strict=True):
        for label in [label for label in known if label in set(part["optimizer"])]:
            own = part[(part["optimizer"] == label) & (part[name].astype(float) > 0)].sort_values(axis)
            if len(own):
                y = own[name] / 2**20 if name == "peak_bytes" else own[name]
                draw_line(axes, own[axis], y, drawn[label], known[label].title)
        drawing.log_counts(axes, "x")
        if name.endswith("_s"):
            drawing.log_seconds(axes, "y")
        else:
            drawing.log_counts(axes, "y")
        axes.set_ylabel(title)
    panels[-1].set_xlabel(AXES[axis])
    drawing.legend_below(figure, panels[0])
    group, problem, *rest = values
    where = ", ".join(
        f"{_SHORT[name]} {'≈' if name == 'parameters' else '='} {quantities.count(float(str(value)))}"
        for name, value in zip(held, rest, strict=True)
    )
    columns = [*AXES, "rows", "optimizer", *(name for name, _ in shown)]
    return Chart(
        slugs.slug("scaling", _SHORT[axis], group, *(int(float(str(value))) for value in rest)),
        f"Cost against {_SHORT[axis]}, its kinds apart ({problem}, {where})",
        _alt(part, axis, shown, known),
        "Medians; peak memory is what an iteration adds to the process. The modelled column has the device "
        "alone; no ratio mixes the columns.",
        figure,
        part[columns].reset_index(drop=True),
    )


def _has_values(part: pd.DataFrame, name: str) -> bool:
    return bool((part[name].astype(float) > 0).any())


def _alt(part: pd.DataFrame, axis: str, shown: list[tuple[str, str]], known: Mapping[str, Kind]) -> str:
    words = []
    for name, title in shown:
        growth = {}
        for label, own in part.groupby("optimizer", sort=True):
            own = own[own[name].astype(float) > 0].sort_values(axis)
            if len(own) > 1:
                growth[known[str(label)].title] = float(own[name].iloc[-1]) / float(own[name].iloc[0])
        listed = sorted(growth.items(), key=lambda item: item[1])
        if listed:
            words.append(
                f"{title.capitalize()} grew least for {listed[0][0]} ({quantities.significant(listed[0][1])} times) "
                f"and most for {listed[-1][0]} ({quantities.significant(listed[-1][1])} times)."
            )
    low, high = quantities.count(float(part[axis].min())), quantities.count(float(part[axis].max()))
    return f"Cost from {_SHORT[axis]} = {low} to {high}. {' '.join(words)}"
