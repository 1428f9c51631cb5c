"""The sections on cost: time per iteration, how it grows, what it is made of, every number with its spread."""

from __future__ import annotations

import pandas as pd

from tngd_bench.analysis.cost import fits, iteration_cost, lower_bounds
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.report import assumptions
from tngd_bench.report.cost import cost_charts, cost_series, scaling_charts
from tngd_bench.report.document import tables
from tngd_bench.report.document.palette import marks
from tngd_bench.report.document.section import Section
from tngd_bench.studies.store.records import Records

NO_TOTAL = (
    "Without a total: a device that states no time for an item of its bill has a lower bound (≥), which is shown and "
    "never ranked, fitted or judged against others. Not stated:"
)


def cost_sections(records: Records) -> tuple[Section, ...]:
    """Return the sections on cost of a study; call it inside `drawing.style()`."""
    trials = records.trials
    known = optimizer_infos(trials)
    summary = iteration_cost.summarise(records.costs, trials)
    ratios = iteration_cost.ratios_to_sgd(records.costs, trials)
    timed = iteration_cost.finished_costs(records.costs, trials)
    scaling = pd.concat(
        [fits.scaling_table(records.costs, records.trials, axis) for axis in cost_series.AXES],
        ignore_index=True,
    )
    timed_trials = trials[trials["kind"] == "cost"]
    bounds = lower_bounds.named(lower_bounds.unstated(timed_trials), known)
    drawn = marks(known)
    growth = [
        chart
        for axis in cost_series.AXES
        for chart in scaling_charts.scaling_charts(summary, axis, known, drawn)
    ]
    splits = cost_charts.split_charts(summary, timed, known)
    missing = "" if len(summary) else "No cost per iteration was measured in this study."
    return (
        Section(
            "cost",
            "Cost per iteration",
            points=(
                *(f"{term}: {sentence}" for term, sentence in assumptions.extrapolated(timed_trials)),
                *([f"{NO_TOTAL} {bounds}."] if bounds else []),
            ),
            charts=tuple(cost_charts.cost_charts(summary, ratios, known, drawn)),
            absent=missing,
        ),
        Section(
            "scaling",
            "How cost grows",
            charts=tuple(growth),
            tables=(tables.fits_table(scaling, known),),
            absent="" if len(scaling) else "No optimizer was timed at more than one size.",
        ),
        Section(
            "split",
            "What an iteration of TNGD is made of",
            charts=tuple(splits),
            absent="" if splits else "No iteration with a device was timed in this study.",
        ),
        Section(
            "numbers",
            "Every cost with its spread",
            tables=(tables.cost_table(summary, ratios, known),),
            absent=missing,
        ),
    )
