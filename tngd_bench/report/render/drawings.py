"""Charts as SVG, PNG and PDF, and as an element of the page whose colours follow the reader's theme.

The same figure gives the same bytes.
"""

import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tngd_bench.report.document.charting import Chart, style
from tngd_bench.report.document.palette import palette

PNG_DOTS_PER_INCH = 200
_POINTS_PER_INCH = 72
_PNG_COMPRESSION = 6  # 9 takes eight times as long for a tenth less
_RED_GREEN_BLUE, _COUNTED = 0xFFFFFF, 32


def svg(chart: Chart) -> str:
    """Return the stand-alone SVG, on white; the same figure gives the same bytes."""
    words = {"Date": None, "Creator": None, "Title": chart.heading}
    return _hatched(_compact(_saved(chart, FigureCanvasSVG, format="svg", metadata=words).decode()))


_COORDINATES = re.compile(r'(?<= )(d|x|y|points)="([^"]*)"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_UPRIGHT = re.compile(r' transform="rotate\(-?0 [^)]*\)"')
_TICK = re.compile(r'<path id="([^"]+)" d="M 0 0 L (?:0 [\d.-]+|[\d.-]+ 0)" style="stroke: [^"]*"/>')
_TICK_USED = re.compile(r'(<use xlink:href="#([^"]+)"[^>]*?) style="[^"]*"')


def _compact(document: str) -> str:
    """Return an SVG with coordinates to a tenth of a point and without what says nothing: half of its size.

    That is indentation, rotations by nothing, and the style of every use of a tick, whose path has its own.
    """
    short = _COORDINATES.sub(lambda found: f'{found[1]}="{_rounded(found[2])}"', document)
    short = _UPRIGHT.sub("", short)
    ticks = set(_TICK.findall(short))
    short = _TICK_USED.sub(lambda found: found[1] if found[2] in ticks else found.group(), short)
    return re.sub(r"\n +", "\n", short)


def _rounded(coordinates: str) -> str:
    short = _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.1f}".rstrip("0").rstrip("."), coordinates)
    return " ".join(short.split())


_PATTERN = re.compile(
    r'<pattern id="([^"]+)"[^>]*>\n<rect [^>]*fill="([^"]+)"/>\n<path ([^>]+)/>\n</pattern>'
)
_SHAPE = re.compile(r'<path d="([^"]*)"( clip-path="[^"]*")? style="fill: url\(#([^)]+)\)([^"]*)"/>')
_TILE = 72
"""Side of a tile of a hatch in points, as matplotlib draws it."""


def _hatched(document: str) -> str:
    """Return an SVG whose hatches are lines, clipped by their shapes: a browser prints a pattern as a bitmap."""
    fills = {name: fill for name, fill, _ in _PATTERN.findall(document)}
    numbers = itertools.count()
    canvas = [float(side) for side in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', document)[0]]

    def shape(found: re.Match[str]) -> str:
        outline, clip, name, style = found.groups(default="")
        faint = [f' opacity="{each}"' for each in re.findall(r"opacity: ([\d.]+)", style)[:1]]
        style = re.sub(r"; (fill-|stroke-)?opacity: [\d.]+", "", style)
        body = f'<path d="{outline}" style="fill: {fills[name]}{style}"/>'
        points = [float(number) for number in re.findall(r"-?\d[\d.]*", outline)]
        ends = [
            (max(min(each), 0.0), min(max(each), side))
            for each, side in zip((points[::2], points[1::2]), canvas, strict=True)
        ]
        if all(low < high for low, high in ends):
            steps = (range(_TILE * int(low // _TILE), math.ceil(high), _TILE) for low, high in ends)
            places = itertools.product(*steps)
            tiles = "".join(f'<use xlink:href="#{name}" x="{x}" y="{y}"/>' for x, y in places)
            own = f"{name}-{next(numbers)}"
            body += f'\n<clipPath id="{own}"><path d="{outline}"/></clipPath>\n<g clip-path="url(#{own})">{tiles}</g>'
        return f"<g{clip}{''.join(faint)}>{body}</g>"

    return _PATTERN.sub(r'<path id="\1" \3/>', _SHAPE.sub(shape, document))


def white(document: str) -> str:
    """Return a stand-alone SVG with a white ground, for viewers with a dark one."""
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return re.sub(r"(<svg [^>]*>)", rf"\1\n {ground}", document, count=1)


def png(chart: Chart) -> bytes:
    """Return the PNG on white at 200 dots per inch."""
    pixels = _saved(chart, FigureCanvasAgg, format="rgba", dpi=PNG_DOTS_PER_INCH, facecolor="white")
    assert isinstance(chart.figure.canvas, FigureCanvasAgg)
    renderer = chart.figure.canvas.renderer
    return _with_palette(pixels, (int(renderer.width), int(renderer.height)))


def _with_palette(pixels: bytes, size: tuple[int, int]) -> bytes:
    """Return the PNG with 256 colours of its own, which is a third of its size and looks the same.

    Median cut asks how often a colour occurs: it is given each colour once and once more for `_COUNTED` of its pixels,
    in place of all pixels, which takes a third of the time.
    """
    from PIL import Image

    values = np.frombuffer(pixels, "<u4") & _RED_GREEN_BLUE
    colours, counts = np.unique(values, return_counts=True)
    times = counts // _COUNTED + 1
    counted = np.repeat(colours, times)
    few = Image.frombytes("RGBX", (len(counted), 1), counted.tobytes()).convert("RGB")
    few = few.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    number = np.zeros(_RED_GREEN_BLUE + 1, np.uint8)
    number[colours] = np.asarray(few)[0, np.cumsum(times) - 1]
    image = Image.frombytes("P", size, number[values].tobytes())
    image.putpalette(few.getpalette() or [])
    small = io.BytesIO()
    image.save(small, "png", compress_level=_PNG_COMPRESSION, dpi=(PNG_DOTS_PER_INCH, PNG_DOTS_PER_INCH))
    return small.getvalue()


def pdf(chart: Chart) -> bytes:
    """Return the figure as a PDF of one page, on white, its text kept as text."""
    from matplotlib.backends.backend_pdf import FigureCanvasPdf  # now: importing it takes 0.1 s

    words = {"CreationDate": None, "Creator": None, "Producer": None, "Title": chart.heading}
    return _saved(chart, FigureCanvasPdf, format="pdf", facecolor="white", metadata=words)


def _saved(chart: Chart, canvas: type[FigureCanvasBase], **options: Any) -> bytes:
    with style(chart.name):
        _settle(chart.figure)
        buffer = io.BytesIO()
        chart.figure.set_canvas(canvas(chart.figure))
        chart.figure.savefig(buffer, **options)
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Lay the figure out where that has not been done, and keep the layout: every format then draws it once, and alike.

    A figure with a layout engine, even one that does nothing, is drawn twice by each `savefig`.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    figure.set_canvas(FigureCanvasSVG(figure))
    dots_per_inch, figure.dpi = figure.dpi, _POINTS_PER_INCH
    engine.execute(figure)
    figure.dpi = dots_per_inch
    # with `style` None means no engine; "none" would leave one that does nothing
    figure.set_layout_engine(None)


def _without_plain_groups(body: str) -> str:
    """Return an SVG without groups that have no attribute, which change nothing."""
    opened: list[str] = []

    def kept(tag: re.Match[str]) -> str:
        if tag[1] != "/g":
            opened.append(tag[1])
        started = opened.pop() if tag[1] == "/g" else tag[1]
        return "" if started == "g" else tag[0]

    return re.sub(r"<(/g|g\b[^>]*)>\n?", kept, body)


def inline(chart: Chart, document: str) -> str:
    """Return `document`, the chart's SVG, as an element of an HTML page.

    Colours become CSS variables and the alternative text is the element's label. Only ids that something refers to
    stay; matplotlib makes them from the chart's name (see `style`), so that figures on one page do not share them.
    """
    body = document[document.index("<svg") :]
    body = re.sub(r"\s*<(metadata|title|style)\b.*?</\1>", "", body, flags=re.S)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda found: found.group() if found[1] in used else "", body)
    body = _without_plain_groups(body.replace("xlink:href", "href"))
    for colour in palette():
        body = body.replace(colour.light, f"var({colour.name})")
    body = re.sub(r"font-family: 'DejaVu Sans'[^;\"]*", "font-family: var(--sans)", body)
    body = re.sub(r"(font: [^;\"]*?px) 'DejaVu Sans'[^;\"]*", r"\1 var(--sans)", body)
    box = re.search(r'viewBox="([^"]*)"', body)
    assert box is not None  # matplotlib always writes one
    opening = f'<svg role="img" aria-label="{escape(chart.alt)}" viewBox="{box.group(1)}">'
    return re.sub(r"<svg [^>]*>", lambda _: opening, body, count=1)


_STYLE = re.compile(r' style="([^"]*)"')


def share_styles(drawings: Mapping[str, Markup]) -> tuple[dict[str, Markup], Markup]:
    """Return the inline SVGs of a page with classes in place of styles that occur more than once, and their rules.

    The same few styles stand in thousands of elements: a fifth of a large page.
    """
    counts = Counter(itertools.chain.from_iterable(_STYLE.findall(each) for each in drawings.values()))
    shared = [style for style, count in counts.most_common() if count > 1 and "&" not in style]
    names = {style: f"s{place}" for place, style in enumerate(shared)}

    def with_class(found: re.Match[str]) -> str:
        name = names.get(found[1])
        return found[0] if name is None else f' class="{name}"'

    rules = "".join(f".{name} {{ {style} }}\n" for style, name in names.items())
    # The styles are those of drawings that are markup already, so nothing is left to escape.
    return {name: Markup(_STYLE.sub(with_class, each)) for name, each in drawings.items()}, Markup(rules)  # noqa: S704
