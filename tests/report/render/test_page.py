import base64
import dataclasses
import hashlib
import html
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.report import build_report
from tngd_bench.report.document import charting
from tngd_bench.report.document.formats import FORMATS
from tngd_bench.report.document.outline import contents
from tngd_bench.report.render import markdown
from tngd_bench.report.render.page import record_links, render, unbroken

FRONT = ["pictures", "what-if", "tolerance", "joules", "learning", "map"]
FOLDED = ["map-more", "what-if-more", "cost", "scaling", "split", "numbers", "convergence", "noise"]
FOLDED += ["study-itself", "unfinished", "assumptions", "reproduce"]
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and the text of headings and cells."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.headings, self.rows, self._open = [], [], [], None
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("h1", "h2", "h3"):
            self.headings.append((tag, ""))
        self._open = tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag == self._open:
            self._open = None

    def handle_data(self, data):
        if self._open not in ("style", "script"):
            self.text += data
        if self._open in ("h1", "h2", "h3"):
            self.headings[-1] = (self._open, self.headings[-1][1] + data)
        if self._open in ("th", "td"):
            self.rows[-1][-1] += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_without_figures(records):
    """The page as text, for tests that ask about words and tables: drawing takes most of a report's time."""
    with charting.style():
        content = contents(records)
    drawings = {chart.name: "" for section in content.every for chart in section.charts}
    return render(content, records, drawings), content


@pytest.fixture(scope="module")
def page(built):
    return Page(built.html.read_text(encoding="utf-8"))


def test_sections_in_order_under_one_title(page):
    assert [level for level, _ in page.headings].count("h1") == 1
    assert [section["id"] for section in page.named("section")] == [*FRONT, "appendix"]
    assert [folded["id"] for folded in page.named("details") if "id" in folded] == FOLDED
    levels = [int(level[1]) for level, text in page.headings if text]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_link_inside_the_page_and_beside_it_leads_somewhere(built, page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.named("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    files = [link for link in links if not link.startswith("#")]
    assert files
    assert all((built.html.parent / link).is_file() for link in files)


def test_every_reference_of_a_figure_is_to_its_own_definitions(built):
    text = built.html.read_text(encoding="utf-8")
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    references = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'<use href="#([^"]+)"', text))
    assert references
    assert references <= ids


def test_nothing_is_fetched_and_nothing_may_be(built, page):
    text = built.html.read_text(encoding="utf-8")
    policy = next(
        m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    for tag in ("link", "img", "iframe", "object"):
        assert page.named(tag) == []
    program, data = re.search(r"<script>(.*?)</script>", text, re.S), page.named("script")
    assert len(data) == 2
    assert all("src" not in attributes for attributes in data)
    digest = base64.b64encode(hashlib.sha256(program[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert not re.search(r"@import|url\((?!#)", text)


def test_every_figure_says_what_it_shows(page):
    drawings = page.named("svg")
    assert len(drawings) == len(page.named("figure")) + 1 >= 15  # the what-if panel draws itself
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 60 for svg in drawings)
    assert any("At N = 1,000,000, fastest first: SGD" in svg["aria-label"] for svg in drawings)


def test_tables_have_scoped_headers_and_a_scrolling_container(page):
    assert all(th.get("scope") in ("col", "row") for th in page.named("th"))
    containers = [div for div in page.named("div") if "scroll" in div.get("class", "").split()]
    assert len(containers) == len(page.named("table"))
    assert all(div["tabindex"] == "0" and div["aria-label"] for div in containers)


def test_measured_modelled_and_counted_stand_in_columns_of_their_own(page):
    header = next(row for row in page.rows if "digital time, median [quartiles] " in row)
    clocks = re.findall(r"(?:measured digital \+ modelled device|measured|modelled|counted)", page.text)
    assert {"measured", "modelled", "counted", "measured digital + modelled device"} <= set(clocks)
    assert len(header) == 16


def test_the_answer_opens_the_page_and_its_terms_lead_to_what_shows_them(built, page):
    told = [built.answer.bottom_line, *built.answer.facts, *(each.text for each in built.answer.paragraphs)]
    where = [page.text.index(sentence) for sentence in told]
    assert where == sorted(where)
    assert where[-1] < page.text.index("One step at N = 1,000,000")
    opening = built.html.read_text(encoding="utf-8").partition('<main id="content">')[0]
    links = re.findall(r'<dt><a href="#([a-z-]+)">', opening)
    assert links == [each.about for each in built.answer.paragraphs]
    assert {"step", "learning", "tolerance"} <= set(links)
    assert len(page_words(opening)) <= 220


def page_words(text):
    return re.sub(r"<[^>]+>", " ", text.partition("<body>")[2]).split()


@pytest.mark.slow(reason="draws a whole page")
def test_text_from_study_files_is_shown_as_text(make, tmp_path):
    records = make(name=HOSTILE, title=HOSTILE, optimizers=("sgd", "ngd-gram", "tngd"), sizes=(1_000, 10_000))
    frames = {
        "trials": records.trials.assign(group=HOSTILE, problem=HOSTILE),
        "costs": records.costs.assign(group=HOSTILE, problem=HOSTILE),
        "curves": records.curves.assign(group=HOSTILE, problem=HOSTILE),
    }
    frames["trials"].loc[0, ["status", "reason"]] = ["failed", HOSTILE + ' " onload="x']
    study = records.study | {"description": HOSTILE, "command": HOSTILE}
    hostile = dataclasses.replace(records, study=study, environment={"cpu": HOSTILE}, **frames)
    built = build_report(hostile, tmp_path)
    text = built.html.read_text(encoding="utf-8")
    assert len(re.findall("<script", text)) <= 2
    assert "<script>alert" not in text
    assert html.escape(HOSTILE) in text
    (document,) = built.documents
    assert "<script" not in document.read_text(encoding="utf-8")
    assert HOSTILE in Page(text).text
    assert not any("onload" in attributes for _, attributes in Page(text).elements)
    for path in (*built.figures, *built.data):
        assert path.parent.parent == tmp_path
        assert re.fullmatch(r"[a-z0-9-]+\.(svg|png|pdf|csv|parquet)", path.name)
    assert all("<script" not in path.read_text() for path in built.figures if path.suffix == ".svg")


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow(reason="draws two reports in every format")
def test_the_same_records_give_the_same_bytes(make, tmp_path):
    pytest.importorskip("typst", reason="typst is not installed")
    records = make(optimizers=("sgd", "ngd-gram"), sizes=(1_000, 10_000), sweeps=False)
    first = build_report(records, tmp_path / "first", formats=FORMATS)
    shuffled = dataclasses.replace(
        records,
        costs=records.costs.sample(frac=1.0, random_state=0).sort_index(),
        curves=records.curves.copy(),
    )
    second = build_report(shuffled, tmp_path / "second", formats=FORMATS)
    assert len(first.documents) > 3
    assert digests(second.html.parent) == digests(first.html.parent)


def test_data_beside_the_page_are_the_same_in_both_formats(built):
    tables = [path for path in built.data if path.suffix == ".csv"]
    assert len(tables) * 2 == len(built.data)
    for path in tables:
        left, right = pd.read_csv(path), pd.read_parquet(path.with_suffix(".parquet"))
        assert list(left.columns) == list(right.columns)
        assert len(left) == len(right)
        for name in left.select_dtypes("number"):
            np.testing.assert_allclose(left[name], right[name].astype(float), rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "without", "said"),
    [
        ({"sweeps": False, "sizes": (1_000,)}, {"tolerance", "scaling", "noise"}, "an imperfect device"),
        (
            {"training": False, "optimizers": ("sgd", "adam")},
            {"learning", "tolerance", "what-if", "map", "split"},
            "a device, training, an imperfect device",
        ),
        (
            {"sizes": (), "training": False},
            {"pictures", "what-if", "map", "cost", "numbers", "learning", "unfinished"},
            "the cost of a step",
        ),
        ({"skip": ("ngd-gram", "tngd")}, {"split", "what-if"}, "any claim of arXiv 2405.13817"),
    ],
)
def test_what_a_study_lacks_is_said_once_and_left_out(make, options, without, said):
    small = {"optimizers": ("sgd", "ngd-gram", "tngd"), "sizes": (1_000, 10_000)}
    text, content = page_without_figures(make(**(small | options)))
    assert said in content.answer.not_asked
    assert without & {section.anchor for section in content.every} == set()
    ids = {attributes.get("id") for _, attributes in Page(text).elements}
    assert {section.anchor for section in content.every} <= ids
    assert (
        "nan"
        not in re.sub(r"<svg.*?</svg>|<style.*?</style>|<script.*?</script>", "", text, flags=re.S)
        .lower()
        .split()
    )


def test_an_optimizer_skipped_everywhere_is_listed_with_reason_and_estimate(make):
    text, content = page_without_figures(
        make(optimizers=("sgd", "ngd-gram", "tngd"), sizes=(1_000, 10_000), skip=("tngd",))
    )
    page = Page(text)
    rows = [row for row in page.rows if row and row[0] == "TNGD" and "skipped" in row]
    assert rows
    assert all("does not fit" in row and "1.00 ms" in row and "977 KiB" in row for row in rows)
    (numbers,) = [section for section in content.every if section.anchor == "numbers"]
    assert "TNGD's cost: not measured" in dict(numbers.statements)["Cost"]


def test_records_without_loss_evaluations_still_give_a_page(make):
    records = make(optimizers=("sgd", "tngd"), sizes=(1_000,))
    curves = records.curves.assign(train_loss=np.nan, test_accuracy=np.nan, loss=1.0)
    text, content = page_without_figures(dataclasses.replace(records, curves=curves))
    assert content.missing == ()
    assert "seeds that hit" in text


def test_what_was_chosen_stands_under_what_the_numbers_rest_on(make):
    records = make(sizes=(), training=False)
    study = records.study | {"choices": {"Figure 3": ["Images <first> of all.", "Start: zero."]}}
    text, content = page_without_figures(dataclasses.replace(records, study=study))
    resting = text.partition('<details id="assumptions">')[2].partition("</section>")[0]
    assert "<dt>Chosen here: Figure 3</dt><dd>Images &lt;first&gt; of all. Start: zero.</dd>" in resting
    assert text.count("Start: zero.") == 1
    told = markdown.markdown("", (), content.every, "")
    assert "- **Chosen here: Figure 3**: Images &lt;first&gt; of all. Start: zero." in told.splitlines()


def test_ignored_files_of_the_store_are_named(make):
    damaged = dataclasses.replace(make(sizes=(), training=False), ignored={"trials/abc.json": "torn"})
    assert "trials/abc.json" in page_without_figures(damaged)[0]


@given(st.text(alphabet="ab=<&-\"' K1≥", max_size=40))
def test_what_stays_on_one_line_is_the_same_text_and_no_other_markup(text):
    bare = re.sub(r'<span class="unbroken">(.*?)</span>', r"\1", str(unbroken(text)))
    assert "<" not in bare
    assert html.unescape(bare) == text


def test_no_line_ends_within_an_equation_an_option_or_a_name_with_a_hyphen():
    told = "L-BFGS and K-FAC (lr = 0.1, p ≤ 5 %; N = 1,000,567) by --host-watts, not digits-mlp"
    kept = ["L-BFGS", "K-FAC", "(lr = 0.1,", "p ≤ 5", "N = 1,000,567)", "--host-watts"]
    assert re.findall(r">(.*?)</span>", str(unbroken(told))) == kept


@pytest.mark.parametrize("packed", [True, False])
def test_records_have_a_link_each_or_one_where_a_packed_store_holds_them_all(packed):
    places = {"a1": "store/trials/a1.json", "b2": "store/trials/b2.json"}
    cell = record_links("a1 #0 #1, b2 #3", lambda key: "store.parquet" if packed else places[key])
    links = re.findall(r'<a href="([^"]+)">([^<]*)</a>', cell)
    assert links == ([("store.parquet", "one file")] if packed else [(places[key], key) for key in places])
    assert [word in cell for word in ("2 records", "#0 #1", "b2", "#3")] == [True] * 4


def test_records_that_lie_nowhere_are_named_without_a_link():
    assert record_links("a1 #0, b2 #3", lambda key: None).count("<a ") == 0
    assert "&lt;b&gt;" in record_links("a1 #0, <b> #3", lambda key: "store.parquet")
