"""A section of the page: its words, charts and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tngd_bench.report.drawing import Chart
from tngd_bench.report.tables import Table


@dataclass(frozen=True)
class Section:
    """A section of the page; `absent` says what is missing, where something is.

    `points` are computed statements, `statements` pairs of a term and a sentence, `explorer` the data of the what-if
    panel (see `map_section.explorer`).
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
