"""Tables of the comparison of two stores: costs, trainings, and what differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.problems import registered_metrics
from tngd_bench.report.document import tables
from tngd_bench.report.document.tables import SECTION, TOTAL, Cell, Column, Table, amount, words
from tngd_bench.studies.store import columns as c


def cost_table(costs: pd.DataFrame, infos: Infos) -> Table:
    """Return times per iteration and operations of both stores."""
    columns = (
        tables.optimizer_column(infos),
        SECTION,
        amount("N", c.PARAMETERS),
        Column("b · d_z", lambda row: Cell(row.batch_size, f"{row.batch_size} · {row.outputs}")),
        amount("A, median", "a_s", quantities.seconds, TOTAL),
        amount("B, median", "b_s", quantities.seconds, TOTAL),
        Column("B/A", lambda row: Cell(row.ratio, f"{quantities.significant(row.ratio)}×")),
        Column("B/A relative to SGD [95 %]", _relative),
        amount("A, FLOPs", "a_flops", quantities.significant, tables.COUNTED),
        amount("B, FLOPs", "b_flops", quantities.significant, tables.COUNTED),
    )
    caption = (
        "Time per iteration in both stores. The ratio of seconds has no interval, as it holds what the hour of either "
        "run did to the machine. Relative to SGD of the same store (tuned where it ran no other way) that cancels; "
        "95 % intervals with the spread from run to run."
    )
    return tables.table_of("compare-cost-table", caption, columns, costs)


def _relative(row: Any) -> Cell:
    if np.isnan(row.relative):
        return Cell(None, "–")
    if np.isnan(row.relative_low):
        return Cell(row.relative, f"{quantities.significant(row.relative)}× (untested)")
    return Cell(row.relative, quantities.ratio(row.relative, row.relative_low, row.relative_high))


def training_table(training: pd.DataFrame, infos: Infos) -> Table:
    """Return how training ended in both stores."""
    scores = {name: registered_metrics.of_column(name) for name in dict.fromkeys(training["score"])}
    several = len(scores) != 1
    scored = "test score" if several else next(iter(scores.values())).title

    def score(store: str) -> Callable[[Any], Cell]:
        def cell(row: Any) -> Cell:
            value, told = getattr(row, f"{store}_score"), scores[row.score]
            text = quantities.metric(value, told.metric)
            return Cell(value, f"{text} ({told.title})" if several else text)

        return cell

    columns = (
        tables.optimizer_column(infos),
        SECTION,
        words(c.PROBLEM, tables.size_text),
        words("level", _level),
        amount("paired seeds", "pairs", str),
        amount("A, final loss", "a_loss", quantities.significant, tables.MEASURED),
        amount("B, final loss", "b_loss", quantities.significant, tables.MEASURED),
        amount("B − A, median of pairs", "difference", quantities.significant),
        Column("B lower", lambda row: Cell(row.b_lower, f"{row.b_lower} of {row.pairs}")),
        Column("equal to the bit", lambda row: Cell(row.equal, f"{row.equal} of {row.pairs}")),
        Column("diverged, A · B", lambda row: Cell(row.a_diverged, f"{row.a_diverged} · {row.b_diverged}")),
        *(Column(f"{store}, {scored}", score(store.lower())) for store in "AB"),
    )
    caption = "How training ended in both stores, the same seed against itself; medians over seeds finished in both."
    return tables.table_of("compare-training-table", caption, columns, training)


def _level(row: Any) -> str:
    swept = not pd.isna(row.sweep_parameter)
    return f"{row.sweep_parameter} = {tables.level_text(row.sweep_value)}" if swept else "–"


def entries_table(frame: pd.DataFrame, name: str, caption: str) -> Table:
    """Return a frame as a table of text."""
    titles = [{"a": "A", "b": "B"}.get(str(title), str(title)) for title in frame.columns]
    rows = (tuple(map(str, row)) for row in frame.itertuples(index=False))
    return tables.text_table(name, caption, titles, rows, frame)
