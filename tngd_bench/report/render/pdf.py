"""The report as one PDF on A4: the findings, every section's words, figures and tables, in the order of the page."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from tngd_bench.report.document import charting
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.outline import Contents
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Table

_WIDTH, _HEIGHT, _MARGIN, _FOOT = 8.27, 11.69, 0.65, 0.75  # A4, inches
_SANS, _MONO = "DejaVu Sans", "DejaVu Sans Mono"
_STYLES = {  # points, weight, family
    "title": (15.0, "bold", _SANS),
    "section": (12.5, "bold", _SANS),
    "heading": (9.5, "bold", _SANS),
    "body": (8.5, "normal", _SANS),
    "table": (6.7, "normal", _MONO),
    "columns": (6.7, "bold", _MONO),
}
_CHARACTERS = {"title": 58, "section": 70, "heading": 92, "body": 116, "table": 124}
_CELL, _NAMED = 34, 4
_SIZES = ("N", "m", "b · d_z · m")
_CHART, _TALLEST = (
    3.75,
    8.6,
)  # height of a figure, inches: two stand on a page, but none narrower than it was drawn
_METADATA = {"CreationDate": None, "Creator": None, "Producer": None}


def pdf(content: Contents, title: str, pictures: Mapping[str, bytes]) -> bytes:
    """Return the document; `pictures` holds the PNG of every chart by name. The same content gives the same bytes."""
    buffer = io.BytesIO()
    with charting.style(), PdfPages(buffer, metadata={**_METADATA, "Title": title}) as pages:
        flow = _Flow(pages, title)
        flow.write(title, "title")
        for term, sentence in content.first_screen():
            flow.space(0.1)
            flow.write(term, "heading")
            flow.write(sentence, "body")
        for section in content.sections:
            _section(flow, section, pictures)
        flow.end()
    return buffer.getvalue()


def _section(flow: _Flow, section: Section, pictures: Mapping[str, bytes]) -> None:
    said = [section.prose, *(f"• {point}" for point in section.points)]
    said += [f"{term}: {sentence}" for term, sentence in section.statements]
    said += [section.command, section.absent]
    flow.space(0.35)
    # a title never stands alone at the foot of a page
    first = section.charts[0] if section.charts and not any(said) else None
    flow.keep(1.4 if first is None else 0.4 + chart_room(first, pictures[first.name]))
    flow.write(section.title, "section")
    for text in said:
        if text:
            flow.space(0.06)
            flow.write(text, "body")
    for chart in section.charts:
        flow.chart(chart, pictures[chart.name])
    for table in section.tables:
        if table.rows:
            flow.space(0.2)
            flow.keep(0.8)
            flow.write(table.caption, "body")
            flow.space(0.06)
            for columns, lines in blocks(table):
                flow.table(columns, lines)


class _Flow:
    """Text and figures set one under another, a page after a page; `down` is the depth reached, in inches."""

    def __init__(self, pages: PdfPages, title: str) -> None:
        self._pages, self._title, self._number = pages, textwrap.shorten(title, 90, placeholder="…"), 0
        self._begin()

    def _begin(self) -> None:
        self._page = Figure(figsize=(_WIDTH, _HEIGHT))
        self._down, self._number = _MARGIN, self._number + 1

    def end(self) -> None:
        """Finish the page with its number."""
        foot = f"{self._title}  ·  {self._number}"
        self._page.text(0.5, 0.35 / _HEIGHT, foot, fontsize=7, ha="center", va="bottom", family=_SANS)
        self._pages.savefig(self._page)  # type: ignore[no-untyped-call]  # matplotlib's PdfPages has no types

    def keep(self, inches: float) -> None:
        """Go to the next page unless so much room is left."""
        if self._down + inches > _HEIGHT - _FOOT:
            self.end()
            self._begin()

    def space(self, inches: float) -> None:
        """Leave room, but none at the top of a page."""
        if self._down > _MARGIN:
            self._down += inches

    def write(self, text: str, style: str) -> None:
        """Set text, wrapped."""
        for line in textwrap.wrap(" ".join(text.split()), _CHARACTERS[style]):
            self._line(line, style)

    def _line(self, line: str, style: str) -> None:
        points, weight, family = _STYLES[style]
        tall = 1.35 * points / 72
        self.keep(tall)
        where = (_MARGIN / _WIDTH, 1 - self._down / _HEIGHT)
        self._page.text(*where, line, fontsize=points, weight=weight, family=family, va="top")
        self._down += tall

    def table(self, columns: str, lines: list[str]) -> None:
        """Set lines under the heads of their columns, which every page repeats."""
        tall = 1.35 * _STYLES["table"][0] / 72
        self.keep(4 * tall)
        self._line(columns, "columns")
        for line in lines:
            if self._down + tall > _HEIGHT - _FOOT:
                self.keep(_HEIGHT)
                self._line(columns, "columns")
            self._line(line, "table")
        self.space(0.1)

    def chart(self, chart: Chart, picture_png: bytes) -> None:
        """Set a figure under its heading and over its words, drawn from its PNG: a figure has one owner only."""
        from PIL import Image

        with Image.open(io.BytesIO(picture_png)) as picture:
            wide, tall = _set_size(*picture.size)
            self.space(0.22)
            self.keep(chart_room(chart, picture_png) - 0.22)
            self.write(chart.heading, "heading")
            bottom = 1 - (self._down + 0.05 + tall) / _HEIGHT
            axes = self._page.add_axes((_MARGIN / _WIDTH, bottom, wide / _WIDTH, tall / _HEIGHT))
            axes.imshow(picture, interpolation="none", aspect="auto")
            axes.set_axis_off()
        self._down += tall + 0.1
        self.write(f"{chart.alt} {chart.caption}", "body")


def _set_size(width: int, height: int) -> tuple[float, float]:
    """Return width and height, in inches, at which a picture is set."""
    wide = max(_CHART * width / height, charting.WIDTH_INCHES)
    wide = min(wide, _WIDTH - 2 * _MARGIN, _TALLEST * width / height)
    return wide, wide * height / width


def chart_room(chart: Chart, picture_png: bytes) -> float:
    """Return the inches that a figure takes with its heading, its words and the space before it."""
    from PIL import Image

    words = textwrap.wrap(f"{chart.alt} {chart.caption}", _CHARACTERS["body"])
    with Image.open(io.BytesIO(picture_png)) as picture:
        _, tall = _set_size(*picture.size)
    return tall + 0.62 + len(words) * 1.35 * _STYLES["body"][0] / 72


def blocks(table: Table) -> Iterator[tuple[str, list[str]]]:
    """Yield a table as text, the heads and the lines of as many columns as fit, records left out.

    Every block repeats the columns before the first of numbers (four at most) and the sizes after them, which say what
    a row is. A long cell is cut, with an ellipsis.
    """
    kept = [place for place, column in enumerate(table.columns) if column.title != "records"]
    numeric = [table.columns[place].numeric for place in kept]
    titles = [_cut(table.columns[place].title, _CELL) for place in kept]
    start = max(1, min(numeric.index(True) if True in numeric else len(kept), _NAMED))
    while start < len(kept) and titles[start] in _SIZES:
        start += 1
    named = list(range(start))
    cells = [[_cut(row[place], _CELL) for place in kept[:start]] for row in table.rows]
    widths = [max(len(titles[n]), *(len(row[n]) for row in cells)) for n in named]
    room = max(_CHARACTERS["table"] - sum(width + 2 for width in widths), _CELL)
    for line, row in zip(cells, table.rows, strict=True):
        line += [_cut(row[place], room) for place in kept[start:]]
    widths += [max(len(titles[n]), *(len(row[n]) for row in cells)) for n in range(start, len(kept))]
    while True:
        block, used = list(named), sum(widths[n] + 2 for n in named)
        while start < len(kept) and (
            len(block) == len(named) or used + widths[start] <= _CHARACTERS["table"]
        ):
            block.append(start)
            used += widths[start] + 2
            start += 1
        set_ = [
            "  ".join(row[n].rjust(widths[n]) if numeric[n] else row[n].ljust(widths[n]) for n in block)
            for row in (titles, *cells)
        ]
        yield set_[0].rstrip(), [line.rstrip() for line in set_[1:]]
        if start >= len(kept):
            return


def _cut(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
