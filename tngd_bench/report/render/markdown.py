"""The report as Markdown, for pull requests: findings, statements and tables, no raw HTML."""

import re
from collections.abc import Iterable, Sequence

from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Table

ROWS_SHOWN = 40
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def markdown(
    title: str, findings: Sequence[tuple[str, str]], sections: Sequence[Section], command: str, version: str
) -> str:
    """Return a document of `sections` under a title and findings.

    Every text is escaped, so that a name from a study file cannot become markup.
    """
    lines = [f"# {escaped(title)}", ""]
    lines += [f"- **{term}**: {escaped(sentence)}" for term, sentence in findings]
    for section in sections:
        lines += ["", *_section(section)]
    lines += ["", f"Made by tngd-bench {escaped(version)}: {escaped(command)}", ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return text with Markdown's and HTML's special characters made harmless, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\>", "&gt;")


def _section(section: Section) -> list[str]:
    lines = [f"## {escaped(section.title)}"]
    if section.prose:
        lines += ["", escaped(section.prose)]
    if section.points:
        lines += ["", *(f"- {escaped(point)}" for point in section.points)]
    if section.statements:
        told = (f"- **{escaped(term)}**: {escaped(sentence)}" for term, sentence in section.statements)
        lines += ["", *told]
    for chart in section.charts:
        lines += ["", f"![{escaped(chart.alt)}](figures/{chart.name}.svg)"]
    for table in section.tables:
        if table.rows:
            lines += ["", *_table(table)]
    return lines


def _table(table: Table) -> list[str]:
    titles = [column.heading for column in table.columns]
    rules = ["---:" if column.numeric else ":---" for column in table.columns]
    lines = [escaped(table.caption), "", _row(map(escaped, titles)), _row(rules)]
    lines += [_row(map(escaped, row)) for row in table.rows[:ROWS_SHOWN]]
    if len(table.rows) > ROWS_SHOWN:
        lines += ["", f"{len(table.rows) - ROWS_SHOWN} more rows in data/{table.name}.csv."]
    return lines


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
