"""Charts that another process draws before the page is complete."""

import contextlib
import sys
import time
from dataclasses import replace

import pytest

from tests.report.render.test_section_files import charts
from tngd_bench.report.document.charting import MissingFigure
from tngd_bench.report.document.formats import FIGURE_FILES
from tngd_bench.report.render import drawing_ahead
from tngd_bench.report.render.drawing_ahead import DrawnAhead, key_of
from tngd_bench.report.render.section_files import write_figures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(drawing_ahead, "usable_processes", lambda items: 2)


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A function that waits until the drawing of a chart, by its name, has begun in either process."""
    draw, told = drawing_ahead.drawings.svg, tmp_path / "told"
    told.mkdir()

    def svg(chart):
        (told / chart.name).touch()
        return draw(chart)

    def wait_for(name):
        while not (told / name).exists():
            time.sleep(0.01)

    monkeypatch.setattr(drawing_ahead.drawings, "svg", svg)
    return wait_for


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("last", [0, 2])
def test_the_bytes_are_those_of_charts_drawn_at_the_end(tmp_path, begun, last):
    made = charts(4)
    with contextlib.closing(DrawnAhead(FIGURE_FILES, inline=True)) as ahead:
        ahead.begin(made[:3])
        begun(f"chart-{last}")
        early = write_figures(made, tmp_path / "early", ahead=ahead)
    late = write_figures(made, tmp_path / "late")
    assert files(tmp_path / "early") == files(tmp_path / "late")
    assert [path.name for path in early[0]] == [path.name for path in late[0]]
    assert early[1] == late[1]


@pytest.mark.usefixtures("two_cores")
def test_a_chart_that_got_another_name_is_drawn_again_and_leaves_no_file_of_the_first(tmp_path, begun):
    made = charts(3)
    with contextlib.closing(DrawnAhead(FIGURE_FILES, inline=True)) as ahead:
        ahead.begin(made)
        begun("chart-0")
        assert ahead.stop()
        renamed = [replace(made[0], name="another"), *made[1:]]
        write_figures(renamed, tmp_path / "early", ahead=ahead)
    write_figures(renamed, tmp_path / "late")
    assert files(tmp_path / "early") == files(tmp_path / "late")


@pytest.mark.usefixtures("two_cores")
def test_a_chart_that_cannot_be_drawn_is_missing_and_the_others_are_there(tmp_path, monkeypatch, begun):
    made, png = charts(2), drawing_ahead.drawings.png

    def fails(chart):
        if chart.name == "chart-0":
            raise ValueError("no ink")
        return png(chart)

    monkeypatch.setattr(drawing_ahead.drawings, "png", fails)
    with contextlib.closing(DrawnAhead(FIGURE_FILES, inline=True)) as ahead:
        ahead.begin(made)
        begun("chart-0")
        paths, elements, missing = write_figures(made, tmp_path / "figures", ahead=ahead)
    assert {path.stem for path in paths} == set(elements) == {"chart-1"}
    assert isinstance(missing["chart-0"], MissingFigure)
    assert "no ink" in missing["chart-0"].error


def test_with_one_core_nothing_is_drawn_ahead(monkeypatch):
    monkeypatch.setattr(drawing_ahead, "usable_processes", lambda items: 1)
    ahead = DrawnAhead(FIGURE_FILES, inline=True)
    ahead.begin(charts(2))
    assert ahead.stop() == set()
    assert ahead.results() == {}
    ahead.close()


def test_another_caption_keeps_the_drawing_and_another_name_does_not():
    (chart,) = charts(1)
    assert key_of(replace(chart, caption="Reads as “a”.")) == key_of(chart)
    for changed in ({"name": "b"}, {"heading": "b"}, {"alt": "b"}, {"figure": charts(1)[0].figure}):
        assert key_of(replace(chart, **changed)) != key_of(chart)
