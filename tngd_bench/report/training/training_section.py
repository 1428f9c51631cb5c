"""The sections on training: convergence side by side, and what imperfections of the device do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tngd_bench.analysis.cost import lower_bounds, one_clock
from tngd_bench.analysis.families import OptimizerInfo, optimizer_infos
from tngd_bench.analysis.training import convergence, final_scores, profiles, stability, time_to_target
from tngd_bench.analysis.training.device_pairs import device_pairs
from tngd_bench.analysis.training.sweep_kinds import is_pair, is_worded
from tngd_bench.report.cost.device_table import pairs_table
from tngd_bench.report.document import panels, tables
from tngd_bench.report.document.palette import marks
from tngd_bench.report.document.section import Section
from tngd_bench.report.training import heatmaps, profile_charts, sensitivity, training_charts
from tngd_bench.studies.store.records import Records

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


def training_sections(records: Records) -> tuple[Section, ...]:
    """Return the sections on training of a study; call it inside `drawing.style()`."""
    trials, curves = records.trials, records.curves
    known = optimizer_infos(trials)
    drawn = marks(known)
    apart = is_pair(trials) | is_worded(trials)
    final = final_scores.final_values(trials[~apart], curves)
    ends = final_scores.summarise_final(final)
    targets = time_to_target.study_targets(records.study)
    times = time_to_target.time_to_target(trials, curves, targets)
    bounds = lower_bounds.unstated(trials[trials["kind"] == "training"])
    by_group = training_charts.convergence_charts(convergence.finished_curves(curves, trials), known, drawn)
    charts = [chart for group in by_group.values() for chart in group]
    shown = trials[panels.in_main_figure(trials, known)]
    without = one_clock.untimed(trials, records.costs)
    clocked = ~shown["optimizer"].isin(bounds) & ~pd.Series(
        [
            label in without.get(group, ())
            for group, label in zip(shown["group"], shown["optimizer"], strict=True)
        ],
        index=shown.index,
        dtype=bool,
    )
    for metric in ("train_loss", "test_accuracy"):
        bands = convergence.bands_at_level(curves, shown[clocked], metric)
        charts += profile_charts.level_charts(bands, metric, known, drawn)
    plain = shown["sweep_parameter"].isna()
    tasks = profiles.task_times(shown[plain], curves, targets)
    if tasks["task"].nunique() >= FEWEST_TASKS and tasks["optimizer"].nunique() > 1:
        over_time = profiles.task_times(shown[plain & clocked], curves, targets)
        for clock, ran in (("iterations", tasks), ("modelled", over_time)):
            if ran["optimizer"].nunique() > 1:
                charts.append(
                    profile_charts.profile_chart(profiles.profiles(ran, clock), clock, known, drawn)
                )
    compared = tables.final_table(ends, known, sweeps=False)
    swept = tables.final_table(ends, known, sweeps=True)
    levels = heatmaps.pair_table(final_scores.final_values(trials[apart], curves), trials)
    noise = sensitivity.noise_charts(final, known, drawn)
    noise += heatmaps.pair_charts(levels, known)
    beside = device_pairs(trials[~apart], final)
    stable, margins = heatmaps.stability_section(stability.stability_table(trials), known)
    return (
        Section(
            "convergence",
            "Convergence",
            points=(
                *([f"{NO_CLOCK} {lower_bounds.named(bounds, known)}."] if bounds else []),
                *([f"{NO_COST} {_named(without, known)}."] if without else []),
                *([OTHER_SETTINGS] if len(shown) < len(trials) else []),
            ),
            charts=tuple(charts),
            tables=(compared, tables.targets_table(times, known)),
            absent="" if compared.rows else "No training without a sweep was run in this study.",
        ),
        Section(
            "noise",
            "Sensitivity to the device",
            points=(stable,) if stable else (),
            charts=tuple(noise),
            tables=(pairs_table(beside, known), swept, heatmaps.levels_table(levels, known), margins),
            absent=""
            if swept.rows or len(levels) or beside
            else "No imperfection was swept, and no imperfect device ran beside the ideal one.",
        ),
    )


def _named(without: Mapping[str, Sequence[str]], known: Mapping[str, OptimizerInfo]) -> str:
    """Return e.g. "Adam, SGD (digits)" for the optimizers of each section."""
    return "; ".join(
        f"{', '.join(known[label].title for label in labels)} ({group})" for group, labels in without.items()
    )
