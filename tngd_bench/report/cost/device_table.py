"""Imperfect devices beside the ideal one, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.training.device_pairs import DevicePair, change, further_scores
from tngd_bench.analysis.training.tolerance import margin_text
from tngd_bench.problems.metrics import TEST_ACCURACY, TRAINING_LOSS
from tngd_bench.report.document import tables
from tngd_bench.report.document.tables import RECORDS, SECTION, Cell, Column, Table, number, words
from tngd_bench.studies.store import columns as c


def pairs_table(pairs: Sequence[DevicePair], infos: Infos) -> Table:
    """Return one row per imperfect device that trained beside the ideal one."""
    columns = (
        words("device", lambda pair: infos[pair.optimizer].title),
        words("beside", lambda pair: infos[pair.ideal].title),
        SECTION,
        words("problem", lambda pair: f"{pair.problem}, N = {quantities.count(pair.size)}"),
        Column("seeds", _seeds),
        words("medians, ideal → this device", _medians),
        words("training ends", lambda pair: f"{pair.verdict}: {pair.note}" if pair.note else pair.verdict),
        Column("p of no worse", lambda pair: _p(pair, pair.p_inside)),
        Column("p of worse", lambda pair: _p(pair, pair.p_outside)),
        RECORDS,
    )
    further = " or ".join(margin_text(score) for score in further_scores(pairs) or (TEST_ACCURACY,))
    caption = (
        "Imperfect devices beside the ideal one, the same optimizer on the same seeds. “No worse”: by less than "
        f"{margin_text(TRAINING_LOSS)} and, where there is one, {further}, margins fixed beforehand; "
        "“worse”: by more in either. Exact one-sided signed-rank tests, p corrected for the number of devices (Holm)."
    )
    return tables.table_of("device-pairs", caption, columns, pairs, pd.DataFrame(map(_data, pairs)))


def _seeds(pair: DevicePair) -> Cell:
    return Cell(pair.seeds, f"{pair.seeds}" + (f", {pair.diverged} diverged" if pair.diverged else ""))


def _medians(pair: DevicePair) -> str:
    return "; ".join(f"{each.score.title} {change(each)}" for each in pair.scores) or (
        quantities.NOT_MEASURED
    )


def _p(pair: DevicePair, value: float) -> Cell:
    return Cell(None, quantities.NOT_MEASURED) if pair.note else number(value, quantities.significant)


def _data(pair: DevicePair) -> dict[str, object]:
    return {
        c.OPTIMIZER: pair.optimizer,
        "ideal": pair.ideal,
        c.GROUP: pair.group,
        c.PROBLEM: pair.problem,
        c.PARAMETERS: pair.size,
        "seeds": pair.seeds,
        "diverged": pair.diverged,
        **{f"{each.score.final}_ideal": each.ideal for each in pair.scores},
        **{each.score.final: each.own for each in pair.scores},
        "verdict": pair.verdict,
        "note": pair.note,
        "p_no_worse": pair.p_inside,
        "p_worse": pair.p_outside,
        "keys": pair.keys,
    }
