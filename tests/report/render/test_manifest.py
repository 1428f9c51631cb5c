"""A report in fewer formats keeps the others' files while they say the same, and removes them when they do not."""

import pytest

from tngd_bench.report.render.manifest import (
    NAME,
    digest,
    refuse_foreign,
    removed_documents,
    replace_manifest,
)
from tngd_bench.studies.errors import StoreError

FIGURES = ("figures/a.svg", "data/a.csv")
SAME = digest(b"trials", b"0.1.0")


def write(output, *names):
    paths = [output / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("written")
    return paths


@pytest.fixture
def earlier(tmp_path):
    replace_manifest(tmp_path, write(tmp_path, *FIGURES, "index.html", "tables/a.tex"), SAME)
    return tmp_path


def test_other_formats_of_the_same_records_stay_and_are_still_known(earlier):
    assert replace_manifest(earlier, write(earlier, *FIGURES, "report.pdf"), SAME) == ()
    assert (earlier / "index.html").exists()
    removed = replace_manifest(
        earlier, write(earlier, *FIGURES, "report.md"), digest(b"more trials", b"0.1.0")
    )
    assert {path.name for path in removed} == {"index.html", "a.tex", "report.pdf"}


def test_other_formats_of_other_records_go_and_are_told_apart_from_figures(earlier):
    removed = replace_manifest(earlier, write(earlier, "figures/b.svg", "report.pdf"), digest(b"other"))
    assert {path.name for path in removed} == {"index.html", "a.tex", "a.svg", "a.csv"}
    assert {path.name for path in removed_documents(earlier, removed)} == {"index.html", "a.tex"}
    assert not (earlier / "index.html").exists()


def test_a_document_whose_figures_are_no_longer_drawn_goes(earlier):
    removed = replace_manifest(earlier, write(earlier, "figures/a.svg"), SAME)
    assert "index.html" in {path.name for path in removed}


def test_a_manifest_without_a_digest_keeps_nothing(tmp_path):
    replace_manifest(tmp_path, write(tmp_path, *FIGURES, "index.html"))
    (tmp_path / NAME).write_text((tmp_path / NAME).read_text().replace('"made_from": "",', ""))
    assert len(replace_manifest(tmp_path, write(tmp_path, *FIGURES))) == 1


REPORT = ("index.html", "report.md")


def test_a_document_that_no_report_wrote_is_kept_and_named(tmp_path):
    (tmp_path / "report.md").write_text("my notes")
    with pytest.raises(StoreError, match=r"report.md is a file that no report wrote"):
        refuse_foreign(tmp_path, "index.html", REPORT)
    refuse_foreign(tmp_path, "index.html", ("index.html",))  # which leaves it alone
    replace_manifest(tmp_path, write(tmp_path, "index.html"))
    with pytest.raises(StoreError, match=r"report.md"):
        refuse_foreign(tmp_path, "index.html", REPORT)
    replace_manifest(tmp_path, write(tmp_path, *REPORT))
    refuse_foreign(tmp_path, "index.html", REPORT)


def test_documents_without_a_manifest_are_ours_where_one_says_so(tmp_path):
    write(tmp_path, *REPORT)
    (tmp_path / "index.html").write_text("<p>Made by tngd-bench 0.1.0 from the records</p>")
    refuse_foreign(tmp_path, "index.html", REPORT)


@pytest.mark.parametrize("order", [1, -1])
def test_a_report_and_a_comparison_never_remove_each_other(tmp_path, order):
    first, second = ("index.html", "compare.html")[::order]
    replace_manifest(tmp_path, write(tmp_path, first))
    with pytest.raises(StoreError, match=f"holds {first}, which would be removed"):
        refuse_foreign(tmp_path, second, (second,))


def test_a_digest_tells_its_parts_apart():
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
