"""Imperfect devices beside the ideal one, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.analysis.training.device_pairs import DevicePair, change
from tngd_bench.analysis.training.tolerance import SCORE_NAMES, SCORES, margin_text
from tngd_bench.report.document.tables import Column, Table, short_keys, words


def pairs_table(pairs: Sequence[DevicePair], known: Mapping[str, OptimizerInfo]) -> Table:
    """Return one row per imperfect device that trained beside the ideal one."""
    rows, data = [], []
    for pair in pairs:
        rows.append(
            (
                known[pair.optimizer].title,
                known[pair.ideal].title,
                pair.group,
                f"{pair.problem}, N = {quantities.count(pair.size)}",
                f"{pair.seeds}" + (f", {pair.diverged} diverged" if pair.diverged else ""),
                "; ".join(f"{SCORE_NAMES[each.score]} {change(each)}" for each in pair.scores)
                or quantities.NOT_MEASURED,
                f"{pair.verdict}: {pair.note}" if pair.note else pair.verdict,
                _p(pair, pair.p_inside),
                _p(pair, pair.p_outside),
                short_keys(pair.keys),
            )
        )
        data.append(
            {
                "optimizer": pair.optimizer,
                "ideal": pair.ideal,
                "group": pair.group,
                "problem": pair.problem,
                "parameters": pair.size,
                "seeds": pair.seeds,
                "diverged": pair.diverged,
                **{f"{each.score}_ideal": each.ideal for each in pair.scores},
                **{each.score: each.own for each in pair.scores},
                "verdict": pair.verdict,
                "note": pair.note,
                "p_no_worse": pair.p_inside,
                "p_worse": pair.p_outside,
                "keys": pair.keys,
            }
        )
    columns = (
        *words("device", "beside", "section", "problem"),
        Column("seeds"),
        *words("medians, ideal → this device", "training ends"),
        Column("p of no worse"),
        Column("p of worse"),
        Column("records", numeric=False),
    )
    caption = (
        "Imperfect devices beside the ideal one, the same optimizer on the same seeds. “No worse”: by less than "
        f"{margin_text(SCORES[0])} and, where there is one, {margin_text(SCORES[1])}, margins fixed beforehand; "
        "“worse”: by more in either. Exact one-sided signed-rank tests, p corrected for the number of devices (Holm)."
    )
    return Table("device-pairs", caption, columns, tuple(rows), pd.DataFrame(data))


def _p(pair: DevicePair, value: float) -> str:
    return quantities.NOT_MEASURED if pair.note else quantities.significant(value)
