"""`tngd-bench report` and `compare`: the formats asked for, the browser, and one clear line for what cannot be."""

from __future__ import annotations

import pytest

from tests.report.conftest import make_records
from tngd_bench.cli import main


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A store that is found and read without a run: what is under test is the command line."""
    from tngd_bench.studies.store import records as reading
    from tngd_bench.studies.store.store import Store

    found = make_records(optimizers=("sgd", "adam"), sizes=(1_000,), training=False)
    store = Store(tmp_path / "store")
    store.path.mkdir()
    monkeypatch.setattr(Store, "find", staticmethod(lambda place: store))
    monkeypatch.setattr(reading, "read_records", lambda place: found)
    return tmp_path


def test_report_writes_the_formats_asked_for(stored, capsys):
    pytest.importorskip("pylatexenc", reason="pylatexenc is not installed")
    assert main.run(["report", str(stored), "--format", "html, tex"]) == main.OK
    told = capsys.readouterr().out
    assert f"report: {stored / 'index.html'}" in told
    assert f"LaTeX tables in {stored / 'tables'}" in told
    assert not (stored / "report.md").exists()


def test_a_format_whose_package_is_missing_is_one_line(stored, monkeypatch, capsys):
    monkeypatch.setattr("tngd_bench.report.document.formats.find_spec", lambda _: None)
    assert main.run(["report", str(stored), "--format", "html,pdf"]) == main.BAD_INPUT
    told = capsys.readouterr().err
    assert "--format: the format pdf needs typst: pip install 'tngd-bench[pdf]'" in told
    assert not (stored / "index.html").exists()


def test_report_opens_the_page(stored, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert main.run(["report", str(stored), "--open"]) == main.OK
    assert opened == [(stored / "index.html").resolve().as_uri()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--format", "docx"],
            "--format takes any of html, md, pdf, tex, brief, comment, separated by commas",
        ),
        (["--base-url", "https://a.example"], "add comment to --format"),
        (["--format", "comment", "--base-url", "javascript:x"], "an http(s) address without blanks"),
        (["--format", "comment", "--base-url", "https://a.example/x) y"], "not 'https://a.example/x) y'"),
        (["--paper", "a0"], "'a4', 'letter'"),
        (["--format", ","], "not nothing"),
        (["--format", "md", "--open"], "--open shows the page"),
    ],
)
def test_report_refuses_in_one_line(stored, capsys, arguments, message):
    assert main.run(["report", str(stored), *arguments]) == main.BAD_INPUT
    told = capsys.readouterr().err
    assert message in told
    assert len(told.splitlines()) == 1


def test_compare_prints_its_headlines_and_writes_the_page(stored, tmp_path, capsys):
    place = tmp_path / "compared"
    assert main.run(["compare", "a", "b", "--output", str(place)]) == main.OK
    told = capsys.readouterr().out
    assert "Compared: A is a, B is b." in told
    assert "Conditions: Same environment. Study: the same" in told
    assert (place / "compare.html").is_file()
    assert (place / "compare.md").is_file()


def test_compare_refuses_what_is_no_store(tmp_path, capsys):
    assert main.run(["compare", str(tmp_path), str(tmp_path)]) == main.BAD_INPUT
    assert "has no results store in it" in capsys.readouterr().err


def test_a_configuration_file_of_matplotlib_that_is_no_text_is_named(tmp_path):
    import matplotlib as mpl

    file = tmp_path / "matplotlibrc"
    file.write_bytes(b"font.size: 10 # \xe9\xff\n")
    with pytest.raises(UnicodeDecodeError) as caught:
        mpl.rc_params_from_file(file)
    message, code = main.explain(caught.value)
    assert code == main.BAD_INPUT
    assert message == f"matplotlib's configuration file {file} is not UTF-8 text; correct it, or move it away"


def test_text_that_is_not_utf8_elsewhere_stays_an_error_that_nobody_expected():
    with pytest.raises(UnicodeDecodeError) as caught:
        b"\xff".decode()
    assert "unexpected" in main.explain(caught.value)[0]
