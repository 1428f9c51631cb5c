"""A section of the page: its words, charts and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.tables import Table


@dataclass(frozen=True)
class Judgement:
    """A verdict as the page shows it: on `problem` ("" for all) as `measured` (see `measured_on`), in words, by parts.

    `parts`: (outcome, what was tested, the numbers) each; `missing` what was not tested and why; `records` the
    records used, by study, as in a table's column of records.
    """

    verdict: str
    problem: str
    condition: str
    parts: tuple[tuple[str, str, str], ...]
    missing: str
    records: tuple[tuple[str, str], ...]
    measured: str = ""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its judgements, one for each problem; `anchor` is its place on the page, `rule` its test with the
    tolerance, `fixed` the day on which that got its present form, `note` what was known by then."""

    anchor: str
    statement: str
    where: str
    rule: str
    judgements: tuple[Judgement, ...]
    fixed: str = ""
    note: str = ""


@dataclass(frozen=True)
class Exhibit:
    """A figure or table of the paper: the charts of it that our records give, and the claims that it decides.

    `see` is the anchor of the section that shows the numbers where no chart does, "" otherwise.
    """

    title: str
    charts: tuple[Chart, ...]
    claims: tuple[JudgedClaim, ...]
    see: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page; `absent` says what is missing, where something is.

    `points` are computed statements, `statements` pairs of a term and a sentence, `explorer` the data of the what-if
    panel (see `map_section.explorer`), `exhibits` groups of the section's charts with the claims they decide: a
    page shows these charts there, other formats as they come.
    """

    anchor: str
    title: str
    prose: str = ""
    points: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    statements: tuple[tuple[str, str], ...] = ()
    command: str = ""
    absent: str = ""
    explorer: Mapping[str, object] | None = None
    exhibits: tuple[Exhibit, ...] = ()
