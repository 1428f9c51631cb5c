"""Charts of time to target: performance profiles, and the time at which each level is reached, bands over seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import convergence, profiles
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import CurveMetric
from tngd_bench.report.document import charting, panels, scales, slugs
from tngd_bench.report.document.charting import Chart, line_style
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import marks
from tngd_bench.studies.store import columns as c

FEWEST_TASKS = 3
"""Fewer tasks make no performance profile."""
_CLOCKS = {"iterations": "iterations", "modelled": "device time included"}


def _profiles(results: Results) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the profiles of optimizers outside sweeps by iterations, and by time of those with a clock."""
    shown = panels.main_trials(results)
    plain = shown[shown[c.SWEEP_PARAMETER].isna()]
    tasks = profiles.task_times(plain, results.curves, results.targets)
    if tasks["task"].nunique() < FEWEST_TASKS or tasks[c.OPTIMIZER].nunique() < 2:
        return
    timed = profiles.task_times(panels.with_clock(plain, results), results.curves, results.targets)
    for clock, ran in (("iterations", tasks), ("modelled", timed)):
        if ran[c.OPTIMIZER].nunique() > 1:
            yield clock, profiles.profiles(ran, clock)


@figure_of("convergence", "a performance profile", cases=_profiles, place=30)
def profile_chart(results: Results, case: tuple[str, pd.DataFrame]) -> Chart:
    """Draw the performance profile on one clock."""
    (clock, profile), infos, styles = case, results.infos, marks(results.infos)
    figure, axes = charting.panel(3.9)
    for label, rows in charting.by_optimizer(profile, infos):
        own = rows.sort_values("tau")
        axes.step(
            own["tau"].to_numpy(float),
            own["share"].to_numpy(float),
            where="post",
            **line_style(styles[label], markersize=4),
            label=infos[label].title,
        )
    axes.set_xlim(1.0, float(profile["tau"].max()) * 1.02)
    axes.set_ylim(-0.03, 1.03)
    scales.percentages(axes)
    axes.set_xlabel(f"factor τ from the best ({_CLOCKS[clock]})")
    axes.set_ylabel("share of tasks within τ")
    charting.legend_below(figure, axes)
    starts = c.only(profile, tau=1.0).sort_values("won", ascending=False, kind="stable")
    won = ", ".join(
        f"{infos[str(row.optimizer)].title} {quantities.percent(row.won)}" for row in c.each(starts)
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


def _levels(results: Results) -> Iterator[tuple[CurveMetric, str, pd.DataFrame]]:
    """Yield metric, section and bands wherever a median seed of somebody with a clock reaches a level."""
    shown = panels.with_clock(panels.main_trials(results), results)
    for score in registered_metrics.judged():
        if score.column in results.curves:
            bands = convergence.bands_at_level(results.curves, shown, score.column)
            for group, part in bands.groupby(c.GROUP, sort=True):
                if np.isfinite(part["median"].astype(float)).any():
                    yield score, str(group), part.reset_index(drop=True)


@figure_of("convergence", "time to each level", cases=_levels, place=20)
def level_chart(results: Results, case: tuple[CurveMetric, str, pd.DataFrame]) -> Chart:
    """Draw when each level of a metric is reached, with bands over seeds."""
    (curve, group, part), infos, styles = case, results.infos, marks(results.infos)
    title = curve.title
    figure, axes = charting.panel(4.0)
    reached: dict[str, tuple[float, float]] = {}
    for label, own in charting.by_optimizer(part, infos):
        shown = own[np.isfinite(own["median"].astype(float)) & (own["median"] > 0)]
        if shown.empty:
            continue
        mark = styles[label]
        level, median = shown["level"].to_numpy(float), shown["median"].to_numpy(float)
        axes.plot(
            median,
            level,
            **line_style(mark, markevery=max(1, len(shown) // 6), markersize=5),
            label=infos[label].title,
        )
        low, high = shown["low"].to_numpy(float), shown["high"].to_numpy(float)
        inside = np.isfinite(high) & (low > 0)
        axes.fill_betweenx(
            level[inside], low[inside], high[inside], color=mark.colour.light, alpha=0.14, linewidth=0
        )
        best = int(level.argmax() if curve.metric.larger_is_better else level.argmin())
        reached[label] = (float(level[best]), float(median[best]))
    scales.log_seconds(axes, "x")
    scales.metric_axis(axes, curve.metric, positive=bool((part["level"] > 0).all()))
    axes.set_xlabel("time to reach the level (measured digital + modelled device)")
    axes.set_ylabel(title)
    charting.legend_below(figure, axes)
    words = ", ".join(
        f"{infos[label].title} {quantities.metric(level, curve.metric)} in {quantities.seconds(time)}"
        for label, (level, time) in reached.items()
    )
    return Chart(
        slugs.slug(group, curve.column, "time-to-level"),
        f"Time to each level of {title} ({group})",
        f"Median time to reach each level of {title}. Best level reached by the median seed: {words}.",
        "Median and quartiles over seeds of the time at which a level is first reached; a seed that never does "
        "counts as ∞, so a line ends where half of the seeds miss.",
        figure,
        part,
    )
