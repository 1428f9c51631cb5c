"""The sections on training: convergence side by side, and what imperfections of the device do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tngd_bench.analysis.cost import caveats, one_clock
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import final_scores, stability
from tngd_bench.analysis.training.device_pairs import device_pairs
from tngd_bench.analysis.training.sweep_kinds import without_scale
from tngd_bench.report.cost.device_table import pairs_table
from tngd_bench.report.document import panels
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Section
from tngd_bench.report.training import heatmaps, training_tables

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


def training_sections(results: Results) -> tuple[Section, ...]:
    """Return the sections on training of a study; call it inside `charting.style()`."""
    trials, infos = results.trials, results.infos
    final = results.final[~without_scale(results.final)]
    ends = final_scores.summarise_final(final)
    bounds, without = results.unstated("training"), one_clock.untimed(trials, results.costs)
    compared = training_tables.final_table(ends, infos, sweeps=False)
    swept = training_tables.final_table(ends, infos, sweeps=True)
    levels = heatmaps.pair_table(results)
    beside = device_pairs(trials, final)
    stable, margins = heatmaps.stability_section(stability.stability_table(trials), infos)
    return (
        Section(
            "convergence",
            "Convergence",
            points=(
                *([f"{NO_CLOCK} {caveats.named(bounds, infos)}."] if bounds else []),
                *([f"{NO_COST} {_named(without, infos)}."] if without else []),
                *([OTHER_SETTINGS] if len(panels.main_trials(results)) < len(trials) else []),
            ),
            charts=charts_of("convergence", results),
            tables=(compared, training_tables.targets_table(results.times_to_target, infos)),
            absent="" if compared.rows else "No training without a sweep was run in this study.",
        ),
        Section(
            "noise",
            "Sensitivity to the device",
            points=(stable,) if stable else (),
            charts=charts_of("noise", results),
            tables=(pairs_table(beside, infos), swept, heatmaps.levels_table(levels, infos), margins),
            absent=""
            if swept.rows or len(levels) or beside
            else "No imperfection was swept, and no imperfect device ran beside the ideal one.",
        ),
    )


def _named(without: Mapping[str, Sequence[str]], infos: Infos) -> str:
    """Return e.g. "Adam, SGD (digits)" for the optimizers of each section."""
    return "; ".join(
        f"{', '.join(infos[label].title for label in labels)} ({group})" for group, labels in without.items()
    )
