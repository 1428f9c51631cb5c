"""One colour, marker and dash per optimizer, the same in every figure, legend and table.

The colours keep a contrast of at least 3:1 on the page, have one value for light and one for dark, and stay apart under
the common colour vision deficiencies together with marker and dash: the exact natural gradients share
blue, the thermodynamic ones orange. Variants of one method share its colour and differ by dash and fill; classes known
by name begin with the second dash.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.colors import to_hex

from tngd_bench.analysis.families import Infos
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.torch_class.entry import is_class_name
from tngd_bench.report.document.slugs import slug


@dataclass(frozen=True)
class Colour:
    """A colour with its name as a CSS variable and its values on light and dark ground."""

    name: str
    light: str
    dark: str


@dataclass(frozen=True)
class Mark:
    """The drawing style of one optimizer; `dash` is a matplotlib line style, `filled` says whether its marker is."""

    colour: Colour
    marker: str
    dash: str | tuple[int, tuple[float, ...]]
    filled: bool
    emphasised: bool


_OTHERS = (
    (Colour("--c-other-1", "#7a5230", "#cfa277"), "<"),
    (Colour("--c-other-2", "#56702a", "#a8c76c"), ">"),
    (Colour("--c-other-3", "#8f2f3b", "#f08a94"), "h"),
    (Colour("--c-other-4", "#4d5b6e", "#b3c1d4"), "d"),
)
_MOST_SPARE = 24
"""Outside methods whose colours are in the style sheet."""
_SPARE_HUE, _SPARE_MARKERS = 37, ("<", ">", "h", "d", "H", "8", "1", "2", "3", "4")
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 2)),
    (0, (2, 1.5)),
    (0, (6, 2, 1.5, 2)),
)

INK = Colour("--ink", "#1a1d21", "#e8e6e1")
MUTED = Colour("--muted", "#5a616b", "#a3aab4")
RULE = Colour("--rule", "#d8d5ce", "#363c45")
PAPER = Colour("--paper", "#fdfcfa", "#15181c")
DIGITAL = Colour("--c-digital", "#3c5a78", "#8fb2d6")
WRITE = Colour("--c-write", "#d9773f", "#f0955c")
RELAX = Colour("--c-relax", "#8c3a1a", "#ffc9a8")
READ = Colour("--c-read", "#b08a2e", "#e3c06a")
_ROLES = (INK, MUTED, RULE, PAPER, DIGITAL, WRITE, RELAX, READ)
PARTS = {"digital": DIGITAL, "write": WRITE, "relax": RELAX, "read": READ}


def marks(infos: Infos) -> dict[str, Mark]:
    """Return the mark of every optimizer in `infos`; methods without a style of their own take spare ones by name."""
    styles = _styles()
    strangers = sorted({info.method for info in infos.values()} - set(styles))
    spare = {name: _spare(place) for place, name in enumerate(strangers)}
    drawn: dict[str, Mark] = {}
    for label, info in infos.items():
        method = info.method
        colour, marker, emphasised = styles[method] if method in styles else (*spare[method], False)
        variant = sum(infos[other].method == method for other in drawn)
        turn = strangers.index(method) // len(_OTHERS) if method in spare else int(is_class_name(method))
        dash = _DASHES[(turn + variant) % len(_DASHES)]
        drawn[label] = Mark(colour, marker, dash, variant == 0, emphasised)
    return drawn


def _styles() -> dict[str, tuple[Colour, str, bool]]:
    """Return colour, marker and emphasis of every optimizer that has a style, in the registry's order.

    Figures are themed by replacing colours: a style whose colour has another use already is left out.
    """
    found: dict[str, tuple[Colour, str, bool]] = {}
    used = {colour.light for colour in (*_ROLES, *_spare_colours())}
    for name, style in registry.styles().items():
        if style.light not in used:
            used.add(style.light)
            colour = Colour(f"--c-{slug(name)}", style.light, style.dark)
            found[name] = (colour, style.marker, style.emphasised)
    return found


def _spare(place: int) -> tuple[Colour, str]:
    """Return the colour and marker of the `place`-th method outside the suite: those chosen by eye, then made ones.

    A made colour takes the next hue in steps around the circle that meet no earlier one, dark or light for its ground.
    """
    if place < len(_OTHERS):
        return _OTHERS[place]
    hue = place * _SPARE_HUE % 360 / 360
    light, dark = (to_hex(colorsys.hls_to_rgb(hue, level, 0.5)) for level in (0.28, 0.78))
    return Colour(f"--c-other-{place + 1}", light, dark), _SPARE_MARKERS[place % len(_SPARE_MARKERS)]


def _spare_colours() -> tuple[Colour, ...]:
    return tuple(_spare(place)[0] for place in range(_MOST_SPARE))


def strength(label: str, shown: Sequence[str], infos: Infos) -> float:
    """Return the opacity of a line among `shown`: variants of one method share a colour, later ones more opaque."""
    same = [other for other in shown if infos[other].method == infos[label].method]
    return 1.0 if len(same) == 1 else 0.4 + 0.6 * same.index(label) / (len(same) - 1)


def series(place: int) -> Mark:
    """Return the mark of the `place`-th line of a chart whose lines are not optimizers."""
    colour, marker = _OTHERS[place % len(_OTHERS)]
    return Mark(colour, marker, _DASHES[place % len(_DASHES)], True, False)


def palette() -> tuple[Colour, ...]:
    """Return every colour that occurs, for the style sheet and for themed figures."""
    return (*_ROLES, *(colour for colour, *_ in _styles().values()), *_spare_colours())
