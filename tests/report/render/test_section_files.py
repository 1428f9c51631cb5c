import sys

import numpy as np
import pandas as pd
import pytest

from tngd_bench.report.document import charting, scales
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.palette import INK
from tngd_bench.report.render import drawings
from tngd_bench.report.render.section_files import write_figures


def charts(number=4):
    made = []
    for place in range(number):
        with charting.style():
            figure, axes = charting.panel()
            axes.plot([1, 2, 30], [3, 4, 5 + place], label="<b>", marker="o", color=INK.light)
            axes.fill_between([1, 30], [3, 3], [4, 4], hatch="//")
            axes.set_xlabel("x")
            scales.log_ratios(axes, "y")  # a formatter that cannot be pickled
            charting.legend_below(figure, axes)
        made.append(Chart(f"chart-{place}", "heading", "alt", "caption", figure, pd.DataFrame()))
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_the_bytes_do_not_depend_on_how_many_processes_draw(tmp_path):
    found = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        paths, drawings, undrawn = write_figures(charts(), folder, processes=processes)
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        found[processes] = (list(files), files, drawings)
        assert undrawn == {}
    assert found[1] == found[2]
    assert found[1][0][:3] == ["chart-0.svg", "chart-0.png", "chart-0.pdf"]
    assert list(found[1][2]) == [f"chart-{place}" for place in range(4)]


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(OSError, match="figures"):
        write_figures(charts(1), tmp_path / "figures")


def test_every_format_has_the_layout_of_the_first_and_leaves_the_figure_drawable():
    [first], [second] = charts(1), charts(1)
    svg, png, pdf = drawings.svg(first), drawings.png(first), drawings.pdf(first)
    assert (drawings.pdf(second), drawings.png(second), drawings.svg(second)) == (pdf, png, svg)
    axes = first.figure.axes[0]
    with charting.style():
        low = axes.get_tightbbox().y0 / first.figure.dpi  # room for the legend below was made
    assert low > 0.1
    assert np.isfinite(axes.get_position().bounds).all()


def test_a_figure_that_cannot_be_drawn_leaves_the_others_and_says_why(tmp_path):
    made = charts(3)
    made[1].figure.axes[0].yaxis.set_major_formatter(lambda value, _: str(1 / 0))
    paths, drawings, undrawn = write_figures(made, tmp_path)
    assert list(drawings) == ["chart-0", "chart-2"]
    assert not [path for path in paths if path.stem == "chart-1"]
    assert undrawn["chart-1"].error == "ZeroDivisionError: division by zero"
    assert "str(1 / 0)" in undrawn["chart-1"].trace
