"""The report as one PDF on A4: the findings, every section's words, figures and tables, in the order of the page.

Typst sets it by `templates/report.typ`; figures are vector drawings.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib

from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.outline import Contents
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Table
from tngd_bench.studies.store import columns as c

_TALLEST_INCHES = 7.8
"""A figure with its heading and its words has to fit on a page."""
_MOST_COLUMNS = 8
"""A table with more columns has a page across."""


def pdf(content: Contents, title: str, output: Path) -> bytes:
    """Return the document; the figures lie in `output`. The same content gives the same bytes."""
    import typst

    report = {
        "title": title,
        "findings": content.first_screen(),
        "sections": [_section(section) for section in content.every],
    }
    template = files("tngd_bench.report.render") / "templates" / "report.typ"
    settings: dict[str, Any] = {
        "root": str(output),
        "font_paths": [str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")],
        "ignore_system_fonts": True,
        "format": "pdf",
        "sys_inputs": {"report": json.dumps(report)},
    }
    document: bytes = typst.compile(template.read_bytes(), **settings)
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
