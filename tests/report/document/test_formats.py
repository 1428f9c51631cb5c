"""The other formats, and what a report leaves behind: Markdown, LaTeX, PDF, sort keys, the manifest."""

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from tngd_bench.analysis import quantities
from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.analysis.results import Results
from tngd_bench.report import build, build_report, study_tables
from tngd_bench.report.document import formats
from tngd_bench.report.document.formats import FORMATS
from tngd_bench.report.document.outline import Contents
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Cell, Column, Table, number, table_of, words
from tngd_bench.report.render import latex, markdown
from tngd_bench.report.render.manifest import NAME, replace_manifest
from tngd_bench.report.render.page import data_block, record_links, sorting

TABLE = Table(
    "t",
    "A caption",
    (Column("optimizer", numeric=False), Column("time", clock="measured"), Column("records", numeric=False)),
    (("a_b & <c>", "1.5·10⁻³ s", "x #0"), ("plain", "95 %", "y #1")),
    pd.DataFrame({"optimizer": ["a", "b"]}),
)


def test_a_column_is_sorted_by_the_numbers_behind_its_cells_and_not_by_what_is_printed():
    values = (999.9e-6, 1.0e-3, 61.0, 7200.0, math.inf, math.nan)
    column = Column("time", lambda value: number(value, quantities.seconds))
    keys = [sorting(column.cell(value), column) for value in values]
    assert [float(key.split('"')[1]) for key in keys[:-1]] == pytest.approx(values[:-1], rel=1e-5)
    assert keys[-1] == " data-none"
    assert sorting(Cell(None, "no exponent"), column) == " data-none"
    assert sorting("12", words("settings")) == ""


def test_a_cell_reads_as_its_text():
    cell = Cell(3, "3 of 3, 1 diverged")
    assert cell == "3 of 3, 1 diverged"
    assert (cell.value, len(cell)) == (3.0, 18)


def test_the_rows_of_a_frame_are_its_table_and_its_data():
    frame = pd.DataFrame({"parameters": [1_000, 20], "group": ["a", "b"]}, index=[5, 3])
    table = table_of(
        "t",
        "",
        (words("section", lambda row: row.group), Column("N", lambda row: number(row.parameters))),
        frame,
    )
    assert table.rows == (("a", "1,000"), ("b", "20"))
    assert [row[1].value for row in table.rows] == [1_000.0, 20.0]
    assert table.data.index.tolist() == [0, 1]


def test_latex_escapes_every_command_and_leaves_records_out():
    pytest.importorskip("pylatexenc", reason="pylatexenc is not installed")
    text = latex.latex(TABLE)
    assert r"\begin{tabular}{lr}" in text
    assert r"a\_b \& \textless{}c\textgreater{} & 1.5\textperiodcentered{}10$^{-3}$ s \\" in text
    assert r"95 \%" in text
    assert "x #0" not in text
    assert text.count("rule") == 3
    assert latex.escaped("\\input{x}") == r"\textbackslash{}input\{x\}"


def test_markdown_shows_names_as_text():
    assert markdown.escaped("<script>|`x`") == "&lt;script&gt;\\|\\`x\\`"
    assert markdown.escaped("a\n# b") == "a \\# b"


def test_all_formats_are_written_and_named(make, tmp_path):
    records = make(optimizers=("sgd", "ngd-gram"), sizes=(1_000,), training=False)
    pytest.importorskip("typst", reason="typst is not installed")
    built = build_report(records, tmp_path, formats=FORMATS)
    kinds = {path.suffix for path in built.documents}
    assert kinds == {".md", ".pdf", ".tex"}
    for name in ("report.pdf", "brief.pdf"):
        assert (tmp_path / name).read_bytes().startswith(b"%PDF")
    for name in ("brief.md", "comment.md"):
        assert built.answer.bottom_line in (tmp_path / name).read_text()
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# Synthetic study")
    for figure in (line for line in text.splitlines() if line.startswith("![")):
        assert (tmp_path / figure.rpartition("](")[2].rstrip(")")).is_file()
    with pytest.raises(
        ValueError, match="format must be among html, md, pdf, tex, brief, comment, not 'docx'"
    ):
        build_report(records, tmp_path, formats=("docx",))


def test_files_beside_the_page_are_those_asked_for_and_those_that_a_format_shows(make, tmp_path):
    records = make(optimizers=("sgd", "ngd-gram"), sizes=(1_000,), training=False)
    built = build_report(records, tmp_path, formats=("html", "comment"), files=("pdf", "csv"))
    assert {path.suffix for path in built.figures} == {".pdf", ".png"}
    assert {path.suffix for path in built.data} == {".csv"}
    links = re.findall(r'href="((?:data|figures)/[^"]+)" download', built.html.read_text())
    assert {Path(link).suffix for link in links} == {".pdf", ".png", ".csv"}
    assert all((tmp_path / link).is_file() for link in links)
    with pytest.raises(ValueError, match="files must be among svg, png, pdf, csv, parquet, not 'gif'"):
        build_report(records, tmp_path, files=("gif",))


def test_figures_of_the_appendix_may_be_left_without_files_and_are_on_the_page_all_the_same(make, tmp_path):
    records = make(optimizers=("sgd", "ngd-gram"), sizes=(1_000, 10_000), training=False)
    built = build_report(records, tmp_path, files=(), figures="front")
    page, text = built.html.read_text(), (tmp_path / "report.md").read_text()
    files = {path.relative_to(tmp_path).as_posix() for path in built.figures}
    front, appendix = page.split('<section id="appendix">')
    assert len(re.findall("<figure ", appendix)) > 0 < len(re.findall("<figure ", front)) == len(files)
    assert set(re.findall(r'href="([^"]+)" download', page)) == files == set(re.findall(r"\]\((\S+)\)", text))
    assert len(re.findall(r"^\*[^*].*\*$", text, re.M)) == len(re.findall("<figure ", appendix))
    assert not (tmp_path / "data").exists()
    with pytest.raises(ValueError, match="figures must be all with the format pdf"):
        build_report(records, tmp_path, formats=("pdf",), figures="front")


def test_rows_left_out_of_markdown_are_said_to_be_where_they_are():
    table = table_of("t", "", (words("n", str),), range(markdown.ROWS_SHOWN + 2), pd.DataFrame())
    sections = [Section("a", "A", tables=(table,))]
    assert "2 more rows in data/t.csv." in markdown.markdown("", (), sections, "")
    assert "2 more rows on the page." in markdown.markdown("", (), sections, "", "on the page")


@pytest.mark.parametrize(("name", "package"), [("pdf", "typst"), ("tex", "pylatexenc")])
def test_a_format_whose_package_is_missing_is_refused_with_what_to_install(name, package, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    formats.check_formats(("html", "md"))
    with pytest.raises(
        ValueError, match=rf"the format {name} needs {package}: pip install 'tngd-bench\[{name}\]'"
    ):
        formats.check_formats(("html", name))


@pytest.mark.usefixtures("costs_only")
def test_a_rebuilt_report_removes_what_it_no_longer_writes_and_nothing_else(make, tmp_path):
    whole = {"optimizers": ("sgd", "adam"), "sizes": (1_000, 10_000)}
    first = build_report(make(training=False, **whole), tmp_path)
    mine = tmp_path / "figures" / "my-notes.svg"
    mine.write_text("mine")
    second = build_report(
        make(optimizers=("sgd",), sizes=(1_000,), training=False), tmp_path, formats=("html",)
    )
    assert not (tmp_path / "report.md").exists()
    gone = set(first.figures) - set(second.figures)
    assert gone
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in (*second.figures, *second.data, mine))


def test_a_report_in_one_format_keeps_the_page_of_the_same_records_only(make, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "contents", lambda *_: Contents(Answer("")))  # what it shows is not asked
    records = make(optimizers=("sgd",), sizes=(1_000,), training=False)
    page = build_report(records, tmp_path, formats=("html",)).html
    assert build_report(records, tmp_path, formats=("md",)).removed == ()
    assert page.exists()
    more = make(optimizers=("sgd",), sizes=(1_000, 10_000), training=False)
    assert build_report(more, tmp_path, formats=("md",)).removed == (page,)
    assert not page.exists()


def test_a_manifest_cannot_name_other_peoples_files(tmp_path):
    output = tmp_path / "report"
    output.mkdir()
    outside, inside = tmp_path / "precious.txt", output / "store" / "study.json"
    inside.parent.mkdir()
    for path in (outside, inside):
        path.write_text("precious")
    names = ["../precious.txt", "store/study.json", str(outside), "figures/../../precious.txt"]
    (output / NAME).write_text(json.dumps({"files": names}))
    assert replace_manifest(output, []) == ()
    assert outside.exists()
    assert inside.exists()
    (output / NAME).write_text("torn")
    assert replace_manifest(output, []) == ()


def test_records_are_links_only_to_files_of_a_store():
    places = {"abc": "store/trials/abc.json", "packed": "store/trials/packed.json.gz"}
    assert record_links("abc #0 #1") == "abc #0 #1"
    linked = record_links("abc #0, packed #1", store=places.get)
    assert linked.startswith("<details><summary>2 records</summary>")
    assert '<a href="store/trials/abc.json">abc</a> #0' in linked
    assert '<a href="store/trials/packed.json.gz">packed</a> #1' in linked
    assert record_links("lost #0", store=places.get) == "lost #0", "no link to a file that is not there"
    hostile = record_links('"><script> #0', store=lambda key: key)
    assert "<script>" not in hostile
    assert "href" not in hostile


def test_embedded_data_cannot_end_their_element():
    text = str(data_block({"name": "</script><script>alert(1)</script>"}))
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><script>alert(1)</script>"}


def test_what_was_compared_names_sizes_seeds_sweeps_and_device(records):

    text = study_tables.compared(Results(records))
    assert text.startswith(
        "9 optimizers. Cost per iteration at N = 1,000 to 1,000,000 (digits-mlp, b = 32, d_z = 10)"
    )
    assert "3 seeds). Sweeps of thermal noise κ₀ and ADC resolution. Device: paper." in text
