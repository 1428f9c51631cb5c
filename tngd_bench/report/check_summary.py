"""The verdicts of a check as text for a terminal, Markdown for a pull request, JUnit XML and JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Xml  # written here, never read

from tngd_bench.analysis.regression import Judgement, VerdictName

_ORDER: tuple[VerdictName, ...] = ("regression", "failed", "inconclusive", "nothing compared", "ok")


@dataclass(frozen=True)
class CheckSummary:
    """All verdicts of a check, the verdict on the whole, and what was compared with what."""

    judgements: Sequence[Judgement]
    verdict: VerdictName
    exit_code: int
    head: str
    baselines: Sequence[str]
    environment: Mapping[str, Any]

    @property
    def counts(self) -> str:
        """Return e.g. "1 regression, 40 ok"."""
        counted = Counter(judgement.verdict for judgement in self.judgements)
        return ", ".join(f"{counted[verdict]} {verdict}" for verdict in _ORDER if counted[verdict])

    def sorted(self) -> list[Judgement]:
        """Return the judgements, the worst verdicts first."""
        return sorted(self.judgements, key=lambda judgement: _ORDER.index(judgement.verdict))


def as_text(summary: CheckSummary) -> str:
    """Return what a terminal shows: everything but figures that did not change."""
    shown = [one for one in summary.sorted() if one.verdict != "ok" or one.kind == "time" or one.change]
    width = max((len(one.name) for one in shown), default=0)
    lines = [f"{one.verdict:<17}{one.name:<{width}}  {_change(one):>9}  {one.reason}" for one in shown]
    return "\n".join([*lines, f"check: {summary.verdict} ({summary.counts})"])


def as_markdown(summary: CheckSummary) -> str:
    """Return a summary for a pull request: what is not ok first, the rest folded."""
    compared = f"{summary.head} against {', '.join(summary.baselines)}"
    lines = [f"### tngd-bench check: {summary.verdict}", "", f"{_cell(compared)}. {summary.counts}."]
    lines += ["", _environment(summary.environment), ""]
    notable = [one for one in summary.sorted() if one.verdict != "ok"]
    fine = [one for one in summary.sorted() if one.verdict == "ok"]
    if notable:
        lines += [*_table(notable), ""]
    if fine:
        lines += [f"<details><summary>{len(fine)} ok</summary>", "", *_table(fine), "", "</details>", ""]
    return "\n".join(lines)


def as_junit(summary: CheckSummary) -> str:
    """Return JUnit XML: a test case per metric; inconclusive and not compared count as skipped."""
    counted = Counter(one.verdict for one in summary.judgements)
    totals = {
        "tests": str(len(summary.judgements)),
        "failures": str(counted["regression"]),
        "errors": str(counted["failed"]),
        "skipped": str(counted["inconclusive"] + counted["nothing compared"]),
    }
    root = Xml.Element("testsuites", {"name": "tngd-bench check", **totals})
    suite = Xml.SubElement(root, "testsuite", {"name": ", ".join(summary.baselines), **totals})
    for one in summary.judgements:
        kind, _, rest = one.name.partition("/")
        case = Xml.SubElement(suite, "testcase", {"classname": kind, "name": rest, "time": "0"})
        tag = {"regression": "failure", "failed": "error", "ok": None}.get(one.verdict, "skipped")
        if tag is not None:
            Xml.SubElement(case, tag, {"message": f"{one.verdict}: {one.reason}"}).text = _figures(one)
        else:
            Xml.SubElement(case, "system-out").text = f"{_figures(one)} {one.reason}"
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def as_json(summary: CheckSummary) -> str:
    """Return one JSON object; what is not a finite number is null."""
    rows = [
        {
            "name": one.name,
            "kind": one.kind,
            "unit": one.unit,
            "verdict": one.verdict,
            "reason": one.reason,
            "base": _number(one.base),
            "head": _number(one.head),
            "change": _number(one.change),
            "interval": [_number(bound) for bound in one.interval],
            "p": _number(one.p),
            "runs": one.runs,
        }
        for one in summary.judgements
    ]
    content = {
        "verdict": summary.verdict,
        "exit_code": summary.exit_code,
        "head": summary.head,
        "baselines": list(summary.baselines),
        "environment": dict(summary.environment),
        "judgements": rows,
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _table(judgements: Sequence[Judgement]) -> list[str]:
    lines = ["| verdict | metric | base | head | change | why |", "|---|---|---:|---:|---:|---|"]
    for one in judgements:
        unit = f" {one.unit}" if one.unit else ""
        base, head = (
            _shown(value) + (unit if math.isfinite(value) else "") for value in (one.base, one.head)
        )
        verdict = one.verdict if one.verdict == "ok" else f"**{one.verdict}**"
        lines.append(
            f"| {verdict} | {_cell(one.name)} | {base} | {head} | {_change(one)} | {_cell(one.reason)} |"
        )
    return lines


def _environment(environment: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_cell(str(value))}" for name, value in environment.items())


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
    escaped = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("*", "\\*")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
