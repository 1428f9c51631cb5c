"""Drawings as SVG: hatches are lines that their shapes clip, whatever draws them. Drawings as PNG: their colours."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.collections import PolyCollection
from PIL import Image

from tngd_bench.report.document import charting
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.render import drawings

SVG = "{http://www.w3.org/2000/svg}"


def numbers(path):
    return [float(each) for each in path.replace("M", "").replace("L", "").replace("z", "").split()]


@pytest.fixture(scope="module", params=["////", "xxx", ".."])
def document(request):
    """A figure with hatched bars, one of them empty, a triangle that lets through what is behind, and a legend."""
    with charting.style("hatched"):
        figure, axes = charting.panel()
        axes.bar([0, 1], [3.0, 0.0], hatch=request.param, color="#d9773f", edgecolor="#fdfcfa", label="bars")
        corners = [[(0.2, 0.5), (1.4, 0.5), (0.8, 2.5)]]
        axes.add_collection(PolyCollection(corners, facecolors="#3c5a78", hatch=request.param, alpha=0.4))
        charting.legend_below(figure, axes)
        return drawings.svg(Chart("hatched", "Hatched", "alt", "caption", figure, pd.DataFrame()))


def test_no_hatch_is_a_pattern_and_no_shape_lost_its_fill(document):
    root = ElementTree.fromstring(document)
    assert list(root.iter(f"{SVG}pattern")) == []
    styles = [path.get("style") for path in root.iter(f"{SVG}path")]
    assert not any("url(" in style for style in styles if style)
    assert sum("fill: #d9773f" in style for style in styles if style) == 3  # two bars and the legend's
    assert any("fill: #3c5a78" in style for style in styles if style)


def test_tiles_cover_each_shape_and_nothing_else_shows_them(document):
    root = ElementTree.fromstring(document)
    outlines = {
        clip.get("id"): numbers(clip[0].get("d"))
        for clip in root.iter(f"{SVG}clipPath")
        if clip[0].tag == f"{SVG}path"
    }
    assert len(outlines) == 3  # the empty bar has none
    clipped = [group for group in root.iter(f"{SVG}g") if group.get("clip-path", "")[5:-1] in outlines]
    assert len(clipped) == 3
    for group in clipped:
        points = outlines[group.get("clip-path")[5:-1]]
        places = {(float(use.get("x")), float(use.get("y"))) for use in group}
        for x, y in zip(points[::2], points[1::2], strict=True):
            assert any(left <= x <= left + 72 and top <= y <= top + 72 for left, top in places)
    defined = {path.get("id") for path in root.iter(f"{SVG}path")}
    used = {use.get("{http://www.w3.org/1999/xlink}href")[1:] for group in clipped for use in group}
    assert used <= defined


def test_what_lets_through_does_so_with_its_lines(document):
    (faint,) = ElementTree.fromstring(document).findall(f".//{SVG}g[@opacity]")
    assert faint.get("opacity") == "0.4"
    assert faint.find(f"{SVG}clipPath") is not None
    assert "opacity" not in faint.find(f"{SVG}path").get("style")


def test_a_shape_far_beyond_the_figure_has_no_tiles_out_there():
    """A bar on a logarithmic axis begins at its zero, which is as far away as numbers go."""
    with charting.style("far"):
        figure, axes = charting.panel()
        axes.barh([0], [1e-3], hatch="////")
        axes.set_xscale("log")
        axes.set_xlim(1e-4, 1e-2)
        document = drawings.svg(Chart("far", "Far", "alt", "caption", figure, pd.DataFrame()))
    uses = ElementTree.fromstring(document).iter(f"{SVG}use")
    places = [(float(use.get("x")), float(use.get("y"))) for use in uses if use.get("x", "").isdigit()]
    assert places
    assert len(document) < 60_000
    assert all(0 <= x < 400 and 0 <= y < 300 for x, y in places)


def test_ids_of_an_inline_drawing_are_all_used(document):
    chart = Chart("hatched", "Hatched", "alt", "caption", charting.panel()[0], pd.DataFrame())
    inline = ElementTree.fromstring(drawings.inline(chart, document))
    ids = {each.get("id") for each in inline.iter() if each.get("id")}
    used = {each.get("href")[1:] for each in inline.iter() if each.get("href")}
    used |= {each.get("clip-path")[5:-1] for each in inline.iter() if each.get("clip-path")}
    assert ids == used


@pytest.mark.parametrize("colours", [3, 256, 4000])
def test_a_png_has_its_own_colours_or_ones_as_near_as_median_cut_of_all_pixels(colours):
    draw = np.random.default_rng(colours)
    shades = draw.integers(0, 256, (colours, 4), np.uint8)
    shades[:, 3] = 255
    pixels = shades[(colours * draw.random((300, 200)) ** 4).astype(int)]  # a few of them nearly everywhere
    shown = Image.open(io.BytesIO(drawings._with_palette(pixels.tobytes(), (200, 300)))).convert("RGB")
    plain = Image.fromarray(pixels[:, :, :3])
    cut = plain.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    error, theirs = (np.std(np.asarray(each, float) - pixels[:, :, :3]) for each in (shown, cut))
    assert error <= 1.25 * theirs
    assert error == 0.0 or colours > 256


def test_styles_that_a_page_has_more_than_once_become_rules_and_nothing_else_changes(document):
    quoted = '<path style="fill: url(&quot;#a&quot;)"/>'
    other = f'<svg>{quoted}{quoted}<path style="fill: red"/></svg>'
    given = {"hatched": Markup(document), "again": Markup(document), "other": Markup(other)}
    shared, rules = drawings.share_styles(given)
    styles = dict(re.findall(r"\.(\w+) \{ (.*) \}", rules))
    assert rules.count("\n") == len(styles) == len(set(styles.values()))
    expanded = {
        name: re.sub(r' class="(\w+)"', lambda found: f' style="{styles[found[1]]}"', each)
        for name, each in shared.items()
    }
    assert expanded == given
    assert shared["other"] == other
    assert "style=" not in shared["hatched"]
