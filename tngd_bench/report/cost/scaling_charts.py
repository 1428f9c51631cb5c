"""Charts of scaling: measured, modelled and counted cost side by side along N, b or d_z, and memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.report.cost import cost_series
from tngd_bench.report.cost.cost_series import CostSeries
from tngd_bench.report.document import charting, scales, slugs
from tngd_bench.report.document.charting import Chart, draw_line
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import marks
from tngd_bench.studies.store import columns as c

_COLUMNS = (
    ("digital_median_s", "measured seconds (digital)"),
    (c.MODELLED_S, "modelled seconds (device)"),
    (c.FLOPS, "operations, counted"),
    (c.PEAK_BYTES, "peak memory (MiB), measured"),
)


def _series(results: Results) -> list[CostSeries]:
    return [series for axis in cost_series.AXES for series in cost_series.along(results.cost_summary, axis)]


@figure_of("scaling", "how cost grows", cases=_series)
def scaling_chart(results: Results, series: CostSeries) -> Chart:
    """Draw measured digital seconds, modelled device seconds, counted operations and memory, in panels of their own."""
    infos, styles = results.infos, marks(results.infos)
    part, axis = series.part, series.axis
    shown = [(name, title) for name, title in _COLUMNS if _has_values(part, name)]
    figure = Figure(figsize=(charting.WIDTH_INCHES, 2.05 * len(shown) + 0.7), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True))
    for axes, (name, title) in zip(panels, shown, strict=True):
        for label, own in charting.by_optimizer(part[part[name].astype(float) > 0].sort_values(axis), infos):
            y = own[name] / 2**20 if name == c.PEAK_BYTES else own[name]
            draw_line(axes, own[axis], y, styles[label], infos[label].title)
        scales.log_counts(axes, "x")
        if name.endswith("_s"):
            scales.log_seconds(axes, "y")
        else:
            scales.log_counts(axes, "y")
        axes.set_ylabel(title)
    panels[-1].set_xlabel(series.title)
    charting.legend_below(figure, panels[0])
    columns = [*cost_series.AXES, c.ROWS, c.OPTIMIZER, *(name for name, _ in shown)]
    return Chart(
        slugs.slug("scaling", *series.slug_parts),
        f"Cost against {series.sign}, by kind of cost ({series.where})",
        _alt(series, shown, infos),
        "Medians; peak memory is what an iteration adds to the process. The modelled column has the device "
        "alone; no ratio mixes the columns.",
        figure,
        part[columns].reset_index(drop=True),
    )


def _has_values(part: pd.DataFrame, name: str) -> bool:
    return bool((part[name].astype(float) > 0).any())


def _alt(series: CostSeries, shown: list[tuple[str, str]], infos: Infos) -> str:
    part, axis = series.part, series.axis
    words = []
    for name, title in shown:
        growth = {}
        for label, own in part.groupby(c.OPTIMIZER, sort=True):
            own = own[own[name].astype(float) > 0].sort_values(axis)
            if len(own) > 1:
                growth[infos[str(label)].title] = float(own[name].iloc[-1]) / float(own[name].iloc[0])
        listed = sorted(growth.items(), key=lambda item: item[1])
        name_of = f"{title[:1].upper()}{title[1:]}"
        if len(listed) == 1:
            words.append(f"{name_of} grew {quantities.significant(listed[0][1])} times for {listed[0][0]}.")
        elif listed:
            words.append(
                f"{name_of} grew least for {listed[0][0]} ({quantities.significant(listed[0][1])} times) "
                f"and most for {listed[-1][0]} ({quantities.significant(listed[-1][1])} times)."
            )
    low, high = quantities.count(float(part[axis].min())), quantities.count(float(part[axis].max()))
    return f"Cost from {series.sign} = {low} to {high}. {' '.join(words)}"
