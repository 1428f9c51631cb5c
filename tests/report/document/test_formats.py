"""The other formats, and what a report leaves behind: Markdown, LaTeX, PDF, sort keys, the manifest."""

import json

import pandas as pd
import pytest

from tngd_bench.report import build_report, study_summary
from tngd_bench.report.document.formats import FORMATS
from tngd_bench.report.document.sort_keys import sort_key
from tngd_bench.report.document.tables import Column, Table
from tngd_bench.report.render import latex, markdown, pdf
from tngd_bench.report.render.manifest import NAME, replace_manifest
from tngd_bench.report.render.page import data_block, record_links

TABLE = Table(
    "t",
    "A caption",
    (Column("optimizer", numeric=False), Column("time", clock="measured"), Column("records", numeric=False)),
    (("a_b & <c>", "1.5·10⁻³ s", "x #0"), ("plain", "95 %", "y #1")),
    pd.DataFrame({"optimizer": ["a", "b"]}),
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.23 ms [1.20, 1.31]", 1.23e-3),
        ("500 µs", 5e-4),
        ("2.00 min", 120.0),
        ("1,000,567", 1_000_567),
        ("0.460 [0.454, 0.473]", 0.46),
        ("−1.50", -1.5),
        ("3.2·10⁻⁵", 3.2e-5),
        ("10⁻⁴", 1e-4),
        ("2.07·10¹¹", 2.07e11),
        ("12.4 MiB", 12.4 * 2**20),
        ("35.1× [24.6, 38.6]", 35.1),
        ("93.6 % [93.3, 93.8]", 93.6),
        ("3 of 3, 1 diverged", 3),
        ("<0.1 %", 0.1),
        ("50 Gb/s", 5e10),
        ("∞ [12, ∞]", float("inf")),
        ("32 · 10 · 320", 32),
    ],
)
def test_cells_sort_by_the_number_that_stands_first(text, number):
    assert sort_key(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["–", "no exponent", "not determined", "not stated", ""])
def test_cells_without_a_number_have_no_key(text):
    assert sort_key(text) is None


def test_latex_escapes_every_command_and_leaves_records_out():
    text = latex.latex(TABLE)
    assert r"\begin{tabular}{lr}" in text
    assert r"a\_b \& \textless{}c\textgreater{} & 1.5$\cdot$10$^{-3}$ s \\" in text
    assert r"95 \%" in text
    assert "x #0" not in text
    assert text.count("rule") == 3
    assert latex.escaped("\\input{x}") == r"\textbackslash{}input\{x\}"


def test_every_block_of_a_wide_table_says_what_its_rows_are():
    columns = [Column("optimizer", numeric=False), Column("section", numeric=False)]
    columns += [Column(f"column number {n} of many") for n in range(12)] + [Column("records", numeric=False)]
    rows = tuple((f"o{r}", f"s{r}", *(f"{r}.{n}" for n in range(12)), "x #0") for r in range(3))
    found = list(pdf.blocks(Table("t", "", tuple(columns), rows, pd.DataFrame())))
    assert len(found) > 1
    assert " ".join(heads for heads, _ in found).count("column number") == 12
    for heads, lines in found:
        assert heads.split()[:2] == ["optimizer", "section"]
        assert max(map(len, [heads, *lines])) <= 124
        assert [line.split()[:2] for line in lines] == [[f"o{r}", f"s{r}"] for r in range(3)]
    assert "x #0" not in str(found)


def test_a_block_repeats_the_sizes_of_its_rows_and_cuts_long_cells_within_a_word():
    heads = ["optimizer", "section", "N", "m", *(f"column number {n} of many" for n in range(8))]
    columns = (
        *(Column(head, numeric=n > 1) for n, head in enumerate(heads)),
        Column("source", numeric=False),
    )
    row = ("o", "a" * 60, "1,000", "80", *("1.0" for _ in range(8)), "word " * 40)
    found = list(pdf.blocks(Table("t", "", columns, (row,), pd.DataFrame())))
    assert len(found) > 1
    for _, (line,) in found:
        assert line.split()[:4] == ["o", "a" * 33 + "…", "1,000", "80"]
        assert len(line) <= 124
    assert "word word" in found[-1][1][0]


def test_markdown_shows_names_as_text():
    assert markdown.escaped("<script>|`x`") == "&lt;script&gt;\\|\\`x\\`"
    assert markdown.escaped("a\n# b") == "a \\# b"


def test_all_formats_are_written_and_named(make, tmp_path):
    records = make(optimizers=("sgd", "ngd-gram"), sizes=(1_000,), training=False)
    built = build_report(records, tmp_path, formats=FORMATS)
    kinds = {path.suffix for path in built.documents}
    assert kinds == {".md", ".pdf", ".tex"}
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# Synthetic study")
    for figure in (line for line in text.splitlines() if line.startswith("![")):
        assert (tmp_path / figure.rpartition("](")[2].rstrip(")")).is_file()
    with pytest.raises(ValueError, match="format must be among html, md, pdf, tex, not 'docx'"):
        build_report(records, tmp_path, formats=("docx",))


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


def test_a_report_in_one_format_keeps_the_page_of_the_same_records_only(make, tmp_path):
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
    from tngd_bench.analysis.families import optimizer_infos

    text = study_summary.compared(records.trials, optimizer_infos(records.trials))
    assert text.startswith(
        "9 optimizers; cost per iteration at N = 1,000 to 1,000,000 (digits-mlp, b = 32, d_z = 10)"
    )
    assert "3 seeds); sweeps of thermal noise κ₀ and ADC resolution; device: paper." in text
