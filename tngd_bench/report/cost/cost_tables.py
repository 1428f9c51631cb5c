"""Tables of cost: every cost with its spread, and how cost grows with N, b and d_z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.caveats import host_extrapolated
from tngd_bench.analysis.families import Infos
from tngd_bench.report.document import tables
from tngd_bench.report.document.tables import Cell, Column, Table, amount, number, words
from tngd_bench.studies.store import columns as c

EXTRAPOLATED = "≈: host seconds extrapolated to all columns of the Jacobian from the 16 that were timed."


def cost_table(summary: pd.DataFrame, ratios: pd.DataFrame, infos: Infos) -> Table:
    """Return every cost with its spread; `summary` and `ratios` as in `analysis.cost`."""
    setting = [c.GROUP, c.PROBLEM, c.PARAMETERS, c.BATCH_SIZE, c.OUTPUTS, c.ROWS, c.OPTIMIZER]
    merged = summary.merge(ratios, on=setting, how="left")
    merged = tables.sorted_rows(merged, [c.GROUP, c.BATCH_SIZE, c.OUTPUTS, c.PARAMETERS, c.OPTIMIZER], infos)

    def digital(row: Any) -> Cell:
        extrapolated = infos[row.optimizer].modelled and host_extrapolated(
            row.problem, row.parameters, row.outputs
        )
        text = quantities.seconds_with_spread(row.digital_median_s, row.digital_q1_s, row.digital_q3_s)
        return Cell(row.digital_median_s, f"{'≈ ' if extrapolated else ''}{text}")

    columns = (
        tables.optimizer_column(infos),
        tables.SECTION,
        amount("N", c.PARAMETERS),
        Column(
            "b · d_z · m", lambda row: Cell(row.batch_size, f"{row.batch_size} · {row.outputs} · {row.rows}")
        ),
        Column("digital time, median [quartiles]", digital, tables.MEASURED),
        Column(
            "digital relative to SGD [95 %]",
            lambda row: _ratio(row.digital_ratio, row.digital_low, row.digital_high),
            tables.MEASURED,
        ),
        *(Column(part, _modelled(part, infos), tables.MODELLED) for part in ("write", "relax", "read")),
        Column("total, median [quartiles]", _total, tables.TOTAL),
        Column("total, mean", lambda row: tables.stated_seconds(row.total_mean_s), tables.TOTAL),
        Column("total relative to SGD [95 %]", _total_ratio, tables.TOTAL),
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


def _ratio(value: float, low: float, high: float, before: str = "") -> Cell:
    return Cell(value, before + quantities.ratio(value, low, high))


def _modelled(part: str, infos: Infos) -> Callable[[Any], Cell]:
    def cell(row: Any) -> Cell:
        if not infos[row.optimizer].modelled:
            return Cell(None, quantities.NOT_MEASURED)
        return tables.stated_seconds(getattr(row, f"{part}_s"))

    return cell


def _total(row: Any) -> Cell:
    if pd.isna(row.total_median_s):
        return number(row.at_least_s, quantities.seconds, "≥ ")
    text = quantities.seconds_with_spread(row.total_median_s, row.total_q1_s, row.total_q3_s)
    return Cell(row.total_median_s, text)


def _total_ratio(row: Any) -> Cell:
    bound = pd.isna(row.total_median_s) and not pd.isna(row.total_ratio)
    return _ratio(row.total_ratio, row.total_low, row.total_high, "≥ " if bound else "")


def fits_table(scaling: pd.DataFrame, infos: Infos) -> Table:
    """Return the exponents in N, b and d_z beside those of the paper's Table 1; `scaling` as in `analysis.fits`."""
    held = [name for name in (c.BATCH_SIZE, c.OUTPUTS) if name in scaling]
    columns = (
        tables.optimizer_column(infos),
        words("against", lambda row: tables.AXES.get(row.axis, row.axis)),
        words("quantity", lambda row: row.quantity),
        Column("log-log slope [95 %]", lambda row: _exponent(row.log_log, row.log_log_low, row.log_log_high)),
        Column("p over an overhead [95 %]", _power),
        Column("Table 1, largest power", lambda row: _paper(row.paper, "g")),
        Column("Table 1, slope over this range", lambda row: _paper(row.paper_here, ".2f")),
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


def _exponent(value: float, low: float, high: float) -> Cell:
    return Cell(value, "no exponent" if pd.isna(value) else quantities.exponent(value, low, high))


def _power(row: Any) -> Cell:
    if not pd.isna(row.exponent) and not row.exponent_determined:
        return Cell(None, "not determined")
    return _exponent(row.exponent, row.exponent_low, row.exponent_high)


def _paper(value: float, form: str) -> Cell:
    return Cell(value, quantities.NOT_MEASURED if pd.isna(value) else f"{value:{form}}")


def _local_slopes(row: Any) -> Cell:
    text = " · ".join(f"{slope:.2f}".replace("-", "−") for slope in row.local_slopes)
    return Cell(next(iter(row.local_slopes), None), text)


def _fit_range(row: Any) -> Cell:
    span = f"{quantities.count(row.smallest)} – {quantities.count(row.largest)}"
    return Cell(row.sizes, f"{row.sizes}: {span}")
