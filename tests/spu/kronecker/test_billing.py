"""Bills of thermodynamic K-FAC, against tables made by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.layers import Layer
from tngd_bench.spu import Device
from tngd_bench.spu.kronecker import billing
from tngd_bench.spu.kronecker.billing import FactorShape, KroneckerWorkload

PAPER = Device.preset("paper")
SQUARE = KroneckerWorkload((FactorShape(1000, 1000),), 50.0)


def test_one_square_layer_of_1000() -> None:
    """2·10⁶ words of arrays and 4·10⁶ of right-hand sides and answers: 96 Mbit, 1.92 ms at 50 Gb/s; 2,000 runs."""
    ledger = billing.latency(PAPER, SQUARE)
    assert billing.words_on_link(SQUARE) * 16 == 96e6
    items = {"write_gradient": 0.64e-3, "write_arrays": 0.64e-3, "read": 0.64e-3, "relax": 100e-3}
    for name, seconds in items.items():
        assert ledger.items[name] == pytest.approx(seconds, rel=1e-12), name
    assert {name: ledger.items[name] for name in set(ledger.items) - set(items)} == {
        "write_cells": 0.0,
        "write_convert": 0.0,
        "read_convert": 0.0,
    }
    assert ledger.total == pytest.approx(101.92e-3, rel=1e-12)


def test_two_layers_with_copies_and_refreshes() -> None:
    """By hand, 784 inputs and a bias to 100, 100 and a bias to 10; 32 copies; refreshed each 100 iterations.

    | | n_in | n_out | n_in² + n_out² | n_in·n_out | ⌈n_out/32⌉ | ⌈n_in/32⌉ |
    | 1 | 785 | 100 | 626,225 | 78,500 | 4 | 25 |
    | 2 | 101 | 10 | 10,301 | 1,010 | 1 | 4 |
    """
    factors = FactorShape.of([Layer(784, 100), Layer(100, 10)])
    assert factors == (FactorShape(785, 100), FactorShape(101, 10))
    work = KroneckerWorkload(factors, 50.0, copies=32, refresh_interval=100)
    device = PAPER.override(
        cell_write_time_s=1e-7,
        cell_write_energy_j=1e-12,
        dac_rate_hz=1e6,
        adc_rate_hz=2e6,
        nodes_per_converter=8,
        dac_energy_j=2e-12,
        adc_energy_j=3e-12,
        link_energy_j_per_bit=1e-12,
        relax_power_watt=0.5,
    )
    assert work.rounds == 34
    assert billing.words_on_link(work) == 4 * 79_510 + 6_365.26
    word = 16 / 50e9
    assert dict(billing.latency(device, work).items) == pytest.approx(
        {
            "write_gradient": 2 * 79_510 * word,
            "write_arrays": 6_365.26 * word,
            "write_cells": (785 + 100 + 101 + 10) * 1e-7 / 100,
            "write_convert": 34 * 8 * 1e-6,
            "relax": 34 * 50e-6,
            "read_convert": 34 * 8 * 0.5e-6,
            "read": 2 * 79_510 * word,
        },
        rel=1e-12,
    )
    assert dict(billing.energy(device, work).items) == pytest.approx(
        {
            "write_gradient": 2 * 79_510 * 16e-12,
            "write_arrays": 6_365.26 * 16e-12,
            "write_cells": 32 * 6_365.26 * 1e-12,
            "write_convert": 2 * 79_510 * 2e-12,
            "relax": 34 * 50e-6 * 0.5 * 32,
            "read_convert": 2 * 79_510 * 3e-12,
            "read": 2 * 79_510 * 16e-12,
        },
        rel=1e-12,
    )


@pytest.mark.parametrize(("parallel", "steps"), [("array", 2), ("row", 12), ("cell", 74)])
def test_cells_are_written_an_array_a_row_or_one_at_a_time(parallel: str, steps: int) -> None:
    device = PAPER.override(cell_write_time_s=1e-7, write_parallel=parallel)
    work = KroneckerWorkload((FactorShape(5, 7),), 1.0, copies=3)
    assert billing.latency(device, work).items["write_cells"] == pytest.approx(steps * 1e-7)


def test_a_scale_slows_the_passes_of_its_own_factor() -> None:
    """7 rows under A′ at half the scale and 5 columns under Γ′ at a quarter: 14 + 20 relaxations' time."""
    work = KroneckerWorkload((FactorShape(5, 7, (0.5, 0.25)),), 10.0, scales_known=True)
    device = PAPER.override(conductance_max_siemens=1e-3)
    assert billing.latency(device, work).items["relax"] == pytest.approx(34 * 10e-6)
    unknown = billing.latency(device, KroneckerWorkload((FactorShape(5, 7),), 10.0))
    assert unknown.not_stated == ("relax_slowdown",)
    assert unknown.total is None


def test_what_has_no_price_is_not_stated() -> None:
    assert billing.energy(PAPER, SQUARE).at_least is None
    unpriced = PAPER.override(cell_write_time_s=None, adc_rate_hz=None)
    assert billing.latency(unpriced, SQUARE).not_stated == ("write_cells", "read_convert")


def test_the_break_even_rate_by_hand() -> None:
    """100 ms of relaxations and 5 ms of a host leave 15 ms of 120 for 96 Mbit; 105 ms leave nothing."""
    assert billing.break_even_link_rate(PAPER, SQUARE, 0.120, 0.005) == pytest.approx(96e6 / 0.015)
    assert billing.break_even_link_rate(PAPER, SQUARE, 0.105, 0.005) is None


@given(
    shapes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=3),
    competitor_ms=st.floats(0.01, 50.0),
)
def test_the_break_even_number_of_copies_is_the_least(
    shapes: list[tuple[int, int]], competitor_ms: float
) -> None:
    factors = tuple(FactorShape(*shape) for shape in shapes)
    seconds = competitor_ms * 1e-3

    def taken(copies: int) -> float | None:
        return billing.latency(PAPER, KroneckerWorkload(factors, 50.0, copies)).total

    by_trying = next((copies for copies in range(1, 301) if taken(copies) <= seconds), None)  # type: ignore[operator]
    found = billing.break_even_copies(PAPER, KroneckerWorkload(factors, 50.0), seconds)
    assert found == by_trying


@pytest.mark.parametrize(
    ("field", "value"), [("analog_time", 0.0), ("copies", 0), ("refresh_interval", 1.5), ("factors", ())]
)
def test_a_bad_workload_is_refused_by_name(field: str, value: object) -> None:
    given: dict[str, object] = {"factors": (FactorShape(2, 2),), "analog_time": 1.0, field: value}
    with pytest.raises((ValueError, TypeError), match=field):
        KroneckerWorkload(**given)  # type: ignore[arg-type]


def test_each_refinement_takes_both_passes_again_and_no_arrays() -> None:
    """By hand as above: 1.28 ms of right-hand sides, 0.64 ms of arrays, 200 ms of relaxation."""
    work = KroneckerWorkload((FactorShape(1000, 1000),), 50.0, refinements=1)
    items = billing.latency(PAPER, work).items
    expected = {"write_gradient": 1.28e-3, "write_arrays": 0.64e-3, "read": 1.28e-3, "relax": 200e-3}
    assert {name: items[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert (work.rounds, billing.words_on_link(work)) == (4000, 10e6)
