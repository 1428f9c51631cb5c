import dataclasses
import itertools
import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tngd_bench.report.document import charting, scales
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.palette import INK
from tngd_bench.report.render import drawings


@pytest.fixture
def chart():
    with charting.style():
        figure, axes = charting.panel()
        axes.plot([1, 2], [3, 4], label="$x_1$ <b>", marker="o", color=INK.light)
        axes.set_xlabel("x")
        charting.legend_below(figure, axes)
    return Chart("a-name", "heading", 'says "<b>"', "caption", figure, pd.DataFrame({"x": [1]}))


def test_the_inline_drawing_follows_the_theme_and_has_ids_of_its_own(chart):
    body = drawings.inline(chart, drawings.svg(chart))
    assert body.startswith('<svg role="img" aria-label="says &#34;&lt;b&gt;&#34;" viewBox="0 0 ')
    assert "var(--ink)" in body
    assert INK.light not in body
    assert "<metadata" not in body
    assert "<style" not in body
    same = dataclasses.replace(chart, name="another")
    ids, others = (
        set(re.findall(r'\bid="([^"]*)"', drawings.inline(one, drawings.svg(one)))) for one in (chart, same)
    )
    assert ids
    assert not ids & others
    assert "<g>" not in body
    assert ElementTree.fromstring(body).tag == "svg"


def test_user_text_is_neither_markup_nor_mathematics(chart):
    document = drawings.svg(chart)
    assert "$x_1$ &lt;b&gt;" in document


def test_stand_alone_files_are_reproducible_and_on_white(chart):
    assert drawings.svg(chart) == drawings.svg(chart)
    assert drawings.png(chart) == drawings.png(chart)
    assert '<rect width="100%" height="100%" fill="#ffffff"/>' in drawings.white(drawings.svg(chart))
    assert "<dc:date>" not in drawings.svg(chart)


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((900, 11_000), ["10³", "2·10³", "5·10³", "10⁴"]),
        ((900, 1.1e6), ["10³", "10⁴", "10⁵", "10⁶"]),
        ((2_100, 4_300), ["2.5·10³", "3·10³", "3.5·10³", "4·10³"]),
    ],
)
def test_every_tick_of_a_size_axis_names_its_own_value(limits, wanted):
    with charting.style():
        _, axes = charting.panel()
        axes.plot(limits, [1, 2])
        scales.log_counts(axes, "x")
        axes.set_xlim(*limits)
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        labels = axes.xaxis.get_major_formatter().format_ticks(ticks)
    assert labels == wanted


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((0.31, 0.46), ["0.35", "0.4", "0.45"]),
        ((0.02, 0.9), ["0.02", "0.05", "0.1", "0.2", "0.5"]),
        ((3e-4, 20.0), ["0.001", "0.01", "0.1", "1", "10"]),
    ],
)
def test_an_axis_of_losses_has_at_least_three_numbers(limits, wanted):
    with charting.style():
        _, axes = charting.panel()
        scales.log_plain(axes, "y")
        axes.plot([1, 2], limits)
        axes.set_ylim(*limits)
        ticks = [tick for tick in axes.get_yticks() if limits[0] <= tick <= limits[1]]
        labels = axes.yaxis.get_major_formatter().format_ticks(ticks)
    assert labels == wanted


def test_ticks_take_their_style_from_their_path_and_data_markers_keep_theirs():
    figure, axes = charting.panel(2.0)
    axes.plot([1, 2, 3], [1, 4, 9], marker="o", color="#c43d08")
    axes.set_ylabel("height")
    document = drawings.svg(Chart("small", "Small", "Small.", "", figure, pd.DataFrame()))
    paths = dict(re.findall(r'<path id="([^"]+)"[^>]* style="([^"]*)"/>', document))
    uses = re.findall(r'<use xlink:href="#([^"]+)" x="[^"]*" y="[^"]*"([^>]*)/>', document)
    plain = {name for name, rest in uses if not rest}
    assert plain
    assert all("stroke: #" in paths[name] for name in plain)
    assert [rest for name, rest in uses if name not in plain] == [uses[-1][1]] * 3
    assert "fill: #c43d08" in uses[-1][1]
    assert "rotate(-90 " in document
    assert "rotate(-0 " not in document
    assert "rotate(0 " not in document


def test_a_user_s_matplotlibrc_has_no_say_in_a_figure():
    def drawn():
        with charting.style():
            figure, axes = charting.panel()
            axes.plot([1, 2], [3, 4], label="a", marker="o", color=INK.light)
            charting.legend_below(figure, axes)
            return drawings.svg(Chart("n", "h", "a", "c", figure, pd.DataFrame({"x": [1]})))

    mine = {
        "text.usetex": True,
        "figure.dpi": 300,
        "savefig.bbox": "tight",
        "axes.xmargin": 0.5,
        "legend.frameon": False,
        "font.family": ["Absent"],
        "figure.constrained_layout.h_pad": 1,
        "path.simplify": False,
        "lines.markersize": 20,
        "axes.formatter.use_mathtext": True,
        "backend": "agg",
    }
    plain = drawn()
    with mpl.rc_context(rc=mine):
        assert drawn() == plain


_AXES = (
    scales.log_counts,
    scales.log_seconds,
    scales.log_bit_rates,
    scales.log_ratios,
    scales.log_plain,
)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-9, 1e12), st.floats(1.0, 1e3), st.sampled_from(_AXES))
@example(1.0, 1.0000000000000002, scales.log_counts)
@example(3.0, 1.0000001, scales.log_plain)
def test_a_logarithmic_axis_of_any_two_values_has_ticks_above_zero_with_labels(low, ratio, scale):
    _, axes = charting.panel()
    axes.plot([low, low * ratio], [1, 2])
    scale(axes, "x")
    ticks = axes.xaxis.get_major_locator()()
    assert min(ticks) > 0
    assert all(axes.xaxis.get_major_formatter().format_ticks(ticks))
    inside = [tick for tick in ticks if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    assert len(inside) >= 2


@given(st.floats(1e-9, 1e12), st.floats(1.0, 8.0))
@settings(max_examples=60, deadline=None)
def test_small_ticks_are_whole_multiples_of_decades_and_only_on_a_short_axis(low, decades):
    _, axes = charting.panel()
    axes.plot([low, low * 10.0**decades], [1, 2])
    scales.log_counts(axes, "x")
    start, end = axes.get_xlim()
    small = [tick for tick in axes.xaxis.get_minorticklocs() if start <= tick <= end]
    whole = (float(f"{leading}e{exponent}") for exponent in range(-11, 21) for leading in range(2, 10))
    large = axes.xaxis.get_majorticklocs()
    every = [tick for tick in whole if start <= tick <= end and not np.isclose(tick, large, atol=0.0).any()]
    assert small == pytest.approx(every if end <= 100.0 * start else [], rel=1e-9, abs=0.0)


@pytest.mark.parametrize(
    ("scale", "start"),
    [("log_bit_rates", 1e3), ("log_seconds", 1e-9), ("log_counts", 1.0), ("log_joules", 3e-2)],
)
@pytest.mark.parametrize("decades", [1.5, 1.9, 2.2, 2.4, 2.6, 2.9, 3, 6, 10])
def test_labels_side_by_side_do_not_overlap(scale, start, decades):
    with charting.style():
        figure, axes = charting.panel(4.2)
        axes.plot([start, start * 10.0**decades], [1.0, 2.0])
        axes.set_yticks([1.0, 2.0], ["paper, 50 Gb/s", "sram-mdac, 512 Gb/s"])
        getattr(scales, scale)(axes, "x")
        figure.draw_without_rendering()
        low, high = axes.get_xlim()
        drawn = [
            label.get_window_extent()
            for label in axes.get_xticklabels()
            if low <= label.get_position()[0] <= high
        ]
    assert len(drawn) >= 3
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(drawn))


@pytest.mark.parametrize("number", [4, 12, 30])
@pytest.mark.parametrize("length", [4, 40, 90])
def test_a_legend_of_any_length_is_whole_and_beside_the_data(number, length):
    with charting.style():
        figure, axes = charting.panel()
        for place in range(number):
            axes.plot([1, 2], [1, 2], label=f"{place} " + "ab " * (length // 3))
        charting.legend_below(figure, axes)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        below, data = legend.get_window_extent(), axes.get_tightbbox()
    assert below.y0 >= 0
    assert below.y1 <= data.y0
    assert data.height >= 0.4 * 3.3 * figure.dpi


def test_labels_wider_than_a_figure_are_set_on_several_lines():
    label = "NGD (CG, device, " + ", ".join(f"setting {n} = {n}" for n in range(9)) + ")"
    with charting.style():
        figure, axes = charting.panel()
        for place in range(3):
            axes.barh([place], [1.0], label=f"{label} {place}")
        axes.set_yticks(range(3), [charting.folded(label)] * 3)
        charting.legend_below(figure, axes)
        figure.draw_without_rendering()
        assert axes.get_window_extent().width > figure.bbox.width / 3
        (legend,) = figure.legends
        drawn = [*axes.get_yticklabels(), *legend.get_texts()]
    assert all(
        0 <= text.get_window_extent().x0 < text.get_window_extent().x1 <= figure.bbox.width for text in drawn
    )
    assert charting.folded(label).replace("\n", " ") == label


def test_no_line_of_a_label_ends_within_an_equation():
    text = "TNGD (damping = 0.001, link rate = 50 Gb/s, t = 50 τ)"
    for width in range(22, 60):
        lines = charting.folded(text, width).split("\n")
        assert not any(line.rstrip().endswith("=") or line.lstrip().startswith("=") for line in lines)
        assert " ".join(lines) == text
