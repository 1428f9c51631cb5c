"""Bills of thermodynamic K-FAC, against tables made by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.layers import Layer
from tngd_bench.spu import Device
from tngd_bench.spu import billing as of_rows
from tngd_bench.spu.description import DEVICE_FIELDS
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


def test_tiles_pairs_and_upkeep_follow_the_rules_of_any_device() -> None:
    """By hand, factors of 5 and 7 in pairs on tiles of 4 × 8 cells: ⌈5/4⌉⌈5/4⌉ = 4 and ⌈7/4⌉⌈7/4⌉ = 4 tiles.

    7 right-hand sides of 10 τ on the first, 5 on the second; 3 copies take ⌈7/3⌉ = 3 and ⌈5/3⌉ = 2 turns.
    """
    device = PAPER.override(
        tile_rows=4, tile_columns=8, cells_per_value=2, cell_write_time_s=1e-7, cell_write_energy_j=1e-12,
        amplifier_power_watt=0.01, standby_power_watt=2.0, hold_power_watt=1.0, hold_time_s=1.0,
        calibration_time_s=1.0, calibration_interval=100, write_endurance=1e6, cell_volts=0.1, cell_siemens=1e-5,
    )  # fmt: skip
    work = KroneckerWorkload((FactorShape(5, 7),), 10.0, copies=3, refresh_interval=4)
    seconds, joules = (bill(device, work) for bill in (billing.latency, billing.energy))
    assert seconds.items["write_cells"] == pytest.approx((4 + 4) * 4 * 1e-7 / 4)
    assert joules.items["write_cells"] == pytest.approx(3 * 2 * 74 * 1e-12 / 4)
    on_each = (3 * 10e-6, 2 * 10e-6)
    assert seconds.items["relax"] == pytest.approx(sum(on_each))
    assert joules.items["relax_amplifiers"] == pytest.approx(3 * 0.01 * (5 * on_each[0] + 7 * on_each[1]))
    cells = (2 * 25, 2 * 49)
    assert joules.items["relax"] == pytest.approx(
        3 * 0.01 * 1e-5 * (cells[0] * on_each[0] + cells[1] * on_each[1])
    )
    assert seconds.items["write_calibration"] == pytest.approx(0.01)
    assert joules.items["relax_standby"] == pytest.approx(2.0 * seconds.total)  # type: ignore[operator]
    assert "relax_hold" not in seconds.items  # every relaxation starts at zero
    parts = billing.parts_of(device, work)
    assert (parts.cells, parts.tiles, parts.amplifiers) == (3 * 148, 3 * 8, 3 * 12)
    assert parts.worn_out_after == 4e6


def test_digital_sums_take_the_time_of_each_relaxation() -> None:
    """Twice in τ: 4 outputs a tile convert at 1 GHz and back at 2 GHz, 1 ns for the sums; two tiles make a sum."""
    device = PAPER.override(
        tile_rows=4, tile_columns=4, partial_sums_per_tau=2.0, adc_rate_hz=1e9, dac_rate_hz=2e9,
        partial_sum_time_s=1e-9, converters_per_tile=1, adc_energy_j=2e-12, dac_energy_j=3e-12,
        partial_sum_energy_j=1e-12, amplifier_power_watt=1.0,
    )  # fmt: skip
    work = KroneckerWorkload((FactorShape(5, 7),), 10.0, copies=3)
    once = 4 * 1e-9 + 4 * 0.5e-9 + 1e-9
    assert billing.latency(device, work).items["relax_sums"] == pytest.approx(2 * 10 * (3 + 2) * once)
    joules = billing.energy(device, work).items
    sums = 20 * 3 * (3 * 5 * (2 * 3e-12 + 3e-12) + 2 * 7 * (2 * 3e-12 + 3e-12))
    assert joules["relax_sums"] == pytest.approx(sums)
    # two amplifiers an output, one on each tile, while it relaxes and while it is held for the sums
    held = 10e-6 + 20 * once
    assert joules["relax_amplifiers"] == pytest.approx(3 * (2 * 5 * 3 + 2 * 7 * 2) * held)


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


def test_fields_that_are_not_billed_change_no_figure_and_all_others_of_a_bill_do() -> None:
    """Every field that changes the bill of J's arrays changes that of the factors too, or is named as not billed."""
    layers = (Layer(20, 30), Layer(30, 10))
    rows = of_rows.Workload(sum(each.parameters for each in layers), 80, layers=layers, batch_size=8)
    work = KroneckerWorkload(FactorShape.of(layers), 50.0)

    def bills(device: Device) -> list[object]:
        found = of_rows.latency(device, rows), of_rows.energy(device, rows)
        return [found, (billing.latency(device, work), billing.energy(device, work))]

    full = PAPER.override(
        hold_time_s=1.0, cell_write_time_s=1e-6, calibration_time_s=1.0, tile_rows=8, tile_columns=8,
        partial_sums_per_tau=1.0, partial_sum_time_s=1e-6, partial_sum_energy_j=1e-9,
        cell_volts=1.0, cell_siemens=1.0, amplifier_power_watt=1.0,
    )  # fmt: skip
    plain = bills(full)
    for name, info in DEVICE_FIELDS.items():
        changed = [False, False]
        for value in (*(info.accepted.words or ()), True, False, 3, 7, 0.25):
            try:
                found = bills(full.override(**{name: value}))
            except (ValueError, TypeError):
                continue
            changed = [was or now != then for was, now, then in zip(changed, found, plain, strict=True)]
        if name in billing.NOT_BILLED:
            assert not changed[1], name
        else:
            assert changed[0] == changed[1], name


def test_a_converter_serves_no_more_nodes_than_an_array_has() -> None:
    """By hand, 3 inputs with bias to 2: 2 runs of 4 nodes and 4 of 2, all turns of one converter each."""
    work = KroneckerWorkload(FactorShape.of([Layer(3, 2)]), 5.0)
    device = PAPER.override(adc_rate_hz=1e6, dac_rate_hz=2e6, nodes_per_converter=100)
    items = billing.latency(device, work).items
    assert items["read_convert"] == pytest.approx((2 * 4 + 4 * 2) * 1e-6)
    assert items["write_convert"] == pytest.approx((2 * 4 + 4 * 2) * 0.5e-6)
