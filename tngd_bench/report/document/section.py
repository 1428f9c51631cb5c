"""A section of the page: its words, charts and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.document.tables import Table


@dataclass(frozen=True)
class ShownVerdict:
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
    judgements: tuple[ShownVerdict, ...]
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
    """A section of the page, which leaves it out where it is empty.

    `points` are computed statements, `statements` pairs of a term and a sentence, `explorer` the data of the what-if
    panel (see `panel_data.explorer`), `exhibits` groups of the section's charts with the claims they decide: a
    page shows these charts there, other formats as they come. Charts without `figure_files` are on the page alone.
    """

    anchor: str
    title: str
    prose: str = ""
    points: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    statements: tuple[tuple[str, str], ...] = ()
    command: str = ""
    explorer: Mapping[str, object] | None = None
    exhibits: tuple[Exhibit, ...] = ()
    figure_files: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        rows = any(table.rows for table in self.tables)
        return not (
            rows
            or self.charts
            or self.points
            or self.statements
            or self.command
            or self.exhibits
            or self.explorer
        )

    def less(self, shown: Sequence[Section]) -> Section:
        """Return the section without the charts, tables and points of the sections `shown`."""
        charts = {chart.name or chart for section in shown for chart in section.charts}
        tables = {table.name for section in shown for table in section.tables}
        points = {point for section in shown for point in section.points}
        return replace(
            self,
            points=tuple(point for point in self.points if point not in points),
            charts=tuple(chart for chart in self.charts if (chart.name or chart) not in charts),
            tables=tuple(table for table in self.tables if table.name not in tables),
        )

    @classmethod
    def failed(cls, anchor: str, title: str, error: Exception) -> Section:
        """Return the section in place of one that could not be made: `without` then says why."""
        return cls(anchor, title, charts=(Chart.failed(MissingFigure.because(title, error, "section")),))

    def without(self, undrawn: Mapping[str, MissingFigure]) -> tuple[Section, tuple[MissingFigure, ...]]:
        """Return the section without the charts that failed, each of which leaves a note, and why those failed.

        `undrawn`: the charts that were made and could not be drawn, by name.
        """
        lost = {chart: why for chart in self.charts if (why := chart.missing or undrawn.get(chart.name))}

        def kept(charts: Sequence[Chart]) -> tuple[Chart, ...]:
            return tuple(chart for chart in charts if chart not in lost)

        exhibits = tuple(replace(exhibit, charts=kept(exhibit.charts)) for exhibit in self.exhibits)
        notes = dict.fromkeys(why.note for why in lost.values())
        section = replace(self, points=(*self.points, *notes), charts=kept(self.charts), exhibits=exhibits)
        return section, tuple(lost.values())


def missing_words(missing: Sequence[MissingFigure]) -> str:
    """Return the sentence of the first screen on missing figures; "" where none is missing."""
    if not missing:
        return ""
    named = "; ".join(dict.fromkeys(f"“{each.heading}” ({each.error})" for each in missing))
    kinds = {each.part for each in missing}
    what = next(iter(kinds)) if len(kinds) == 1 else "part"
    done = "drawn" if what == "figure" else "made"
    number = f"{len(missing)} {what}{'' if len(missing) == 1 else 's'}"
    return f"{number} could not be {done} and {'is' if len(missing) == 1 else 'are'} left out: {named}."


def guarded(anchor: str, title: str, make: Callable[[], Sequence[Section]]) -> tuple[Section, ...]:
    """Return the sections that `make` returns; where that fails, one of `title` that says so."""
    try:
        return tuple(make())
    except Exception as error:
        return (Section.failed(anchor, title, error),)
