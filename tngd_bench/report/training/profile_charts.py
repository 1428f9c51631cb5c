"""Charts of time to target: performance profiles, and the time at which each level is reached, bands over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.problems import registered_metrics
from tngd_bench.report.document import charting, slugs
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.missing_figures import one_figure, several_figures
from tngd_bench.report.document.palette import Mark
from tngd_bench.studies.store.columns import each

_CLOCKS = {"iterations": "iterations", "modelled": "device time included"}


@one_figure("a performance profile")
def profile_chart(
    profile: pd.DataFrame, clock: str, infos: Mapping[str, OptimizerInfo], styles: Mapping[str, Mark]
) -> Chart:
    """Return the performance profile on one clock; `profile` as in `analysis.profiles.profiles`."""
    figure, axes = charting.panel(3.9)
    for label in [label for label in infos if label in set(profile["optimizer"])]:
        own = profile[profile["optimizer"] == label].sort_values("tau")
        mark = styles[label]
        axes.step(
            own["tau"].to_numpy(float),
            own["share"].to_numpy(float),
            where="post",
            color=mark.colour.light,
            linestyle=mark.dash,
            marker=mark.marker,
            markersize=4,
            markerfacecolor=mark.colour.light if mark.filled else "none",
            linewidth=2.2 if mark.emphasised else 1.3,
            label=infos[label].title,
        )
    axes.set_xlim(1.0, float(profile["tau"].max()) * 1.02)
    axes.set_ylim(-0.03, 1.03)
    charting.percentages(axes)
    axes.set_xlabel(f"factor τ from the best ({_CLOCKS[clock]})")
    axes.set_ylabel("share of tasks within τ")
    charting.legend_below(figure, axes)
    starts = profile[profile["tau"] == 1.0].sort_values("won", ascending=False, kind="stable")
    won = ", ".join(
        f"{infos[str(row.optimizer)].title} {quantities.percent(row.won)}" for row in each(starts)
    )
    tasks = int(profile["tasks"].iloc[0])
    return Chart(
        slugs.slug("performance-profile", clock),
        f"Performance profile by {_CLOCKS[clock]}",
        f"Share of {tasks} tasks (section, target and seed) won, by {_CLOCKS[clock]}: {won}; in "
        f"{quantities.percent(profile['untold'].iloc[0])} the evaluations do not tell who was first.",
        "Dolan-Moré profile up to τ = 4. A miss is never within any factor; a task that nobody solved lowers all "
        "curves. A target is seen met at an evaluation: a task is won by whom that shows before all others. At τ = 1 "
        "the curves count all who tie there.",
        figure,
        profile.reset_index(drop=True),
    )


@several_figures("time to each level")
def level_charts(
    bands: pd.DataFrame, metric: str, infos: Mapping[str, OptimizerInfo], styles: Mapping[str, Mark]
) -> list[Chart]:
    """Return, per group, when each level of `metric` is reached; `bands` as in `convergence.bands_at_level`."""
    return [
        _level_chart(str(group), part.reset_index(drop=True), metric, infos, styles)
        for group, part in bands.groupby("group", sort=True)
        if np.isfinite(part["median"].astype(float)).any()
    ]


@one_figure("time to each level")
def _level_chart(
    group: str,
    part: pd.DataFrame,
    metric: str,
    infos: Mapping[str, OptimizerInfo],
    styles: Mapping[str, Mark],
) -> Chart:
    figure, axes = charting.panel(4.0)
    curve = registered_metrics.of_column(metric)
    title = curve.title
    reached: dict[str, tuple[float, float]] = {}
    for label in [label for label in infos if label in set(part["optimizer"])]:
        own = part[part["optimizer"] == label]
        shown = own[np.isfinite(own["median"].astype(float)) & (own["median"] > 0)]
        if shown.empty:
            continue
        mark = styles[label]
        level, median = shown["level"].to_numpy(float), shown["median"].to_numpy(float)
        axes.plot(
            median,
            level,
            color=mark.colour.light,
            linestyle=mark.dash,
            linewidth=2.2 if mark.emphasised else 1.3,
            marker=mark.marker,
            markevery=max(1, len(shown) // 6),
            markersize=5,
            markerfacecolor=mark.colour.light if mark.filled else "none",
            label=infos[label].title,
        )
        low, high = shown["low"].to_numpy(float), shown["high"].to_numpy(float)
        inside = np.isfinite(high) & (low > 0)
        axes.fill_betweenx(
            level[inside], low[inside], high[inside], color=mark.colour.light, alpha=0.14, linewidth=0
        )
        best = int(level.argmax() if curve.metric.larger_is_better else level.argmin())
        reached[label] = (float(level[best]), float(median[best]))
    charting.log_seconds(axes, "x")
    charting.metric_axis(axes, curve.metric, positive=bool((part["level"] > 0).all()))
    axes.set_xlabel("time to reach the level (measured digital + modelled device)")
    axes.set_ylabel(title)
    charting.legend_below(figure, axes)
    words = ", ".join(
        f"{infos[label].title} {quantities.metric(level, curve.metric)} in {quantities.seconds(time)}"
        for label, (level, time) in reached.items()
    )
    return Chart(
        slugs.slug(group, metric, "time-to-level"),
        f"Time to each level of {title} ({group})",
        f"Median time to reach each level of {title}. Best level reached by the median seed: {words}.",
        "Median and quartiles over seeds of the time at which a level is first reached; a seed that never does "
        "counts as ∞, so a line ends where half of the seeds miss.",
        figure,
        part,
    )
