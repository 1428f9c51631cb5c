import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.analysis import quantities


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (1.234e-9, "1.23 ns"),
        (45.6e-6, "45.6 µs"),
        (999.9e-6, "1.00 ms"),
        (8.323e-3, "8.32 ms"),
        (1.5, "1.50 s"),
        (119.0, "119 s"),
        (180.0, "3.00 min"),
        (14 * 3600.0, "14.0 h"),
        (math.inf, "∞"),
        (math.nan, "–"),
    ],
)
def test_seconds(value, text):
    assert quantities.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.0, "1,234"),
        (0.034567, "0.0346"),
        (9.999, "10.0"),
        (1e6, "10⁶"),
        (2.5e7, "2.5·10⁷"),
        (-1.26e-9, "−1.26·10⁻⁹"),
        (math.nan, "–"),
    ],
)
def test_significant(value, text):
    assert quantities.significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01, "0.01"),
        (1e-4, "10⁻⁴"),
        (2.5e-5, "2.5·10⁻⁵"),
        (8.0, "8"),
        (0.0, "0"),
        (50000.0, "50,000"),
        (5e10, "5·10¹⁰"),
        (1234567.0, "1.234567·10⁶"),
        (0.1234568, "0.1234568"),
        (0.1 + 0.2, "0.3"),
    ],
)
def test_a_chosen_level_keeps_only_its_own_digits(value, text):
    assert quantities.level(value) == text


@given(st.integers(10**13, 10**14 - 2), st.integers(-40, 20))
def test_no_two_levels_are_written_alike(digits, exponent):
    """Neighbours of 14 digits, as a study may state them, of any size."""
    one, other = float(f"{digits}e{exponent}"), float(f"{digits + 1}e{exponent}")
    assert quantities.level(one) != quantities.level(other)
    assert quantities.level(-one) != quantities.level(one)


def test_spread_is_in_the_unit_of_the_median():
    assert quantities.seconds_with_spread(1.2e-3, 0.9e-3, 1.5e-3) == "1.20 ms [0.900, 1.50]"


def test_percent_and_memory():
    assert quantities.percent(0.832) == "83.2 %"
    assert quantities.percent(0.9) == "90 %"
    assert quantities.percent(1e-6) == "<0.1 %"
    assert quantities.memory(3 * 2**30) == "3.00 GiB"
    assert quantities.count(43706.0) == "43,706"


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (5e10, "50 Gb/s"),
        (5.12e11, "512 Gb/s"),
        (2.68e13, "26.8 Tb/s"),
        (1e9, "1 Gb/s"),
        (float("inf"), "no rate"),
        (1.0, "1 b/s"),
        (0.0773, "less than 1 b/s"),
    ],
)
def test_link_rates_have_the_unit_that_fits(rate, text):
    assert quantities.bit_rate(rate) == text


def test_energies_have_the_unit_that_fits():
    assert quantities.joules(6.5e-12) == "6.50 pJ"
    assert quantities.joules(0.0) == "0 J"
    assert quantities.joules(1234.0) == "1.23 kJ"


def test_an_exponent_and_its_interval_have_the_same_digits():
    assert quantities.exponent(0.0156, -0.0074, 0.0314) == "0.02 [−0.01, 0.03]"
    assert quantities.exponent(1.1, -1.0, 3.2) == "1.10 [not determined]"


@pytest.mark.parametrize(("low", "high"), [(1e-12, 1e15), (0.0, math.inf), (1e-3, 11.0)])
def test_an_interval_that_determines_nothing_says_so_in_place_of_its_ends(low, high):
    assert quantities.interval(low, high) == "[not determined]"
    assert quantities.ratio(1.0, low, high) == "1.00× [not determined]"


@pytest.mark.parametrize(
    ("low", "high"), [(0.5, 900.0), (0.0, 3.0), (-40.0, 2e5), (0.0, 0.0), (2.0, math.inf)]
)
def test_an_interval_that_tells_something_has_its_ends(low, high):
    assert quantities.interval(low, high) == quantities.span(low, high)


@pytest.mark.parametrize(
    ("value", "text"),
    [(86.46e6, "2.74 years"), (1.175e12, "37,234 years"), (3 * 86_400, "3.00 days"), (47 * 3600, "47.0 h")],
)
def test_long_times_are_in_units_people_use(value, text):
    assert quantities.seconds(value) == text
    assert quantities.seconds_with_spread(value, value, value).startswith(text)
