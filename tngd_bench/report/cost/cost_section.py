"""The sections on cost: time per iteration, how it grows, what it is made of, every number with its spread."""

from __future__ import annotations

from tngd_bench.analysis.cost import caveats
from tngd_bench.analysis.results import Results
from tngd_bench.report import assumptions
from tngd_bench.report.cost import cost_tables
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Section

NO_TOTAL = (
    "Without a total: a device that states no time for an item of its bill has a lower bound (≥), which is shown and "
    "never ranked, fitted or judged against others. Not stated:"
)


def cost_sections(results: Results) -> tuple[Section, ...]:
    """Return the sections on cost of a study; call it inside `charting.style()`."""
    infos, scaling = results.infos, results.scaling
    bounds = caveats.named(results.unstated("cost"), infos)
    extrapolated = assumptions.extrapolated(results.of_kind("cost"), infos)
    splits = charts_of("split", results)
    missing = "" if len(results.cost_summary) else "No cost per iteration was measured in this study."
    return (
        Section(
            "cost",
            "Cost per iteration",
            points=(
                *(f"{term}: {sentence}" for term, sentence in extrapolated),
                *([f"{NO_TOTAL} {bounds}."] if bounds else []),
            ),
            charts=charts_of("cost", results),
            absent=missing,
        ),
        Section(
            "scaling",
            "How cost grows",
            charts=charts_of("scaling", results),
            tables=(cost_tables.fits_table(scaling, infos),),
            absent="" if len(scaling) else "No optimizer was timed at more than one size.",
        ),
        Section(
            "split",
            "What an iteration of TNGD is made of",
            charts=splits,
            absent="" if splits else "No iteration with a device was timed in this study.",
        ),
        Section(
            "numbers",
            "Every cost with its spread",
            tables=(cost_tables.cost_table(results.cost_summary, results.ratios_to_sgd, infos),),
            absent=missing,
        ),
    )
