"""The report as one PDF, in the order of the page, and its answer on one side; figures are vector drawings.

Typst sets them by `templates/report.typ` and `templates/brief.typ`.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib

from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.formats import PAPERS
from tngd_bench.report.document.outline import Contents
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Table
from tngd_bench.studies.store import columns as c

_TALLEST_INCHES = 7.8
"""A figure with its heading and its words has to fit on a page."""
_MOST_COLUMNS = 8
"""A table with more columns has a page across."""


def pdf(content: Contents, title: str, output: Path, paper: str) -> bytes:
    """Return the document; the figures lie in `output`. The same content gives the same bytes."""
    report = {
        "title": title,
        "findings": content.first_screen(),
        "sections": [_section(section) for section in content.every],
    }
    return _typeset("report", report, output, paper)


def brief(
    title: str, answer: Answer, pictures: Sequence[Chart], made: str, output: Path, paper: str
) -> bytes:
    """Return the answer with its `pictures`, which lie in `output`, on one side of `paper`: a key of `PAPERS`."""
    told = [(f"{each.term}.", *each.pieces()) for each in answer.paragraphs]
    told += [("", answer.not_asked, "", "")] if answer.not_asked else []
    content = {
        "title": title,
        "bottom_line": answer.bottom_line,
        "facts": " ".join(answer.facts),
        "paragraphs": told,
        "charts": [_chart(chart) for chart in pictures],
        "made": made,
    }
    return _typeset("brief", content, output, paper)


def _typeset(template: str, content: Mapping[str, object], output: Path, paper: str) -> bytes:
    import typst

    source = files("tngd_bench.report.render") / "templates" / f"{template}.typ"
    settings: dict[str, Any] = {
        "root": str(output),
        "font_paths": [str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")],
        "ignore_system_fonts": True,
        "format": "pdf",
        "sys_inputs": {"report": json.dumps({**content, "paper": PAPERS[paper]})},
    }
    document: bytes = typst.compile(source.read_bytes(), **settings)
    return document


def _section(section: Section) -> dict[str, Any]:
    words = [section.prose, *(f"• {point}" for point in section.points)]
    words += [f"{term}: {sentence}" for term, sentence in section.statements]
    words += [section.command]
    return {
        "title": section.title,
        "words": [text for text in words if text],
        "charts": [_chart(chart) for chart in section.charts],
        "tables": [_table(table.without_records()) for table in section.tables if table.rows],
    }


def _chart(chart: Chart) -> dict[str, Any]:
    width, height = chart.figure.get_size_inches()
    return {
        "file": f"/figures/{chart.name}.svg",
        "heading": chart.heading,
        "words": f"{chart.alt} {chart.caption}",
        c.WIDTH: width * min(1.0, _TALLEST_INCHES / height),
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "caption": table.caption,
        "titles": [column.heading for column in table.columns],
        "numeric": [column.numeric for column in table.columns],
        c.ROWS: table.rows,
        "wide": len(table.columns) > _MOST_COLUMNS,
    }
