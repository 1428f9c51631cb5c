"""The report as Markdown: whole, on one printed side, and as a comment on a pull request; no text becomes markup."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape

from tngd_bench.analysis import quantities
from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Table

ROWS_SHOWN = 40
COMMENT_BYTES = 65_536
"""GitHub's limit of a comment, in characters; bytes of UTF-8 are never fewer."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def markdown(
    title: str, findings: Sequence[tuple[str, str]], sections: Sequence[Section], made: str, rest: str = ""
) -> str:
    """Return a document of `sections` under a title and findings; `made` says by whom and how.

    `rest` says where the further rows of long tables are; left out: in a CSV file of each. Every text is escaped, so
    that a name from a study file cannot become markup.
    """
    lines = [f"# {escaped(title)}", ""]
    lines += [f"- **{term}**: {escaped(sentence)}" for term, sentence in findings]
    for section in sections:
        lines += ["", *_section(section, rest)]
    lines += ["", escaped(made), ""]
    return "\n".join(lines)


def brief(title: str, answer: Answer, pictures: Sequence[Chart], made: str) -> str:
    """Return the answer of a study with its `pictures`, to fill one printed side."""
    lines = [f"# {escaped(title)}", "", *_bottom_line(answer), "", *_paragraphs(answer), ""]
    lines += [f"![{escaped(chart.alt)}](figures/{chart.name}.svg)\n" for chart in pictures]
    return "\n".join([*lines, escaped(made), ""])


def comment(
    title: str,
    answer: Answer,
    pictures: Sequence[Chart],
    made: str,
    sections: Sequence[Section],
    address: str,
    rest: str = "",
) -> str:
    """Return the same as a comment on GitHub, details folded, in at most `COMMENT_BYTES`.

    `address` is where the report's folder will be found, for pictures and links; there are none for "". `rest` as in
    `markdown`.
    """
    lines = [f"### {_silent(title)}", "", *map(_silent_line, _bottom_line(answer)), ""]
    if address and pictures:
        shown = [
            f"[![{_silent(chart.alt)}]({address}/figures/{chart.name}.png)]({address}/index.html#{chart.name})"
            for chart in pictures
        ]
        headings = [_silent(chart.heading) for chart in pictures]
        lines += [_row(headings), _row(":---:" for _ in pictures), _row(shown), ""]
    page = f"[The whole report]({address}/index.html). " if address else ""
    last = f"\n{page}{_silent(made)}\n"
    folded = [_folded("Answers", _paragraphs(answer))]
    words = [replace(section, charts=(), explorer=None) for section in sections]  # neither acts in a comment
    folded += [
        _folded(section.title, _section(section, rest)[1:]) for section in words if not section.is_empty
    ]
    kept, left = ["\n".join(lines)], COMMENT_BYTES - _size("\n".join(lines) + last + _CUT.format(len(folded)))
    for part in folded:
        if _size(part) <= left:
            kept, left = [*kept, part], left - _size(part)
    cut = len(folded) + 1 - len(kept)
    return "".join([*kept, *([_CUT.format(cut)] if cut else []), last])


_CUT = "\n{} parts are too long for a comment: the report has them.\n"


def _size(text: str) -> int:
    return len(text.encode())


def _folded(title: str, lines: Sequence[str]) -> str:
    body = "\n".join(map(_silent_line, lines))
    return f"\n<details><summary>{_silent_line(escape(' '.join(title.split())))}</summary>\n\n{body}\n\n</details>\n"


def _silent(text: str) -> str:
    return _silent_line(escaped(text))


def _silent_line(line: str) -> str:
    """Return a line in which @name calls nobody and #1 links nothing: a word joiner stands between."""
    return re.sub(r"@(?=\w)|#(?=\d)", "\\g<0>\u2060", line)


def _bottom_line(answer: Answer) -> list[str]:
    return [f"**{escaped(answer.bottom_line)}**", "", escaped(" ".join(answer.facts))]


def _paragraphs(answer: Answer) -> list[str]:
    lines = []
    for each in answer.paragraphs:
        text, bold = escaped(each.text), escaped(each.bold)
        lines.append(f"- **{escaped(each.term)}**: {text.replace(bold, f'**{bold}**', 1) if bold else text}")
    return [*lines, *([f"- {escaped(answer.not_asked)}"] if answer.not_asked else [])]


def escaped(text: str) -> str:
    """Return text with Markdown's and HTML's special characters made harmless, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\>", "&gt;")


def _section(section: Section, rest: str = "") -> list[str]:
    lines = [f"## {escaped(section.title)}"]
    if section.prose:
        lines += ["", escaped(section.prose)]
    if section.points:
        lines += ["", *(f"- {escaped(point)}" for point in section.points)]
    if section.statements:
        told = (f"- **{escaped(term)}**: {escaped(sentence)}" for term, sentence in section.statements)
        lines += ["", *told]
    if section.command:
        lines += ["", f"    {' '.join(section.command.split())}"]
    for chart in section.charts:
        alt = escaped(chart.alt)
        lines += ["", f"**{escaped(chart.heading)}**"]  # it has the sizes that the words leave out
        lines += ["", f"![{alt}](figures/{chart.name}.svg)" if section.figure_files else f"*{alt}*"]
    for table in section.tables:
        if table.rows:
            lines += ["", *_table(table, rest)]
    return lines


def _table(table: Table, rest: str) -> list[str]:
    titles = [column.heading for column in table.columns]
    rules = ["---:" if column.numeric else ":---" for column in table.columns]
    lines = [escaped(table.caption), "", _row(map(escaped, titles)), _row(rules)]
    shown = len(table.rows) if table.whole else ROWS_SHOWN
    lines += [_row(map(escaped, row)) for row in table.rows[:shown]]
    if (more := len(table.rows) - shown) > 0:
        lines += ["", f"{quantities.number_of(more, 'more row')} {rest or f'in data/{table.name}.csv'}."]
    return lines


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
