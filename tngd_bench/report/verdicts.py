"""Verdicts on claims as a table of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tngd_bench.analysis.claims import Verdict, judge
from tngd_bench.report.section import Section
from tngd_bench.report.tables import Column, Table
from tngd_bench.studies.records import Records


def verdict_section(records_by_study: Mapping[str, Records]) -> Section:
    """Return the section with the verdicts on the claims that the records of these studies can decide."""
    found = judge(records_by_study)
    tested = [verdict for verdict in found if verdict.verdict != "not tested"]
    untested = len({v.claim_id for v in found} - {v.claim_id for v in tested})
    counts = {
        name: sum(verdict.verdict == name for verdict in tested)
        for name in ("confirmed", "conditional", "not confirmed")
    }
    prose = (
        "Claims of the paper and of this suite, each with a test fixed beforehand. "
        + ", ".join(f"{count} {name}" for name, count in counts.items())
        + f"; {untested} claims not tested by this study."
    )
    absent = "" if tested else "No claim's test has its sections in this study."
    return Section(
        "verdicts", "Claims and verdicts", prose=prose, tables=(verdict_table(tested),), absent=absent
    )


def verdict_table(found: Sequence[Verdict]) -> Table:
    """Return one row per verdict: statement, where it is made, verdict with its condition, evidence, rule."""
    rows = tuple(
        (
            verdict.statement,
            verdict.where,
            verdict.problem or "all",
            verdict.verdict,
            verdict.condition or "–",
            verdict.evidence,
            verdict.tolerance or "–",
            ", ".join(key for _, key in verdict.keys[:4]) + (" …" if len(verdict.keys) > 4 else ""),
        )
        for verdict in found
    )
    data = pd.DataFrame(
        [
            {
                "claim": verdict.claim_id,
                "statement": verdict.statement,
                "where": verdict.where,
                "problem": verdict.problem,
                "verdict": verdict.verdict,
                "condition": verdict.condition,
                "evidence": verdict.evidence,
                "tolerance": verdict.tolerance,
                **{f"number: {name}": value for name, value in verdict.numbers.items()},
                "keys": tuple(f"{study}: {key}" for study, key in verdict.keys),
            }
            for verdict in found
        ]
    )
    columns = tuple(
        Column(title, numeric=False)
        for title in ("claim", "where", "problem", "verdict", "condition", "evidence", "rule", "records")
    )
    caption = "A verdict holds for this machine and these settings; “conditional” names what it holds for."
    return Table("verdicts", caption, columns, rows, data)
