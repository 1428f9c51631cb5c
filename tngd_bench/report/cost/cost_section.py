"""The sections on cost: time per iteration, how it grows, what it is made of, every number with its spread."""

from __future__ import annotations

from tngd_bench.analysis.cost import caveats
from tngd_bench.analysis.results import Results
from tngd_bench.report import assumptions
from tngd_bench.report.cost import cost_charts, cost_series, cost_tables, scaling_charts
from tngd_bench.report.document.palette import marks
from tngd_bench.report.document.section import Section

NO_TOTAL = (
    "Without a total: a device that states no time for an item of its bill has a lower bound (≥), which is shown and "
    "never ranked, fitted or judged against others. Not stated:"
)


def cost_sections(results: Results) -> tuple[Section, ...]:
    """Return the sections on cost of a study; call it inside `drawing.style()`."""
    infos, summary, ratios, scaling = (
        results.infos,
        results.cost_summary,
        results.ratios_to_sgd,
        results.scaling,
    )
    bounds = caveats.named(results.unstated("cost"), infos)
    styles = marks(infos)
    growth = [
        chart
        for axis in cost_series.AXES
        for chart in scaling_charts.scaling_charts(summary, axis, infos, styles)
    ]
    splits = cost_charts.split_charts(summary, results.finished_costs, infos)
    missing = "" if len(summary) else "No cost per iteration was measured in this study."
    return (
        Section(
            "cost",
            "Cost per iteration",
            points=(
                *(
                    f"{term}: {sentence}"
                    for term, sentence in assumptions.extrapolated(results.of_kind("cost"), infos)
                ),
                *([f"{NO_TOTAL} {bounds}."] if bounds else []),
            ),
            charts=tuple(cost_charts.cost_charts(summary, ratios, infos, styles)),
            absent=missing,
        ),
        Section(
            "scaling",
            "How cost grows",
            charts=tuple(growth),
            tables=(cost_tables.fits_table(scaling, infos),),
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
            tables=(cost_tables.cost_table(summary, ratios, infos),),
            absent=missing,
        ),
    )
