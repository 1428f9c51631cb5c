"""What is billed beside the steps of an iteration, by hand."""

from __future__ import annotations

import math

import pytest

from tngd_bench.spu import Device
from tngd_bench.spu.billing import PRICED_BY, Workload, energy, latency
from tngd_bench.spu.ledger import ITEM_NAMES

PAPER = Device.preset("paper")
N, M = 1_000, 20
WORK = Workload.of(N, M, 50.0, samples=3, spacing=5.0)
RELAXED = 60e-6
"""Seconds of 50 τ and two more readouts after 5 τ each, τ = 1 µs."""


def added(**fields: object) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """The items that fields add to the bill of the paper's device: seconds, joules."""
    device = PAPER.override(**fields)
    found = []
    for bill in (latency, energy):
        before, after = bill(PAPER, WORK).items, bill(device, WORK).items
        assert {name: after[name] for name in before} == before
        found.append({name: value for name, value in after.items() if name not in before})
    return found[0], found[1]


def test_amplifiers_work_while_the_device_relaxes() -> None:
    seconds, joules = added(amplifier_power_watt=0.056)
    assert seconds == {"relax_amplifiers": 0.0}
    assert joules == {"relax_amplifiers": pytest.approx(0.056 * (M + M + N) * RELAXED)}


def test_standby_lasts_as_long_as_the_device_takes() -> None:
    seconds, joules = added(standby_power_watt=2.0)
    assert seconds == {"relax_standby": 0.0}
    assert joules == {"relax_standby": pytest.approx(2.0 * latency(PAPER, WORK).total)}  # type: ignore[operator]
    unpriced = PAPER.override(standby_power_watt=2.0, cell_write_time_s=None)
    assert energy(unpriced, WORK).items["relax_standby"] is None


def test_a_carried_state_is_held_and_leaks_by_its_time_constant() -> None:
    seconds, joules = added(hold_power_watt=0.5, hold_time_s=0.1)
    assert (seconds, joules) == ({"relax_hold": 0.0}, {"relax_hold": pytest.approx(0.05)})
    device = PAPER.override(hold_power_watt=0.5, hold_time_s=0.1)
    assert "relax_hold" not in latency(device, Workload.of(N, M, 50.0, start="zero")).items
    assert energy(device.override(hold_time_s=None), WORK).items["relax_hold"] is None
    assert device.override(leak_time_constant_s=0.2).held == pytest.approx(math.exp(-0.5))
    assert PAPER.held == 1.0
    with pytest.raises(ValueError, match="hold_time_s must be given with leak_time_constant_s"):
        PAPER.override(leak_time_constant_s=0.2)


def test_a_calibration_is_shared_by_the_iterations_up_to_the_next() -> None:
    seconds, joules = added(calibration_time_s=1.0, calibration_energy_j=3.0, calibration_interval=1000)
    assert (seconds, joules) == ({"write_calibration": 1e-3}, {"write_calibration": 3e-3})
    assert added(calibration_energy_j=3.0)[0] == {"write_calibration": None}


def test_power_of_the_cells_is_computed_where_none_is_stated() -> None:
    """V²G of each of m(m + 2N) resistors, twice as many in pairs."""
    device = PAPER.override(cell_volts=0.2, cell_siemens=25e-6)
    cells = M * (M + 2 * N)
    assert energy(device, WORK).items["relax"] == pytest.approx(cells * 0.04 * 25e-6 * 50e-6)
    assert energy(device, WORK).items["relax_average"] == pytest.approx(cells * 0.04 * 25e-6 * 10e-6)
    pairs = energy(device.override(cells_per_value=2), WORK).items["relax"]
    assert pairs == pytest.approx(2 * cells * 0.04 * 25e-6 * 50e-6)
    stated = energy(device.override(relax_power_watt=1.0), WORK).items["relax"]
    assert stated == pytest.approx(50e-6)
    assert energy(device.override(cell_siemens=None), WORK).items["relax"] is None


def test_every_item_has_words_and_a_price() -> None:
    device = PAPER.override(
        partial_sums_per_tau=1.0, amplifier_power_watt=1.0, standby_power_watt=1.0, hold_power_watt=1.0,
        hold_time_s=1.0, calibration_time_s=1.0,
    )  # fmt: skip
    names = set(latency(device, WORK).items)
    assert {"relax_sums", "relax_amplifiers", "relax_standby", "relax_hold", "write_calibration"} <= names
    assert names <= set(ITEM_NAMES)
    assert names <= set(PRICED_BY)
    assert set(energy(device, WORK).items) == names
