"""The front of the page and its appendix: nothing is lost between them and nothing stands in both."""

import dataclasses
import json
from collections import Counter

import pytest

from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.analysis.results import Results
from tngd_bench.report.document import charting, figures
from tngd_bench.report.document.outline import contents
from tngd_bench.report.front import front


@pytest.fixture(scope="module")
def content(records):
    with charting.style():
        return contents(records)


def test_the_front_is_in_the_order_of_the_questions(content):
    assert [section.anchor for section in content.sections] == [
        *("pictures", "what-if", "tolerance", "joules", "learning", "map"),
    ]
    assert [chart.name for chart in content.sections[0].charts] == [
        "step",
        "time-per-iteration-cost-32-10",
        "loss-against-time",
    ]


def test_a_figure_or_table_stands_in_one_place(content):
    names = Counter(item.name for each in content.every for item in (*each.charts, *each.tables) if item.name)
    assert set(names.values()) == {1}
    anchors = [section.anchor for section in content.every]
    assert len(anchors) == len(set(anchors))
    assert not any(section.is_empty for section in content.every)


def test_every_figure_names_a_section_that_asks_for_it(content):
    sections = {section.anchor for section in content.every}
    others = {"verdicts", "preconditioning", "tuning", "compare"}  # of other studies, on pages of their own
    usual = {"pictures", "tolerance", "map", "what-if", "cost", "scaling", "split", "convergence", "noise"}
    assert {each.section for each in figures.registered()} == usual | others
    assert usual <= sections


def test_what_a_page_held_is_still_there(content):
    names = {chart.name for each in content.every for chart in each.charts}
    assert {
        "map-exact-outputs",
        "cost-split-cost-32-10",
        "scaling-cost-32-10",
        "ratio-to-sgd-cost-32-10",
    } <= names
    tables = {table.name for each in content.every for table in each.tables if table.rows}
    assert {
        "cost-per-iteration",
        "scaling-fits",
        "energy",
        "crossovers",
        "time-to-target",
        "sensitivity",
    } <= tables


@pytest.mark.parametrize("start", ["previous", "zero"])
def test_memory_is_told_of_devices_that_carry_their_state_alone(records, start):
    trials = records.trials.assign(settings=json.dumps({"start": start}))
    with charting.style():
        shown = front(Results(dataclasses.replace(records, trials=trials)), {})
    (learning,) = [section for section in shown if section.anchor == "learning"]
    assert ("state of its capacitors" in learning.prose) is (start == "previous")


def test_warnings_come_before_the_answer(content):
    assert content.first_screen()[0][0] == "Bottom line"
    assert isinstance(content.answer, Answer)
    assert content.warnings == ()


def test_no_text_shows_the_marks_of_a_markup(content):
    texts = [text for pair in content.first_screen() for text in pair]
    for each in content.every:
        texts += [each.prose, *each.points, *(text for pair in each.statements for text in pair)]
        texts += [item.caption for item in (*each.charts, *each.tables)]
    assert any("report --host-watts" in text for text in texts)
    assert [text for text in texts if "`" in text or "**" in text] == []
