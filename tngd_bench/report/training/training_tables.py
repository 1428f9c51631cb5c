"""Tables of training: how it ended, and when it reached its targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import TEST_ACCURACY, Metric
from tngd_bench.report.document import tables
from tngd_bench.report.document.tables import RECORDS, SECTION, TOTAL, Cell, Column, Table, amount, words
from tngd_bench.studies.store import columns as c


def final_table(ends: pd.DataFrame, infos: Infos, *, sweeps: bool) -> Table:
    """Return how training ended, side by side or along sweeps; `ends` as in `final_scores.summarise_final`."""
    swept = ends[c.SWEEP_PARAMETER].notna()
    part = tables.sorted_rows(ends[swept if sweeps else ~swept], [c.GROUP, c.OPTIMIZER], infos)
    scores = _scores(part)
    level = words(
        "level", lambda row: f"{parameter_name(row.sweep_parameter)} = {tables.level_text(row.sweep_value)}"
    )
    columns = (
        tables.optimizer_column(infos),
        SECTION,
        words("problem", tables.size_text),
        *([level] if sweeps else []),
        Column("seeds finished", _finished),
        Column("final training loss, median [quartiles]", _spread("final_loss", _plain_spread)),
        *(
            Column(
                f"{title}, median [quartiles]",
                _spread(name, _percent_spread if metric.share else _plain_spread),
            )
            for name, (title, metric) in scores.items()
        ),
        amount("iterations", "iterations"),
        amount(
            "elapsed time of the trial in step(), simulation included",
            c.MEASURED_S,
            quantities.seconds,
            tables.MEASURED,
        ),
        amount("iterations × cost per iteration", c.MODELLED_S, quantities.seconds, TOTAL),
        RECORDS,
    )
    caption = (
        "How training ended: medians and quartiles over the finished seeds; a diverged seed enters no median."
    )
    return tables.table_of("sensitivity" if sweeps else "training", caption, columns, part)


def _scores(ends: pd.DataFrame) -> dict[str, tuple[str, Metric]]:
    """Return what to show of test scores, by column of `ends` without its quantile: the title and the metric."""
    found = {}
    for score in registered_metrics.tested():
        if score.metric.start_in_tables:
            found[score.untrained] = (f"{score.title} before training", score.metric)
        found[score.final] = (f"final {score.title}", score.metric)
    present = {name: shown for name, shown in found.items() if ends[f"{name}_median"].notna().any()}
    return present or {TEST_ACCURACY.final: found[TEST_ACCURACY.final]}


def _finished(row: Any) -> Cell:
    text = f"{row.finished} of {row.trials}" + (f", {row.diverged} diverged" if row.diverged else "")
    return Cell(row.finished, text)


def _spread(name: str, write: Callable[[float, float, float], str]) -> Callable[[Any], Cell]:
    """Return how the median and quartiles of the column `name` are written."""

    def cell(row: Any) -> Cell:
        median, low, high = (getattr(row, f"{name}_{part}") for part in ("median", "q1", "q3"))
        return Cell(median, quantities.NOT_MEASURED if pd.isna(median) else write(median, low, high))

    return cell


def _plain_spread(median: float, low: float, high: float) -> str:
    return f"{quantities.significant(median)} {quantities.interval(low, high)}"


def _percent_spread(median: float, low: float, high: float) -> str:
    return f"{100 * median:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def targets_table(times: pd.DataFrame, infos: Infos) -> Table:
    """Return times to targets with hit rates; `times` as in `analysis.time_to_target`."""
    part = tables.sorted_rows(times, [c.GROUP, "target", c.OPTIMIZER], infos)
    columns = (
        tables.optimizer_column(infos),
        SECTION,
        words("target", lambda row: row.target),
        Column("seeds that hit", _hits),
        Column("iterations, median (after, by] [its interval]", _censored),
        amount("iterations × cost per iteration, median", "modelled_median", quantities.seconds, TOTAL),
    )
    caption = (
        "Time to targets fixed beforehand. A target is first seen met at an evaluation: (78, 156] was met after "
        "iteration 78 and by 156. A miss is censored: it counts as ∞, and no mean is taken."
    )
    confidence = part["confidence"].min()
    if not pd.isna(confidence):
        caption += f" Intervals of medians: {quantities.percent(confidence)} at least, exact."
    if part["provenance"].str.startswith("median of").any():
        caption += " A median of reruns as a target is missed by half of them: whether its own baseline hits is a coin."
    for provenance, targets in part.groupby("provenance", sort=True)["target"]:
        caption += f" {', '.join(sorted(set(targets)))}: {provenance}."
    return tables.table_of("time-to-target", caption, columns, part)


def _hits(row: Any) -> Cell:
    return Cell(row.hits, f"{row.hits} of {row.tries}") if row.tries else Cell(None, "not tried")


def _censored(row: Any) -> Cell:
    """Return e.g. "(78, 156] [78, 234]": between which evaluations the median seed met a target, and its interval."""
    if pd.isna(row.iterations_median):
        return Cell(None, quantities.NOT_MEASURED)
    low, median, high = map(
        quantities.count, (row.iterations_low, row.iterations_median, row.iterations_high)
    )
    between = row.after_median >= 0 and not np.isinf(row.iterations_median)
    shown = f"({quantities.count(row.after_median)}, {median}]" if between else median
    return Cell(row.iterations_median, f"{shown} [{low}, {high}]")
