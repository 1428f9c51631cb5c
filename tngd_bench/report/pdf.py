"""The report as one PDF: the findings, every figure with its words, and the tables in pages of text."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from tngd_bench.report import drawing
from tngd_bench.report.contents import Contents
from tngd_bench.report.drawing import Chart
from tngd_bench.report.tables import Table

_PAGE = (8.27, 11.69)  # A4, inches
_LINES, _CHARACTERS, _CELL = 78, 112, 34
_METADATA = {"CreationDate": None, "Creator": None, "Producer": None}


def pdf(content: Contents, title: str, pictures: Mapping[str, bytes]) -> bytes:
    """Return the document; `pictures` holds the PNG of every chart by name. The same content gives the same bytes."""
    buffer = io.BytesIO()
    with drawing.style(), PdfPages(buffer, metadata={**_METADATA, "Title": title}) as pages:
        opening = [title, ""]
        for term, sentence in content.first_screen():
            opening += [
                term,
                *textwrap.wrap(sentence, _CHARACTERS - 4, initial_indent="    ", subsequent_indent="    "),
                "",
            ]
        for page in _paged(opening):
            pages.savefig(_text_page(page))
        for section in content.sections:
            head = [
                section.title,
                "",
                *_wrapped(section.prose),
                *(line for p in section.points for line in _wrapped(f"• {p}")),
            ]
            head += [
                line for term, sentence in section.statements for line in _wrapped(f"{term}: {sentence}")
            ]
            head += _wrapped(section.absent)
            for table in section.tables:
                if table.rows:
                    head += ["", *_table_lines(table)]
            for page in _paged(head):
                pages.savefig(_text_page(page))
            for chart in section.charts:
                pages.savefig(_chart_page(chart, pictures[chart.name]))
    return buffer.getvalue()


def _chart_page(chart: Chart, picture_png: bytes) -> Figure:
    """Return the figure on a page with its heading and caption, drawn from its PNG: a figure has one owner only."""
    from PIL import Image

    figure = Figure(figsize=_PAGE)
    figure.text(0.08, 0.95, "\n".join(textwrap.wrap(chart.heading, 80)), fontsize=12, weight="bold", va="top")
    with Image.open(io.BytesIO(picture_png)) as picture:
        width, height = picture.size
        share = min(0.84, 0.72 * _PAGE[1] / _PAGE[0] * width / height)
        tall = share * _PAGE[0] / width * height / _PAGE[1]
        axes = figure.add_axes((0.08, 0.9 - tall, share, tall))
        axes.imshow(picture, interpolation="none", aspect="auto")
    axes.set_axis_off()
    words = textwrap.wrap(f"{chart.alt} {chart.caption}", 100)
    figure.text(0.08, 0.87 - tall, "\n".join(words), fontsize=8.5, va="top")
    return figure


def _text_page(lines: Iterable[str]) -> Figure:
    figure = Figure(figsize=_PAGE)
    figure.text(
        0.08, 0.95, "\n".join(lines), fontsize=7.5, family="DejaVu Sans Mono", va="top", linespacing=1.3
    )
    return figure


def _paged(lines: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(lines), _LINES):
        yield lines[start : start + _LINES]


def _wrapped(text: str) -> list[str]:
    return [*textwrap.wrap(text, _CHARACTERS), ""] if text else []


def _table_lines(table: Table) -> list[str]:
    """Return a table as text, in blocks of as many columns as fit; every block repeats the first column."""
    kept = [place for place, column in enumerate(table.columns) if column.title != "records"]
    cells = [[textwrap.shorten(row[place], _CELL, placeholder="…") for place in kept] for row in table.rows]
    titles = [textwrap.shorten(table.columns[place].title, _CELL, placeholder="…") for place in kept]
    widths = [max(len(title), *(len(row[n]) for row in cells)) for n, title in enumerate(titles)]
    lines = _wrapped(table.caption)
    start = 1
    while start < len(kept) or start == 1:
        block, used = [0], widths[0]
        while start < len(kept) and (len(block) == 1 or used + widths[start] + 2 <= _CHARACTERS):
            block.append(start)
            used += widths[start] + 2
            start += 1
        for row in [titles, *cells]:
            lines.append("  ".join(row[n].ljust(widths[n]) for n in block).rstrip())
        lines.append("")
        if start >= len(kept):
            break
    return lines
