"""The sections on cost: time per iteration, how it grows, what it is made of, every number with its spread."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import caveats, leads
from tngd_bench.analysis.cost.caveats import host_extrapolated
from tngd_bench.analysis.families import Infos, device_title
from tngd_bench.analysis.results import Results
from tngd_bench.report import assumptions
from tngd_bench.report.cost.preconditioning import preconditioning_sections
from tngd_bench.report.document import tables
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.scales import SIGNS
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Cell, Column, Table, amount, number, words
from tngd_bench.studies.store import columns as c

NO_TOTAL = (
    "Without a total: a device that states no time for an item of its bill has a lower bound (≥), which is shown and "
    "never ranked, fitted or judged against others. Not stated:"
)


def cost_sections(results: Results) -> tuple[Section, ...]:
    """Return the sections on cost of a study; call it inside `charting.style()`."""
    infos, scaling = results.infos, results.scaling
    bounds = caveats.named(results.unstated("cost"), infos)
    formats = tuple(filter(None, [results.about_formats(set(results.cost_summary[c.OPTIMIZER]))]))
    extrapolated = assumptions.extrapolated(results.of_kind("cost"), infos)
    return (
        Section(
            "cost",
            "Cost per iteration",
            points=(
                *formats,
                *(f"{term}: {sentence}" for term, sentence in extrapolated),
                *([f"{NO_TOTAL} {bounds}."] if bounds else []),
            ),
            charts=charts_of("cost", results),
        ),
        *preconditioning_sections(results),
        Section(
            "scaling",
            "How cost grows",
            charts=charts_of("scaling", results),
            tables=(fits_table(scaling, infos),),
        ),
        Section(
            "split",
            f"What an iteration of {device_title(infos, set(results.cost_summary[c.OPTIMIZER]))} is made of",
            charts=charts_of("split", results),
        ),
        Section(
            "numbers",
            "Every cost with its spread",
            points=formats,
            tables=(leads_table(results), cost_table(results.cost_summary, results.ratios_to_sgd, infos)),
        ),
    )


def leads_table(results: Results) -> Table:
    """Return the cheapest second-order optimizer at every size that was timed, and whether its lead is confirmed."""
    infos, rows = results.infos, []
    for setting, part in c.groups(results.finished_costs, [c.GROUP, c.BATCH_SIZE, c.OUTPUTS]):
        rows += [(setting, lead) for lead in leads.leads(part, infos, results.run_spread)]
    corrected = leads.together([lead for _, lead in rows])
    told = []
    for (setting, _), lead in zip(rows, corrected, strict=True):
        ratio = lead.ratio
        ends = (np.nan,) * 3 if ratio is None else (ratio.value, ratio.low, ratio.high)
        named = lead.parameters, lead.optimizer, lead.runner_up or ""
        told.append((*setting.values(), *named, *ends, lead.doubt or "confirmed"))
    names = [c.GROUP, c.BATCH_SIZE, c.OUTPUTS, c.PARAMETERS, c.OPTIMIZER]
    data = pd.DataFrame(told, columns=[*names, "runner_up", "ratio", "low", "high", "lead"])
    columns = (
        tables.SECTION,
        amount("N", c.PARAMETERS),
        amount("b", c.BATCH_SIZE),
        amount("d_z", c.OUTPUTS),
        words("cheapest", lambda row: infos[row.optimizer].title),
        words(
            "runner-up", lambda row: infos[row.runner_up].title if row.runner_up else quantities.NOT_MEASURED
        ),
        Column(
            "runner-up's time relative [95 %]",
            lambda row: Cell(row.ratio, quantities.ratio(row.ratio, row.low, row.high)),
        ),
        words("lead", lambda row: row.lead),
    )
    return tables.table_of(
        "leads",
        "The cheapest iteration at each size among the second-order optimizers that the section timed.",
        columns,
        data,
    )


EXTRAPOLATED = "≈: host seconds extrapolated to all columns of the Jacobian from the 16 that were timed."


def cost_table(summary: pd.DataFrame, ratios: pd.DataFrame, infos: Infos) -> Table:
    """Return every cost with its spread; `summary` and `ratios` as in `analysis.cost`."""
    setting = [c.GROUP, c.PROBLEM, c.PARAMETERS, c.BATCH_SIZE, c.OUTPUTS, c.ROWS, c.OPTIMIZER]
    merged = summary.merge(ratios, on=setting, how="left")
    merged = tables.sorted_rows(merged, [c.GROUP, c.BATCH_SIZE, c.OUTPUTS, c.PARAMETERS, c.OPTIMIZER], infos)

    def digital(row: Any) -> Cell:
        size = row.problem, row.parameters, row.outputs
        about = "≈ " if infos[row.optimizer].modelled and host_extrapolated(*size) else ""
        text = quantities.seconds_with_spread(row.digital_median_s, row.digital_q1_s, row.digital_q3_s)
        return Cell(row.digital_median_s, about + text)

    def modelled(part: str) -> Column:
        def cell(row: Any) -> Cell:
            stated = tables.stated_seconds(getattr(row, part))
            return stated if infos[row.optimizer].modelled else Cell(None, quantities.NOT_MEASURED)

        return Column(part.removesuffix("_s"), cell, tables.MODELLED)

    columns = (
        tables.optimizer_column(infos),
        tables.SECTION,
        amount("N", c.PARAMETERS),
        Column(
            "b · d_z · m", lambda row: Cell(row.batch_size, f"{row.batch_size} · {row.outputs} · {row.rows}")
        ),
        Column("digital time, median [quartiles]", digital, tables.MEASURED),
        Column("digital relative to SGD [95 %]", partial(_ratio, part="digital"), tables.MEASURED),
        *map(modelled, (c.WRITE_S, c.RELAX_S, c.READ_S)),
        Column("total, median [quartiles]", _total, tables.TOTAL),
        Column("total, mean", lambda row: tables.stated_seconds(row.total_mean_s), tables.TOTAL),
        Column("total relative to SGD [95 %]", partial(_ratio, part="total"), tables.TOTAL),
        amount("FLOPs", c.FLOPS, quantities.significant, tables.COUNTED),
        amount("peak memory", c.PEAK_BYTES, quantities.memory, tables.MEASURED),
        Column("iterations in processes", lambda row: Cell(row.n, f"{row.n} in {row.processes}")),
        tables.RECORDS,
    )
    caption = (
        "Cost per iteration: medians over timed iterations with quartiles. The mean counts work that an optimizer "
        "does only now and then, as K-FAC's refreshes. A digital optimizer has no modelled part: its total is measured."
    )
    if merged["total_median_s"].isna().any():
        caption += " ≥: a lower bound, the device states no time for an item of its bill."
    table = tables.table_of("cost-per-iteration", caption, columns, merged)
    if any(row[4].startswith("≈") for row in table.rows):
        return replace(table, caption=f"{caption} {EXTRAPOLATED}")
    return table


def _ratio(row: Any, part: str) -> Cell:
    value, low, high = (getattr(row, f"{part}_{end}") for end in ("ratio", "low", "high"))
    bound = pd.isna(getattr(row, f"{part}_median_s")) and not pd.isna(value)
    return Cell(value, ("≥ " if bound else "") + quantities.ratio(value, low, high))


def _total(row: Any) -> Cell:
    if pd.isna(row.total_median_s):
        return number(row.at_least_s, quantities.seconds, "≥ ")
    text = quantities.seconds_with_spread(row.total_median_s, row.total_q1_s, row.total_q3_s)
    return Cell(row.total_median_s, text)


def fits_table(scaling: pd.DataFrame, infos: Infos) -> Table:
    """Return the exponents in N, b and d_z beside those of the paper's Table 1; `scaling` as in `analysis.fits`."""
    held = [name for name in (c.BATCH_SIZE, c.OUTPUTS) if name in scaling]
    columns = (
        tables.optimizer_column(infos),
        words("against", lambda row: SIGNS.get(row.axis, row.axis)),
        words("quantity", lambda row: row.quantity),
        Column("log-log slope [95 %]", partial(_exponent, name="log_log")),
        Column("p over an overhead [95 %]", _power),
        amount("Table 1, largest power", "paper", partial(_paper, form="g")),
        amount("Table 1, slope over this range", "paper_here", partial(_paper, form=".2f")),
        Column("local slopes, small to large", _local_slopes),
        Column("sizes and fit range", _fit_range),
        tables.SECTION,
        tables.RECORDS,
    )
    caption = (
        "How cost grows with N, b and d_z. A fixed overhead flattens the log-log slope; p is the exponent of a + b·xᵖ, "
        "fitted over it. Intervals: the wider of a hierarchical bootstrap (sizes, then repetitions) and a t-interval "
        "over sizes; of a slope also that of a line with one step, where it fits better. Fewer than five sizes give no "
        "exponent. Table 1 of arXiv 2405.13817: its largest power, and the log-log slope of its whole formula over the "
        "same sizes."
    )
    rows = tables.sorted_rows(scaling, ["axis", c.GROUP, *held, c.OPTIMIZER], infos)
    return tables.table_of("scaling-fits", caption, columns, rows)


def _exponent(row: Any, name: str) -> Cell:
    low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
    return number(getattr(row, name), lambda value: quantities.exponent(value, low, high), none="no exponent")


def _power(row: Any) -> Cell:
    if not pd.isna(row.exponent) and not row.exponent_determined:
        return Cell(None, "not determined")
    return _exponent(row, "exponent")


def _paper(value: float, form: str) -> str:
    return quantities.NOT_MEASURED if pd.isna(value) else f"{value:{form}}"


def _local_slopes(row: Any) -> Cell:
    text = " · ".join(f"{slope:.2f}".replace("-", "−") for slope in row.local_slopes)
    return Cell(next(iter(row.local_slopes), None), text)


def _fit_range(row: Any) -> Cell:
    return Cell(row.sizes, f"{row.sizes}: {quantities.count(row.smallest)} – {quantities.count(row.largest)}")
