import dataclasses
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

import tngd_bench.report.cost
from tngd_bench.cli.stores import tell_missing
from tngd_bench.report import build
from tngd_bench.report.compare import comparison
from tngd_bench.report.cost import cost_charts
from tngd_bench.report.document import figures, scales
from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.document.section import Exhibit, Section
from tngd_bench.report.render import drawings


def fails(*_args, **_kwargs):
    raise ValueError("math domain\nerror")


@pytest.fixture
def small(make, costs_only):
    """Records, of which a report holds the sections on cost alone."""
    return make(sizes=(1_000, 3_162), optimizers=("sgd", "ngd-gram", "tngd"), training=False)


def test_the_page_is_written_without_a_figure_that_cannot_be_made_and_says_so(small, tmp_path, monkeypatch):
    monkeypatch.setattr(cost_charts, "draw_line", fails)
    built = build.build_report(small, tmp_path, formats=("html", "md"))
    assert {each.error for each in built.missing} == {"ValueError: math domain error"}
    for document in (built.html, tmp_path / "report.md"):
        text = document.read_text()
        assert "could not be drawn (ValueError: math domain error)" in text
        assert "“time per iteration”" in text
        assert "cost-split" in text  # a figure that is drawn in another way


def test_a_figure_that_fails_when_it_is_written_keeps_its_numbers(small, tmp_path, monkeypatch):
    png = drawings.png
    monkeypatch.setattr(drawings, "png", lambda chart: fails() if "split" in chart.name else png(chart))
    built = build.build_report(small, tmp_path, files=("png", "csv"))
    assert len(built.missing) == 1
    assert "TNGD beside" in built.missing[0].heading
    name = next(path for path in built.data if "split" in path.name and path.suffix == ".csv")
    assert len(pd.read_csv(name))
    assert not list((tmp_path / "figures").glob("*split*"))
    assert "split" not in (tmp_path / "report.md").read_text()


def test_a_comparison_is_written_without_its_figure_and_says_so(small, tmp_path, monkeypatch):
    monkeypatch.setattr(scales, "log_ratios", fails)
    html, md, first, missing = comparison.build_comparison(small, small, ("a", "b"), tmp_path)
    assert len(missing) == 1
    assert "1 figure could not be drawn" in dict(first)["Missing"]
    assert "could not be drawn" in html.read_text()
    assert "![" not in md.read_text()


def test_a_comparison_is_written_without_sections_that_fail_and_says_so(small, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "comparison_sections", fails)
    html, _, first, missing = comparison.build_comparison(small, small, ("a", "b"), tmp_path)
    assert [each.part for each in missing] == ["section"]
    assert "1 section could not be made" in dict(first)["Missing"]
    assert "could not be made (ValueError: math domain error)" in html.read_text()


TOY = """
import pandas as pd
from tngd_bench.report.document import charting
from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.document.figures import figure_of

@figure_of("scaling", "a toy", cases=lambda results: results.infos, place=5)
def toy_chart(results, label):
    if label == "tngd":
        raise ValueError("no toy of this")
    figure, axes = charting.panel()
    axes.plot([1, 2], [1, 2], label=label)
    return Chart(f"toy-{label}", f"Toy of {label}", "A toy.", "Nothing.", figure, pd.DataFrame({"toy": [1]}))
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """One more file in a room of the report, and nothing else."""
    room = tmp_path / "room"
    room.mkdir()
    (room / "toy_charts.py").write_text(TOY)
    monkeypatch.setattr(tngd_bench.report.cost, "__path__", [*tngd_bench.report.cost.__path__, str(room)])
    figures.registered.cache_clear()
    yield
    sys.modules.pop("tngd_bench.report.cost.toy_charts")
    figures.registered.cache_clear()


@pytest.mark.usefixtures("toy")
def test_a_figure_is_one_file(small, tmp_path):
    built = build.build_report(small, tmp_path, formats=("html", "md"))
    names = [f"toy-{label}" for label in ("sgd", "ngd-gram")]
    for name in names:
        for path in (f"figures/{name}.svg", f"data/{name}.csv"):
            assert (tmp_path / path).is_file()
            assert path in json.loads((tmp_path / "report-files.json").read_text())["files"]
        assert f'<figure id="{name}">' in built.html.read_text()
        assert f"(figures/{name}.svg)" in (tmp_path / "report.md").read_text()
    assert [(each.heading, each.error) for each in built.missing] == [("a toy", "ValueError: no toy of this")]
    page = built.html.read_text()
    assert page.index('id="scaling-cost') < page.index('id="toy-sgd"') < page.index('id="toy-ngd-gram"')


def test_figures_of_one_place_take_turns_and_a_failing_case_leaves_the_others():
    def named(kind):
        def draw(_subject, case):
            if case == 1:
                raise ValueError(f"no {kind}")
            return dataclasses.replace(BLANK, name=f"{kind}{case}")

        return figures.figure_of("s", f"a {kind}", cases=range)(draw)

    late, one, other = figures.figure_of("s", "late", place=1)(lambda _: None), named("a"), named("b")
    failing = figures.figure_of("s", "cases that fail", cases=fails)(fails)
    made = figures.in_order([late, one, other, failing], 3)
    told = [chart.missing.heading if chart.missing else chart.name for chart in made]
    assert told == ["a0", "b0", "cases that fail", "a a", "a b", "a2", "b2"]


BLANK = Chart("blank", "h", "a", "c", Figure(), pd.DataFrame())


def test_notes_stand_in_the_section_and_exhibits_lose_the_figure():
    (made,) = figures.in_order([figures.figure_of("s", "what it shows")(fails)], None)
    section = Section("s", "S", charts=(made, BLANK), exhibits=(Exhibit("e", (made, BLANK), ()),))
    kept, missing = section.without({})
    assert kept.charts == kept.exhibits[0].charts == (BLANK,)
    assert kept.points == (missing[0].note,)
    assert "“what it shows” could not be drawn (ValueError: math domain error)" in kept.points[0]
    assert dataclasses.replace(section, charts=(BLANK,)).without({})[1] == ()
    undrawn = MissingFigure.because("h", ValueError("no ink"))
    assert section.without({"blank": undrawn})[0].charts == ()


def test_the_exit_code_tells_and_the_traceback_is_kept(capsys):
    assert tell_missing(()) == 0
    found = MissingFigure.because("Time against N", ValueError("no"))
    assert tell_missing((found, found)) == 2
    said = capsys.readouterr().err
    assert "without the figure “Time against N” and 1 more: ValueError: no" in said
    log = said.split("traceback in ")[1].strip().rstrip(")")
    assert "ValueError: no" in Path(log).read_text()
