import json
import math
from pathlib import Path
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tngd_bench.check.regression import Judgement
from tngd_bench.check.summary import CheckSummary, as_json, as_junit, as_markdown, as_text

ROOT = Path(__file__).parents[2]
JUDGEMENTS = [
    Judgement("operations/sgd", "FLOP", "exact", "ok", "unchanged", 5.0, 5.0, 0.0),
    Judgement("operations/tngd", "FLOP", "exact", "regression", "more <than> a | pipe", 100.0, 150.0, 0.5),
    Judgement(
        "step time/kfac", "× SGD", "time", "inconclusive", "noisy", 2.0, 2.1, 0.05, (-0.1, 0.2), 0.3, 3
    ),
    Judgement("loss/adam", "", "exact", "failed", "ValueError: no"),
    Judgement("loss/ngd", "", "exact", "nothing compared", "not measured now", math.nan, math.inf),
]


@pytest.fixture
def summary():
    commits = {"head": "a" * 40 + "+changes", "main": "b" * 40}
    return CheckSummary(
        JUDGEMENTS,
        "regression",
        1,
        "this tree",
        ["main"],
        {"torch": "2.13.0"},
        commits=commits,
        notes=["a lock"],
    )


def test_text_shows_the_worst_first_and_leaves_out_what_did_not_change(summary):
    lines = as_text(summary).splitlines()
    assert lines[0].startswith("regression")
    assert "operations/tngd" in lines[0]
    assert "+50.00%" in lines[0]
    assert not any("operations/sgd" in line for line in lines)
    expected = "check: regression (1 regression, 1 failed, 1 inconclusive, 1 nothing compared, 1 ok)"
    assert lines[-1] == expected


def test_markdown_has_a_row_for_every_metric_and_no_stray_cells(summary):
    text = as_markdown(summary)
    rows = [line for line in text.splitlines() if line.startswith("| ") and "verdict" not in line]
    assert len(rows) == len(JUDGEMENTS)
    assert all(row.replace("\\|", "").count("|") == 7 for row in rows)
    assert "&lt;than>" in text
    assert "torch 2.13.0" in text
    assert text.index("operations/tngd") < text.index("operations/sgd")


def test_junit_counts_what_it_holds(summary):
    root = Xml.fromstring(as_junit(summary))
    (suite,) = root
    assert len(suite.findall("testcase")) == int(suite.get("tests")) == len(JUDGEMENTS)
    for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert len(suite.findall(f"testcase/{tag}")) == int(suite.get(count))
    (failed,) = suite.findall("testcase[failure]")
    assert (failed.get("classname"), failed.get("name")) == ("operations", "tngd")


def test_json_is_strict_and_says_everything(summary):
    content = json.loads(as_json(summary), parse_constant=lambda name: pytest.fail(name))
    assert content["exit_code"] == 1
    by_name = {row["name"]: row for row in content["judgements"]}
    assert by_name["step time/kfac"]["interval"] == [-0.1, 0.2]
    assert by_name["loss/ngd"]["base"] is None
    assert by_name["loss/adam"]["reason"] == "ValueError: no"
    jsonschema.validate(content, json.loads((ROOT / "docs" / "check.schema.json").read_text()))


def test_every_format_names_the_commits(summary):
    for text in (as_text(summary), as_markdown(summary), as_junit(summary), as_json(summary)):
        assert "a" * 40 in text
        assert "b" * 40 in text


FOREIGN = st.text(st.characters(codec=None), max_size=30)


@example("\x1b", "\x1b[31m", "\ud800")
@given(FOREIGN, FOREIGN, FOREIGN)
def test_text_of_any_origin_gives_readable_files(name, reason, what):
    one = Judgement(f"operations/{name}", "FLOP", "exact", "failed", reason)
    commits = {what: None}
    held = CheckSummary(
        [one],
        "failed",
        2,
        what,
        (what,),
        {"cpu": what},
        problem=f"a {reason}",
        commits=commits,
        notes=(what,),
    )
    root = Xml.fromstring(as_junit(held).encode("utf-8"))
    assert [case.tag for case in root.iter("error")] == ["error"] * 2
    assert len(json.loads(as_json(held).encode("utf-8"))["judgements"]) == 1
    rows = [
        line for line in as_markdown(held).encode("utf-8").decode().split("\n") if line.startswith("| **")
    ]
    assert len(rows) == 1
    assert "\x1b" not in as_text(held)
    as_text(held).encode("utf-8")
