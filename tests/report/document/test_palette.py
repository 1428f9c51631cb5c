import itertools

import pandas as pd
import pytest

from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.torch_class.known import KNOWN
from tngd_bench.report.document.palette import INK, MUTED, PAPER, marks, palette


def known(*labels):
    rows = [(label, label.split("[")[0], None) for label in labels]
    return optimizer_infos(pd.DataFrame(rows, columns=["optimizer", "method", "device"]))


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_registered_optimizer_has_a_colour_and_a_marker_of_its_own():
    drawn = marks(known(*registry.names(), *KNOWN))
    assert len({mark.colour.name for mark in drawn.values()}) == len(drawn)
    assert len({mark.marker for mark in drawn.values()}) == len(drawn)
    assert {str(drawn[name].dash) for name in KNOWN}.isdisjoint(str(drawn[n].dash) for n in registry.names())


def test_no_two_classes_have_one_marker_turned():
    drawn = marks(known(*KNOWN))
    turned = {marker: shape for shape in ("1234", "<>^v", "dD", "hH") for marker in shape}
    assert len({turned.get(mark.marker, mark.marker) for mark in drawn.values()}) == len(KNOWN)


def test_outside_optimizers_never_look_alike():
    strangers = [f"plug-in-{number:02}" for number in range(20)]
    drawn = marks(known(*registry.names(), *strangers))
    assert len({mark.colour for mark in drawn.values()}) == len(drawn)
    assert len({drawn[name].marker for name in strangers[:10]}) == 10
    looks = {(drawn[name].marker, str(drawn[name].dash)) for name in strangers[:8]}
    assert len(looks) == 8
    assert {mark.colour for mark in drawn.values()} <= set(palette())


def test_an_optimizer_looks_the_same_whoever_else_is_there():
    alone, together = marks(known("tngd", "sgd")), marks(known(*registry.names(), "stranger"))
    assert alone["tngd"] == together["tngd"]
    assert alone["sgd"] == together["sgd"]


def test_variants_share_colour_and_differ_in_dash():
    drawn = marks(known("tngd", "tngd[delay=1]", "tngd[delay=2]"))
    assert len({mark.colour for mark in drawn.values()}) == 1
    assert len({mark.dash for mark in drawn.values()}) == 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_on_the_page(theme):
    paper = getattr(PAPER, theme)
    assert contrast(getattr(INK, theme), paper) >= 7
    assert contrast(getattr(MUTED, theme), paper) >= 4.5
    strangers = (f"x{number:02}" for number in range(20))
    for mark in marks(known(*registry.names(), *KNOWN, *strangers)).values():
        assert contrast(getattr(mark.colour, theme), paper) >= 3


def test_no_two_colours_of_the_page_share_a_value_or_a_name():
    # Figures are themed by replacing values: two roles with one value would be confused.
    for one, other in itertools.combinations(palette(), 2):
        assert one.light != other.light
        assert one.name != other.name
