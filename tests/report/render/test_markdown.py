"""The answer on one side and as a comment on a pull request: nothing lost, nothing that acts, never too long."""

import dataclasses
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.analysis.findings.paragraphs import Paragraph
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import text_table
from tngd_bench.report.render import markdown

ANSWER = Answer(
    "No device was quicker.",
    ("Measured on a processor.", "Nothing was built."),
    (Paragraph("Cost", "A step takes 55 ms, K-FAC 7 ms.", "55 ms"), Paragraph("Claims", "3 hold.", "3 hold")),
    "noise",
)
PICTURES = tuple(
    Chart(name, f"Picture {name}", f"What {name} shows", "", Figure(), pd.DataFrame()) for name in "abc"
)
ADDRESS = "https://example.org/pr-1"


def section(title="Cost", rows=2):
    table = text_table(
        f"t-{title}", "Times.", ("optimizer", "time"), [(f"o{n}", "1 ms") for n in range(rows)]
    )
    return Section("cost", title, points=("A point.",), tables=(table,), charts=PICTURES)


def test_a_document_says_which_rows_it_leaves_out_and_leaves_none_out_of_a_whole_table():
    long = section(rows=markdown.ROWS_SHOWN + 3)
    text = markdown.markdown("A study", [], [long], "")
    assert text.count("| 1 ms |") == markdown.ROWS_SHOWN
    assert "3 more rows in data/t-Cost.csv." in text
    whole = dataclasses.replace(long, tables=(dataclasses.replace(long.tables[0], whole=True),))
    text = markdown.markdown("A study", [], [whole], "")
    assert text.count("| 1 ms |") == markdown.ROWS_SHOWN + 3
    assert "more row" not in text


def test_every_picture_has_its_heading_and_its_words_with_a_file_or_without():
    for filed in (True, False):
        text = markdown.markdown("A study", [], [dataclasses.replace(section(), figure_files=filed)], "")
        shown = re.findall(r"\*\*Picture (.)\*\*\n\n(?:!\[|\*)What (.) shows", text)
        assert shown == [(x, x) for x in "abc"]


def test_one_side_has_the_whole_answer_and_the_pictures():
    text = markdown.brief("A study", ANSWER, PICTURES, "Made by us")
    assert text.startswith(
        "# A study\n\n**No device was quicker.**\n\nMeasured on a processor. Nothing was built.\n"
    )
    assert "- **Cost**: A step takes **55 ms**, K-FAC 7 ms.\n- **Claims**: **3 hold**.\n- noise" in text
    assert re.findall(r"!\[What (.) shows\]\(figures/(.)\.svg\)", text) == [(x, x) for x in "abc"]
    assert text.endswith("Made by us\n")


def test_a_comment_has_the_short_form_first_pictures_by_address_and_details_folded():
    text = markdown.comment("A study", ANSWER, PICTURES, "Made by us", [section()], ADDRESS)
    first, *folded = text.split("<details>")
    assert first.startswith("### A study\n\n**No device was quicker.**")
    assert re.findall(r"!\[What . shows\]\((.+?)\)\]\((.+?)\)", first) == [
        (f"{ADDRESS}/figures/{x}.png", f"{ADDRESS}/index.html#{x}") for x in "abc"
    ]
    assert ["Answers" in folded[0], "**55 ms**" in folded[0], "| o0 | 1 ms |" in folded[1]] == [True] * 3
    assert text.count("<details>") == text.count("</details>") == 2
    assert f"[The whole report]({ADDRESS}/index.html). Made by us" in text
    bare = markdown.comment("A study", ANSWER, PICTURES, "Made by us", [section()], "")
    assert "](" not in bare


def test_a_comment_has_no_fold_for_what_only_a_page_can_show():
    panel = Section("what-if", "Your device", prose="The study's device.", explorer={"sizes": []})
    assert not panel.is_empty
    text = markdown.comment("A study", ANSWER, PICTURES, "Made by us", [panel, section()], ADDRESS)
    assert re.findall("<summary>(.*?)</summary>", text) == ["Answers", "Cost"]


@pytest.mark.parametrize("hostile", ["@org/team #12 </summary><img src=x>", "a | b\n# c", "*@me* `x`"])
def test_names_of_a_study_are_text_in_a_comment(hostile):
    answer = Answer(hostile, (hostile,), (Paragraph(hostile, f"{hostile} 5", "5"),))
    text = markdown.comment(hostile, answer, PICTURES, hostile, [section(hostile)], ADDRESS)
    assert not re.search(r"@\w|#\d|<img|</summary>[^\n]|^# ", text, flags=re.MULTILINE)
    assert text.count("<details>") == text.count("</details>") == 2


@given(st.lists(st.integers(1, 40), max_size=60), st.text(max_size=300))
def test_a_comment_is_never_longer_than_github_takes_and_says_what_it_leaves_out(sizes, filling):
    sections = [
        Section("s", f"part {n}", points=(f"{filling} {'κ' * 3_000}",) * rows) for n, rows in enumerate(sizes)
    ]
    text = markdown.comment("A study", ANSWER, PICTURES, "Made by us", sections, ADDRESS)
    assert len(text.encode()) <= markdown.COMMENT_BYTES
    left_out = len(sizes) + 1 - text.count("<details>")
    said = re.search(r"^(\d+) parts are too long", text, flags=re.MULTILINE)
    assert (int(said[1]) if said else 0) == left_out
    assert text.endswith("Made by us\n")


def test_a_command_that_is_announced_is_there_as_it_was_given():
    command = "tngd-bench run a_study.toml --set cost.size.processes=3"
    shown = Section("reproduce", "Reproduce it", prose="This command runs it again.", command=command)
    assert f"\n\n    {command}\n" in markdown.markdown("A study", [], [shown], "Made by us")
