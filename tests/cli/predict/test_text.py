"""Figures of `predict` as the terminal shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.cli.predict.text import bounded, quantity


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not stated"),
        (0.0, "0 s"),
        (8.323e-3, "8.323 ms"),
        (1.5e13, "475,321 years"),
        (2.5e-20, "2.5·10⁻⁸ ps"),
    ],
)
def test_quantities_have_prefixes_and_nothing_is_ever_zero_for_unknown(value, shown):
    assert quantity(value, "s") == shown


@given(value=st.floats(1e-12, 9e20))
def test_a_prefix_leaves_one_to_three_digits_before_the_point(value):
    number, unit = quantity(value, "B").split()
    assert 1.0 <= float(number) < 1000.0
    factor = {"p": 1e-12, "n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    factor |= {"P": 1e15, "E": 1e18}
    assert float(number) * factor[unit.removesuffix("B")] == pytest.approx(value, rel=1e-3)


def test_only_a_bound_has_its_sign():
    assert bounded(1e-3, 1e-3, "s") == "1.000 ms"
    assert bounded(None, 1e-3, "s") == "≥ 1.000 ms"
    assert bounded(None, None, "s") == "not stated"
