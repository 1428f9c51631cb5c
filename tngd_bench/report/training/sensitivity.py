"""Charts of sensitivity: final loss and test accuracy against the level of one imperfection, seeds paired."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tngd_bench.analysis import quantities
from tngd_bench.analysis.findings.noise import tolerance_text
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import axis_title, parameter_name
from tngd_bench.analysis.training.tolerance import is_ideal, margin_text, mildest_first
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import CurveMetric
from tngd_bench.report.document import charting, scales, slugs
from tngd_bench.report.document.charting import Chart, Look
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import INK, marks
from tngd_bench.studies.store import columns as c


@dataclass(frozen=True)
class SweepView:
    """The trials `part` of one sweep, with the `value` of the metric shown and the tolerance stated in words.

    The `first` figure says how to read them all.
    """

    part: pd.DataFrame
    score: CurveMetric
    group: str
    optimizer: str
    parameter: str
    tolerance: str
    first: bool


def _sweeps(results: Results) -> Iterator[SweepView]:
    """Yield every sweep along a scale, with each metric."""
    final = results.on_scales
    stated = {
        (found.group, found.optimizer, found.parameter, score): tolerance_text(found)
        for score, every in results.tolerances.items()
        for found in every
    }
    swept = final[final[c.SWEEP_PARAMETER].notna() & final[c.STATUS].isin(["ok", "diverged"])]
    first = True
    for names, part in swept.groupby([c.GROUP, c.OPTIMIZER, c.SWEEP_PARAMETER], sort=True):
        group, optimizer, parameter = map(str, names)
        for score in results.tolerances:
            values = part[score.final].astype(float).where(part[c.STATUS] == "ok")
            ended = part[np.isfinite(values) | (part[c.STATUS] == "diverged")].assign(value=values)
            text = stated.get((group, optimizer, parameter, score))
            # of a run that was broken off there may be the ideal level alone
            if text is not None and ended["value"].notna().any():
                yield SweepView(ended, score, group, optimizer, parameter, text, first)
                first = False


_READING = (
    "Levels from mild to harsh, evenly spaced. Grey: the ideal level over seeds. A level is inside if it and every "
    "milder one are worse than the same seed's run there by less than a margin. It is outside if it and every harsher "
    "one are worse by more (exact one-sided signed-rank test, p ≤ 5 %). Margins fixed beforehand: {margins}. Crosses: "
    "how many of the seeds run diverged."
)


def _margins() -> str:
    """Return the margins of all judged metrics, those of shares in one: they are equal."""
    scores = registered_metrics.judged()
    shares = [score for score in scores if score.metric.share]
    others = [margin_text(score) for score in scores if not score.metric.share]
    return f"{', '.join(others)} and {' or '.join([margin_text(shares[0]), *(s.metric.title for s in shares[1:])])}"


def _mark_diverged(axes: Axes, counts: pd.DataFrame) -> None:
    """Put a cross at each level where seeds diverged, with how many of how many; `counts`: sum and size by position."""
    some = counts[counts["sum"] > 0]
    top = axes.get_xaxis_transform()
    cross: Look = {"linestyle": "", "marker": "x", "color": INK.light, "transform": top}
    axes.plot(some.index, np.full(len(some), 0.95), **cross, label="diverged")
    for position, (number, of) in zip(some.index, some.to_numpy(), strict=True):
        axes.text(position, 0.91, f"{number}/{of}", transform=top, ha="center", va="top", fontsize=8)


@figure_of("noise", "sensitivity to an imperfection", cases=_sweeps)
def sensitivity_chart(results: Results, sweep: SweepView) -> Chart:
    """Draw a final metric against the level of one imperfection, seeds paired."""
    part, score, parameter, tolerance = sweep.part, sweep.score, sweep.parameter, sweep.tolerance
    mark, info = marks(results.infos)[sweep.optimizer], results.infos[sweep.optimizer]
    column, title = score.final, f"final {score.title}"
    ideal = is_ideal(parameter, part[c.SWEEP_VALUE])
    reference = part.loc[ideal, "value"].dropna()
    levels = mildest_first(parameter, part.loc[~ideal, c.SWEEP_VALUE].astype(float).unique())
    place = {level: position for position, level in enumerate(levels, start=1)}
    positions = np.where(ideal, 0, part[c.SWEEP_VALUE].astype(float).map(place).fillna(0))
    table = part.assign(position=positions).sort_values([c.SEED, "position"])
    figure, axes = charting.panel(3.2)
    if len(reference):
        grey: Look = {"color": INK.light, "alpha": 0.1, "linewidth": 0}
        axes.axhspan(reference.min(), reference.max(), **grey, label="ideal level")
    for number, (_, run) in enumerate(table.groupby(c.SEED, sort=True)):
        (line,) = axes.plot(run["position"], run["value"], color=mark.colour.light, alpha=0.45, linewidth=1.0)
        line.set_label("one seed" if number == 0 else "")
    diverged = table[c.STATUS] == "diverged"
    worst = -np.inf if score.metric.larger_is_better else np.inf
    middle = table["value"].where(~diverged, worst).groupby(table["position"]).median()
    middle = middle[np.isfinite(middle)]  # where most seeds diverged there is no middle to draw
    look: Look = {"color": mark.colour.light, "linewidth": 2.2, "marker": mark.marker}
    axes.plot(
        middle.index, middle, **look, markersize=9 if mark.marker == "*" else 5, label="median of seeds"
    )
    ticks = {0: "ideal"} if ideal.any() else {}
    ticks |= {position: quantities.level(float(level)) for level, position in place.items()}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set(xlabel=axis_title(parameter), ylabel=title)
    scales.metric_axis(axes, score.metric, positive=table["value"].min() > 0)
    if diverged.any():
        _mark_diverged(axes, diverged.groupby(table["position"]).agg(["sum", "size"]))
    charting.legend_below(figure, axes)
    columns = [c.GROUP, c.OPTIMIZER, c.SWEEP_PARAMETER, c.SWEEP_VALUE, c.SEED, c.STATUS, "value", c.KEY]
    name, parameters = parameter_name(parameter), quantities.count(float(part[c.PARAMETERS].max()))
    capital = title[:1].upper() + title[1:]
    said = f"{capital}: {tolerance}."
    return Chart(
        slugs.slug("sensitivity", sweep.group, sweep.optimizer, parameter, column),
        f"{capital} against {name}, {info.title} ({sweep.group}, N = {parameters})",
        f"{capital} of {info.title} against {name}: {tolerance}.",
        f"{_READING.format(margins=_margins())} {said}" if sweep.first else said,
        figure,
        table[columns].rename(columns={"value": column}).reset_index(drop=True),
    )
