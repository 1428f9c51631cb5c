import contextlib
import dataclasses
import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.analysis.findings.paragraphs import Paragraph
from tngd_bench.report.document import charting
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.outline import Contents
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import RECORDS, Column, Table, words
from tngd_bench.report.render import pdf
from tngd_bench.report.render.section_files import write_figures

HOSTILE = "#panic() *a* $x$ \\ <b> @c // d “e” κ₀ 10⁻³"


@pytest.fixture
def content(tmp_path):
    with charting.style():
        figure, axes = charting.panel(12.0)
        axes.plot(np.arange(5.0), np.arange(5.0), label="a")
    chart = Chart("tall", HOSTILE, "Alternative.", "Caption.", figure, pd.DataFrame({"x": [1]}))
    write_figures([chart], tmp_path / "figures", processes=1)
    columns = (words(HOSTILE), *(Column(f"c{n}") for n in range(12)), RECORDS)
    table = Table("t", "A table.", columns, ((HOSTILE, *"abcdefghijkl", "x #0"),) * 90, pd.DataFrame())
    section = Section("s", HOSTILE, prose=HOSTILE, points=("one",), charts=(chart,), tables=(table,))
    return Contents(Answer(HOSTILE), (section,))


def test_text_is_text_figures_are_vectors_and_the_same_content_gives_the_same_bytes(content, tmp_path):
    pytest.importorskip("typst", reason="typst is not installed")
    document = pdf.pdf(content, HOSTILE, tmp_path, "a4")
    assert document.startswith(b"%PDF")
    assert not re.search(rb"/Subtype\s*/Image", document)
    assert pdf.pdf(content, HOSTILE, tmp_path, "a4") == document


def test_a_figure_fits_on_a_page_and_a_wide_table_has_a_page_across_without_its_records(content):
    (section,) = json.loads(json.dumps([pdf._section(each) for each in content.sections]))
    (chart,), (table,) = section["charts"], section["tables"]
    assert chart["width"] == pytest.approx(charting.WIDTH_INCHES * pdf._TALLEST_INCHES / 12.0)
    assert table["wide"]
    assert len(table["titles"]) == len(table["rows"][0]) == len(table["numeric"]) == 13
    assert "x #0" not in str(table)
    narrow = dataclasses.replace(content.sections[0].tables[0], columns=(words("a"),), rows=(("b",),))
    assert not pdf._table(narrow)["wide"]


def pages(document):
    """Return the sizes of a PDF's pages in points, as its objects say, packed ones too."""
    packed = re.findall(rb"stream\r?\n(.*?)endstream", document, flags=re.DOTALL)
    opened = [document]
    for piece in packed:
        with contextlib.suppress(zlib.error):
            opened.append(zlib.decompress(piece))
    objects = re.findall(rb"/Type\s*/Page\b.*?/MediaBox\s*\[([^\]]*)\]", b"\n".join(opened), flags=re.DOTALL)
    return [tuple(round(float(number)) for number in box.split()[2:]) for box in objects]


@pytest.mark.parametrize(("paper", "size"), [("a4", (595, 842)), ("letter", (612, 792))])
@pytest.mark.parametrize(("pictures", "words"), [(0, 1), (1, 12), (3, 12), (3, 400)])
def test_an_answer_fits_on_one_side_however_long(content, tmp_path, paper, size, pictures, words):
    pytest.importorskip("typst", reason="typst is not installed")
    (chart,) = content.sections[0].charts
    told = Paragraph(HOSTILE, "word 5 ms " * words, "5 ms")
    answer = Answer(HOSTILE, (HOSTILE,), (told,) * 6, HOSTILE)
    document = pdf.brief(HOSTILE, answer, (chart,) * pictures, HOSTILE, tmp_path, paper)
    assert pages(document) == [size]
    assert not re.search(rb"/Subtype\s*/Image", document)
