"""The sections on training: convergence side by side, and what imperfections of the device do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tngd_bench.analysis.cost import caveats, one_clock
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import convergence, final_scores, profiles, stability
from tngd_bench.analysis.training.device_pairs import device_pairs
from tngd_bench.analysis.training.sweep_kinds import without_scale
from tngd_bench.problems import registered_metrics
from tngd_bench.report.cost.device_table import pairs_table
from tngd_bench.report.document import panels
from tngd_bench.report.document.palette import marks
from tngd_bench.report.document.section import Section
from tngd_bench.report.training import heatmaps, profile_charts, sensitivity, training_charts, training_tables

NO_CLOCK = (
    "Without a time on the device: it states none for an item of its bill, so these trainings are compared over "
    "iterations alone. Not stated:"
)
NO_COST = (
    "Without a time: their cost per iteration was not measured in turn with others at this size and batch, so these "
    "are compared over iterations alone, and in no figure or map over time:"
)
OTHER_SETTINGS = (
    "Figures show each optimizer at its settings of the study and, where it was, tuned. Other settings of one have "
    "figures of their own, and every one is in the tables."
)
FEWEST_TASKS = 3
"""Fewer tasks make no performance profile."""


def training_sections(results: Results) -> tuple[Section, ...]:
    """Return the sections on training of a study; call it inside `drawing.style()`."""
    trials, curves, infos, targets = results.trials, results.curves, results.infos, results.targets
    styles = marks(infos)
    apart = without_scale(results.final)
    final = results.final[~apart]
    ends = final_scores.summarise_final(final)
    bounds = results.unstated("training")
    by_group = training_charts.convergence_charts(convergence.finished_curves(curves, trials), infos, styles)
    charts = [chart for group in by_group.values() for chart in group]
    shown = trials[panels.in_main_figure(trials, infos)]
    without = one_clock.untimed(trials, results.costs)
    clocked = ~shown["optimizer"].isin(bounds) & ~pd.Series(
        [
            label in without.get(group, ())
            for group, label in zip(shown["group"], shown["optimizer"], strict=True)
        ],
        index=shown.index,
        dtype=bool,
    )
    for score in (score for score in registered_metrics.judged() if score.column in curves):
        bands = convergence.bands_at_level(curves, shown[clocked], score.column)
        charts += profile_charts.level_charts(bands, score.column, infos, styles)
    plain = shown["sweep_parameter"].isna()
    tasks = profiles.task_times(shown[plain], curves, targets)
    if tasks["task"].nunique() >= FEWEST_TASKS and tasks["optimizer"].nunique() > 1:
        over_time = profiles.task_times(shown[plain & clocked], curves, targets)
        for clock, ran in (("iterations", tasks), ("modelled", over_time)):
            if ran["optimizer"].nunique() > 1:
                charts.append(
                    profile_charts.profile_chart(profiles.profiles(ran, clock), clock, infos, styles)
                )
    compared = training_tables.final_table(ends, infos, sweeps=False)
    swept = training_tables.final_table(ends, infos, sweeps=True)
    levels = heatmaps.pair_table(results.final[apart], trials)
    noise = sensitivity.noise_charts(final, infos, styles)
    noise += heatmaps.pair_charts(levels, infos)
    beside = device_pairs(trials, final)
    stable, margins = heatmaps.stability_section(stability.stability_table(trials), infos)
    return (
        Section(
            "convergence",
            "Convergence",
            points=(
                *([f"{NO_CLOCK} {caveats.named(bounds, infos)}."] if bounds else []),
                *([f"{NO_COST} {_named(without, infos)}."] if without else []),
                *([OTHER_SETTINGS] if len(shown) < len(trials) else []),
            ),
            charts=tuple(charts),
            tables=(compared, training_tables.targets_table(results.times_to_target, infos)),
            absent="" if compared.rows else "No training without a sweep was run in this study.",
        ),
        Section(
            "noise",
            "Sensitivity to the device",
            points=(stable,) if stable else (),
            charts=tuple(noise),
            tables=(pairs_table(beside, infos), swept, heatmaps.levels_table(levels, infos), margins),
            absent=""
            if swept.rows or len(levels) or beside
            else "No imperfection was swept, and no imperfect device ran beside the ideal one.",
        ),
    )


def _named(without: Mapping[str, Sequence[str]], infos: Mapping[str, OptimizerInfo]) -> str:
    """Return e.g. "Adam, SGD (digits)" for the optimizers of each section."""
    return "; ".join(
        f"{', '.join(infos[label].title for label in labels)} ({group})" for group, labels in without.items()
    )
