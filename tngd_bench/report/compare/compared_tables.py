"""Tables of the comparison of two stores: costs, trainings, verdicts on claims, and what differs."""

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.claims.types import Verdict
from tngd_bench.analysis.claims.verdicts import judge
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results, pooled
from tngd_bench.problems import registered_metrics
from tngd_bench.report.claims.verdicts import numbers_that_decide, rule_with_date
from tngd_bench.report.document import tables
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import SECTION, TOTAL, Cell, Column, Table, amount, text_table, words
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
        amount("B/A", "ratio", lambda ratio: f"{quantities.significant(ratio)}×"),
        Column("B/A relative to SGD [95 %]", _relative),
        amount("A, FLOPs", "a_flops", quantities.significant, tables.COUNTED),
        amount("B, FLOPs", "b_flops", quantities.significant, tables.COUNTED),
    )
    caption = (
        "Time per iteration in both stores. The ratio of seconds has no interval, as it includes changes of the "
        "machine's speed between the runs. Relative to SGD of the same store (tuned where it ran no other way) that "
        "cancels; 95 % intervals with the spread from run to run."
    )
    return tables.table_of("compare-cost-table", caption, columns, costs)


def _relative(row: Any) -> Cell:
    if np.isnan(row.relative):
        return Cell(None, "–")
    if np.isnan(row.relative_low):
        return Cell(row.relative, f"{quantities.significant(row.relative)}× (untested)")
    return Cell(row.relative, quantities.ratio(row.relative, row.relative_low, row.relative_high))


def training_table(training: pd.DataFrame, infos: Infos) -> Table:
    """Return a table of the ends of training in both stores."""
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
        words("level", lambda row: row.level or "–"),
        amount("paired seeds", "pairs", str),
        amount("A, final loss", "a_loss", quantities.significant, tables.MEASURED),
        amount("B, final loss", "b_loss", quantities.significant, tables.MEASURED),
        amount("B − A, median of pairs", "difference", quantities.significant),
        tables.share("B lower", "b_lower", "pairs"),
        tables.share("equal to the bit", "equal", "pairs"),
        Column("diverged, A · B", lambda row: Cell(row.a_diverged, f"{row.a_diverged} · {row.b_diverged}")),
        *(Column(f"{store}, {scored}", score(store.lower())) for store in "AB"),
    )
    caption = "How training ended in both stores, the same seed against itself; medians over seeds finished in both."
    return tables.table_of("compare-training-table", caption, columns, training)


def entries_table(frame: pd.DataFrame, name: str, caption: str) -> Table:
    """Return a frame as a table of text."""
    titles = [{"a": "A", "b": "B"}.get(str(title), str(title)) for title in frame.columns]
    rows = (tuple(map(str, row)) for row in frame.itertuples(index=False))
    return tables.text_table(name, caption, titles, rows, frame)


Pair = tuple[Verdict | None, Verdict | None]
NOT_TESTED = "not tested"


def compared_verdicts(a: Results, b: Results) -> tuple[Pair, ...]:
    """Return the verdicts of both stores on each claim that either of them tests, judged on each store alone.

    Verdicts on one problem stand together; what is left of a claim, on MNIST in one store and on Fashion-MNIST in the
    other, in the order of the stores.
    """
    judged = [judge(pooled({str(each.study.get("name", "study")): each})) for each in (a, b)]
    claims = dict.fromkeys(verdict.claim.id for verdict in judged[0])
    pairs = []
    for claim in claims:
        left, right = ([verdict for verdict in found if verdict.claim.id == claim] for found in judged)
        pairs += [pair for pair in _pairs(left, right) if any(v and v.name != NOT_TESTED for v in pair)]
    return tuple(pairs)


def _pairs(left: list[Verdict], right: list[Verdict]) -> Iterator[Pair]:
    by_problem = {verdict.problem: verdict for verdict in right}
    shared = {verdict.problem for verdict in left} & set(by_problem)
    yield from ((verdict, by_problem[verdict.problem]) for verdict in left if verdict.problem in shared)
    yield from zip_longest(*([v for v in side if v.problem not in shared] for side in (left, right)))


def verdict_words(pairs: tuple[Pair, ...]) -> str:
    """Return a sentence on the verdicts that agree and the claims on which they do not."""
    both = [(a, b) for a, b in pairs if a and b and NOT_TESTED not in (a.name, b.name)]
    if not both:
        return "No claim was tested in both stores."
    other = [(a, b) for a, b in both if a.name != b.name]
    same = len(both) - len(other)
    text = f"{quantities.number_of(len(both), 'verdict')} in both stores, {same} of them the same."
    if other:
        named = "; ".join(f"{a.claim.statement} (A {a.name}, B {b.name})" for a, b in other)
        text += f" Not the same: {named}."
    return text


def verdict_comparison_section(pairs: tuple[Pair, ...], infos: Infos) -> Section:
    """Return the section with both verdicts and the numbers that decide in one row."""
    rows, data = [], []
    for pair in pairs:
        one = next(verdict for verdict in pair if verdict is not None)
        cells, row = [one.claim.statement], {"claim": one.claim.id, "statement": one.claim.statement}
        for side, verdict in zip("ab", pair, strict=True):
            name = verdict.name if verdict is not None else NOT_TESTED
            said = numbers_that_decide(verdict, infos) if verdict is not None else "–"
            problem = verdict.problem if verdict is not None else ""
            cells += [name, f"{problem}: {said}" if problem else said]
            row |= {f"{side}_verdict": name, f"{side}_problem": problem, f"{side}_numbers": said}
        rows.append((*cells, rule_with_date(one, infos)))
        fixed, note = one.claim.fixed.isoformat(), one.claim.note
        data.append(row | {"tolerance": one.finding.rule, "fixed": fixed, "note": note})
    titles = ("claim", "A, verdict", "A, numbers that decide", "B, verdict", "B, numbers that decide", "test")
    caption = "The same tests on both stores, each judged alone."
    table = text_table("compare-verdicts", caption, titles, rows, pd.DataFrame(data))
    return Section("claims", "Claims and verdicts", tables=(table,))
