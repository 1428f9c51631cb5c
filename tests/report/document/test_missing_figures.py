import dataclasses
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

import tngd_bench.report
from tngd_bench.analysis.findings.find import Findings
from tngd_bench.analysis.results import Results
from tngd_bench.cli.stores import tell_missing
from tngd_bench.report import build
from tngd_bench.report.compare import comparison
from tngd_bench.report.cost import cost_charts
from tngd_bench.report.cost.cost_section import cost_sections
from tngd_bench.report.document import charting, missing_figures
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.outline import Contents
from tngd_bench.report.document.section import Exhibit, Section


def fails(*_args, **_kwargs):
    raise ValueError("math domain\nerror")


@pytest.fixture
def small(make, monkeypatch):
    """Records, of which a report holds the sections on cost alone."""
    records = make(sizes=(1_000, 3_162), optimizers=("sgd", "ngd-gram", "tngd"), training=False)
    nothing = Findings("", "", "")

    def costs_only(records, _beside):
        return Contents("", nothing, "", cost_sections(Results(records)))

    monkeypatch.setattr(build, "contents", costs_only)
    return records


def test_the_page_is_written_without_a_figure_that_cannot_be_made_and_says_so(small, tmp_path, monkeypatch):
    monkeypatch.setattr(cost_charts, "draw_line", fails)
    built = build.build_report(small, tmp_path, formats=("html", "md", "pdf"))
    assert {each.error for each in built.missing} == {"ValueError: math domain error"}
    for document in (built.html, tmp_path / "report.md"):
        text = document.read_text()
        assert "could not be drawn (ValueError: math domain error)" in text
        assert "“time per iteration”" in text
        assert "cost-split" in text  # a figure that is drawn in another way
    assert (tmp_path / "report.pdf").stat().st_size > 1_000


def test_a_figure_that_fails_when_it_is_written_keeps_its_numbers(small, tmp_path, monkeypatch):
    png = drawings.png
    monkeypatch.setattr(charting, "png", lambda chart: fails() if "split" in chart.name else png(chart))
    built = build.build_report(small, tmp_path, formats=("html", "md"))
    assert len(built.missing) == 1
    assert "TNGD beside" in built.missing[0].heading
    name = next(path for path in built.data if "split" in path.name and path.suffix == ".csv")
    assert len(pd.read_csv(name))
    assert not list((tmp_path / "figures").glob("*split*"))
    assert "split" not in (tmp_path / "report.md").read_text()


def test_a_comparison_is_written_without_its_figure_and_says_so(small, tmp_path, monkeypatch):
    monkeypatch.setattr(charting, "log_ratios", fails)
    html, md, first, missing = comparison.build_comparison(small, small, ("a", "b"), tmp_path)
    assert len(missing) == 1
    assert "1 figure could not be drawn" in dict(first)["Missing"]
    assert "could not be drawn" in html.read_text()
    assert "![" not in md.read_text()


def test_every_function_that_makes_charts_is_guarded():
    makers = {
        f"{module.name}.{name}": function
        for module in pkgutil.iter_modules(tngd_bench.report.__path__, "tngd_bench.report.")
        for name, function in inspect.getmembers(import_module(module.name), inspect.isfunction)
        if function.__module__ == module.name
        and inspect.signature(function).return_annotation in ("Chart", "Chart | None", "list[Chart]")
    }
    apart = {
        "tngd_bench.report.document.missing_figures.failed_chart",
        "tngd_bench.report.cost.prediction_chart.prediction_chart",  # a command's only output: its error is the answer
    }
    assert len(makers) > 15
    assert {name for name, function in makers.items() if not hasattr(function, "__wrapped__")} == apart


def test_notes_stand_in_the_section_and_exhibits_lose_the_figure(small):
    made = missing_figures.one_figure("what it shows")(fails)()
    good = Chart("good", "h", "a", "c", made.figure, pd.DataFrame())
    section = Section("s", "S", charts=(made, good), exhibits=(Exhibit("e", (made, good), ()),))
    (kept,), missing = missing_figures.without_missing([section], {})
    assert kept.charts == kept.exhibits[0].charts == (good,)
    assert kept.points == (missing[0].note,)
    assert "“what it shows” could not be drawn (ValueError: math domain error)" in kept.points[0]
    assert missing_figures.without_missing([dataclasses.replace(section, charts=(good,))], {})[1] == ()


def test_the_exit_code_tells_and_the_traceback_is_kept(capsys):
    assert tell_missing(()) == 0
    found = missing_figures.missing_figure("Time against N", ValueError("no"))
    assert tell_missing((found, found)) == 2
    said = capsys.readouterr().err
    assert "without the figure “Time against N” and 1 more: ValueError: no" in said
    log = said.split("traceback in ")[1].strip().rstrip(")")
    assert "ValueError: no" in Path(log).read_text()
