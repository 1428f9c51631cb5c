"""The verdicts of a check as text for a terminal, Markdown for a pull request, JUnit XML and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Xml  # written here, never read

from tngd_bench.measure.plain_text import plain

if TYPE_CHECKING:  # a summary can be written where nothing else of the package can be imported
    from tngd_bench.check.regression import Judgement, VerdictName

SCHEMA = 1
"""Of the JSON."""
_ORDER = ("regression", "changed", "failed", "inconclusive", "nothing compared", "ok")


@dataclass(frozen=True)
class CheckSummary:
    """All verdicts of a check, the verdict on the whole, and what was compared with what."""

    judgements: Sequence[Judgement]
    verdict: VerdictName
    exit_code: int
    head: str
    baselines: Sequence[str]
    environment: Mapping[str, Any]
    problem: str = ""
    """Error that ended the check before all was judged."""
    commits: Mapping[str, str | None] = field(default_factory=dict)
    """The commit of "head" and of every baseline that is a revision; None where git does not tell."""
    notes: Sequence[str] = ()

    @property
    def counts(self) -> str:
        """Return e.g. "1 regression, 40 ok"."""
        counted: Counter[str] = Counter(judgement.verdict for judgement in self.judgements)
        return ", ".join(f"{counted[verdict]} {verdict}" for verdict in _ORDER if counted[verdict])

    def sorted(self) -> list[Judgement]:
        """Return the judgements, the worst verdicts first."""
        return sorted(self.judgements, key=lambda judgement: _ORDER.index(judgement.verdict))


def as_text(summary: CheckSummary) -> str:
    """Return the text for a terminal: every judgement but those of unchanged figures."""
    problem = f"tngd-bench: error: {plain(summary.problem)}" if summary.problem else ""
    if problem and not summary.judgements:
        return problem
    shown = [one for one in summary.sorted() if one.verdict != "ok" or one.kind == "time" or one.change]
    names = [plain(one.name) for one in shown]
    width = max(map(len, names), default=0)
    lines = [
        f"{one.verdict:<17}{name:<{width}}  {_change(one):>9}  {plain(_why(one))}"
        for name, one in zip(names, shown, strict=True)
    ]
    lines += [f"{name}: {plain(commit)}" for name, commit in _commits(summary).items()]
    lines += [f"note: {plain(note)}" for note in summary.notes]
    lines += [problem] if problem else []
    return "\n".join([*lines, f"check: {summary.verdict} ({summary.counts})"])


def as_markdown(summary: CheckSummary) -> str:
    """Return a summary for a pull request: what is not ok first, the rest folded."""
    compared = f"{summary.head} against {', '.join(summary.baselines)}"
    counts = summary.counts or "Nothing was judged"
    lines = [f"### tngd-bench check: {summary.verdict}", "", f"{_cell(compared)}. {counts}.", ""]
    about = {**summary.environment, **_commits(summary)}
    lines += [", ".join(f"{name} {_cell(str(value))}" for name, value in about.items()), ""]
    lines += [f"- {_cell(note)}" for note in (summary.problem, *summary.notes) if note]
    lines.append("")
    notable = [one for one in summary.sorted() if one.verdict != "ok"]
    fine = [one for one in summary.sorted() if one.verdict == "ok"]
    if notable:
        lines += [*_table(notable), ""]
    if fine:
        lines += [f"<details><summary>{len(fine)} ok</summary>", "", *_table(fine), "", "</details>", ""]
    return "\n".join(lines)


_JUNIT_TAGS = {"regression": "failure", "changed": "failure", "failed": "error"}


def as_junit(summary: CheckSummary) -> str:
    """Return JUnit XML: a test case per metric; inconclusive and not compared count as skipped."""
    counted = Counter(one.verdict for one in summary.judgements)
    ended = int(bool(summary.problem))
    totals = {
        "tests": str(len(summary.judgements) + ended),
        "failures": str(counted["regression"] + counted["changed"]),
        "errors": str(counted["failed"] + ended),
        "skipped": str(counted["inconclusive"] + counted["nothing compared"]),
    }
    root = Xml.Element("testsuites", {"name": "tngd-bench check", **totals})
    suite = Xml.SubElement(root, "testsuite", {"name": plain(", ".join(summary.baselines)), **totals})
    about = Xml.SubElement(suite, "properties")
    for name, value in {**summary.environment, **_commits(summary)}.items():
        Xml.SubElement(about, "property", {"name": plain(name), "value": plain(value)})
    if summary.problem:
        case = Xml.SubElement(suite, "testcase", {"classname": "check", "name": "check", "time": "0"})
        Xml.SubElement(case, "error", {"message": plain(summary.problem)})
    for one in summary.judgements:
        kind, _, rest = one.name.partition("/")
        case = Xml.SubElement(suite, "testcase", {"classname": plain(kind), "name": plain(rest), "time": "0"})
        if one.verdict == "ok":
            Xml.SubElement(case, "system-out").text = plain(f"{_figures(one)} {_why(one)}")
        else:
            tag = _JUNIT_TAGS.get(one.verdict, "skipped")
            Xml.SubElement(case, tag, {"message": plain(f"{one.verdict}: {_why(one)}")}).text = _figures(one)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def as_json(summary: CheckSummary) -> str:
    """Return one JSON object as docs/check.schema.json describes it; what is not a finite number is null."""
    against = ", ".join(summary.baselines)
    content = {"schema": SCHEMA, **dataclasses.asdict(summary)}
    # the judgements come last, after what is said of the whole
    content["judgements"] = [
        row | {"against": row["against"] or against} for row in content.pop("judgements")
    ]
    return json.dumps(_printable(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _printable(value: Any) -> Any:
    """Return a value with plain text, and null for what is not a finite number."""
    if isinstance(value, Mapping):
        return {plain(str(name)): _printable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return plain(value) if isinstance(value, str) else value


def _table(judgements: Sequence[Judgement]) -> list[str]:
    lines = ["| verdict | metric | base | head | change | why |", "|---|---|---:|---:|---:|---|"]
    for one in judgements:
        unit = f" {one.unit}" if one.unit else ""
        figures = (_shown(value) + unit * math.isfinite(value) for value in (one.base, one.head))
        verdict = one.verdict if one.verdict == "ok" else f"**{one.verdict}**"
        cells = (verdict, _cell(one.name), *figures, _change(one), _cell(_why(one)))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _figures(one: Judgement) -> str:
    return f"base {_shown(one.base)}, head {_shown(one.head)} {one.unit}".rstrip() + f", {_change(one)}"


def _change(one: Judgement) -> str:
    if not math.isfinite(one.change):
        return "–"
    text = f"{one.change:+.2%}" if one.change else "0 %"
    if all(map(math.isfinite, one.interval)):
        text += f" [{one.interval[0]:+.1%}, {one.interval[1]:+.1%}]"
    return text


def _shown(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def _cell(text: str) -> str:
    escaped = plain(text).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for mark in "|*_`[]":
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped


def _why(one: Judgement) -> str:
    return f"{one.reason} [{one.against}]" if one.against else one.reason


def _commits(summary: CheckSummary) -> dict[str, str]:
    return {f"commit of {plain(what)}": commit or "not known" for what, commit in summary.commits.items()}
