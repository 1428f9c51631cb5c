"""The sections on training: convergence side by side, and what imperfections of the device do."""

from __future__ import annotations

from tngd_bench.analysis import (
    convergence,
    outcomes,
    profiles,
    stability,
    time_to_target,
    unstated,
)
from tngd_bench.analysis.families import kinds
from tngd_bench.report import (
    line_groups,
    noise_charts,
    pair_charts,
    profile_charts,
    tables,
    training_charts,
)
from tngd_bench.report.marks import marks
from tngd_bench.report.section import Section
from tngd_bench.studies.records import Records

NO_CLOCK = (
    "Without a time on the device: it states none for an item of its bill, so these trainings are compared over "
    "iterations alone. Not stated:"
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
    known = kinds(trials)
    drawn = marks(known)
    apart = pair_charts.is_pair(trials) | pair_charts.is_worded(trials)
    final = outcomes.final_values(trials[~apart], curves)
    ends = outcomes.summarise_final(final)
    targets = time_to_target.study_targets(records.study)
    times = time_to_target.time_to_target(trials, curves, targets)
    bounds = unstated.unstated(trials[trials["kind"] == "training"])
    by_group = training_charts.convergence_charts(convergence.finished_curves(curves, trials), known, drawn)
    charts = [chart for group in by_group.values() for chart in group]
    shown = trials[line_groups.in_main_figure(trials, known)]
    for metric in ("train_loss", "test_accuracy"):
        bands = convergence.bands_at_level(curves, shown[~shown["optimizer"].isin(bounds)], metric)
        charts += profile_charts.level_charts(bands, metric, known, drawn)
    tasks = profiles.task_times(shown[shown["sweep_parameter"].isna()], curves, targets)
    if tasks["task"].nunique() >= FEWEST_TASKS and tasks["optimizer"].nunique() > 1:
        for clock, ran in (("iterations", tasks), ("modelled", tasks[~tasks["optimizer"].isin(bounds)])):
            if ran["optimizer"].nunique() > 1:
                charts.append(
                    profile_charts.profile_chart(profiles.profiles(ran, clock), clock, known, drawn)
                )
    compared = tables.final_table(ends, known, sweeps=False)
    swept = tables.final_table(ends, known, sweeps=True)
    levels = pair_charts.pair_table(outcomes.final_values(trials[apart], curves), trials)
    noise = noise_charts.noise_charts(final, known, drawn)
    noise += pair_charts.pair_charts(levels, known)
    stable, margins = pair_charts.stability_section(stability.stability_table(trials), known)
    return (
        Section(
            "convergence",
            "Convergence",
            points=(
                *([f"{NO_CLOCK} {unstated.named(bounds, known)}."] if bounds else []),
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
            tables=(swept, pair_charts.levels_table(levels, known), margins),
            absent="" if swept.rows or len(levels) else "No sweep of an imperfection was run in this study.",
        ),
    )
