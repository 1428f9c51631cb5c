"""The verdicts on the claims of two stores, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import pandas as pd

from tngd_bench.analysis.claims.types import Verdict
from tngd_bench.analysis.claims.verdicts import judge
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results, pooled
from tngd_bench.report.claims.verdicts import numbers_that_decide, rule_with_date
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import text_table

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
    """Return how many verdicts agree, and on which claims they do not."""
    both = [(a, b) for a, b in pairs if a and b and NOT_TESTED not in (a.name, b.name)]
    if not both:
        return "No claim was tested in both stores."
    other = [(a, b) for a, b in both if a.name != b.name]
    same = len(both) - len(other)
    text = f"{len(both)} verdict{'s' if len(both) > 1 else ''} in both stores, {same} of them the same."
    if other:
        text += (
            " Not the same: "
            + "; ".join(f"{a.claim.statement} (A {a.name}, B {b.name})" for a, b in other)
            + "."
        )
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
    nothing = "" if rows else "No claim's test has its sections in these stores."
    return Section("claims", "Claims and verdicts", tables=(table,), absent=nothing)
