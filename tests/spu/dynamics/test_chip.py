"""What belongs to a chip: the same in every precision, each purpose by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tngd_bench.spu import Device
from tngd_bench.spu.dynamics import arrays as programming
from tngd_bench.spu.dynamics.mismatch import node_rates

DEAD = Device.ideal().override(stuck_off=0.3, stuck_on=0.1)


def factor(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(60, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)


def dead(device: Device, dtype: torch.dtype = torch.float64, member: tuple[int, int] = (0, 1)) -> Tensor:
    values = factor(dtype)
    held = programming.program(values, device, member=member).first
    return (held == 0.0) | (held.abs() == values.abs().max())


def test_dead_cells_of_a_chip_do_not_depend_on_the_precision() -> None:
    assert torch.equal(dead(DEAD), dead(DEAD, torch.float32))
    assert not torch.equal(dead(DEAD), dead(DEAD.override(instance=1)))


@pytest.mark.parametrize("member", range(4))
def test_rounding_thresholds_are_drawn_apart_from_dead_cells(member: int) -> None:
    """Values midway between two levels: of the live cells half are rounded up in every member of an ensemble."""
    device = DEAD.override(array_bits=4)
    values = torch.full((100, 300), 0.5 / 7.0, dtype=torch.float64)
    values[0, 0] = 1.0
    held = programming.program(values, device, member=(member, 4)).first
    live = programming.program(values, DEAD).first == 0.5 / 7.0
    up = held[live] > 0.5 / 7.0
    assert float(up.double().mean()) == pytest.approx(0.5, abs=4.5 * 0.5 / np.sqrt(int(live.sum())))


def test_dead_cells_are_drawn_apart_from_the_capacitors() -> None:
    like = torch.ones(20_000, dtype=torch.float64)
    deviation = 1.0 / node_rates(0.01, 0, like) - 1.0
    gone = (
        programming.program(torch.ones(1, 20_000).double() * torch.linspace(0.1, 1, 20_000), DEAD).first[0]
        == 0.0
    )
    correlation = float(torch.corrcoef(torch.stack([deviation, gone.double()]))[0, 1])
    assert abs(correlation) < 4.5 / np.sqrt(20_000)


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_an_ensemble_writes_the_levels_that_a_single_programming_has(bits: int) -> None:
    device = Device.ideal().override(array_bits=bits)
    values = factor()
    grid = torch.linspace(-1.0, 1.0, 2**bits - 1, dtype=torch.float64) * values.abs().max()
    for member in [(0, 1), *((k, 3) for k in range(3))]:
        written = programming.program(values, device, member=member).first
        assert float((written.unsqueeze(-1) - grid).abs().amin(-1).max()) < 1e-12


def test_an_array_of_one_bit_is_refused_because_it_has_no_zero() -> None:
    with pytest.raises(
        ValueError, match="array_bits must be an integer >= 2 and <= 32, not 1; None means ideal"
    ):
        Device(array_bits=1)
    assert Device(adc_bits=1).adc_bits == 1


def test_an_identity_stays_one_at_every_resolution_that_is_accepted() -> None:
    for bits in (2, 3, 8):
        device = Device.ideal().override(array_bits=bits, programming_error=1e-9)
        middle = programming.program(factor()[:6], device, torch.Generator().manual_seed(0)).middle
        assert middle is not None
        assert float((middle - torch.eye(6, dtype=torch.float64)).abs().max()) < 1e-8


@pytest.mark.parametrize("instance", [0, 2**63, 2**64 - 1, 2**64, 10**40])
def test_instances_of_any_size_are_chips_of_their_own(instance: int) -> None:
    device = Device.ideal().override(capacitor_mismatch=0.1, stuck_off=0.3, instance=instance)
    nodes = torch.zeros(50, dtype=torch.float64)
    rates = node_rates(0.1, device.instance, nodes)
    assert torch.equal(rates, node_rates(0.1, instance, nodes))
    assert not torch.equal(rates, node_rates(0.1, instance + 1, nodes))
    assert not torch.equal(dead(device), dead(device.override(instance=instance + 1)))


@pytest.mark.parametrize("pairs", [1, 2])
def test_an_ensemble_rounds_arrays_of_the_least_values_as_others(pairs: int) -> None:
    device = Device.ideal().override(array_bits=12, cells_per_value=pairs)
    values, tiny = factor(torch.float32), 2.0**-130
    for member in range(3):
        usual = programming.program(values, device, member=(member, 3)).first
        least = programming.program(values * tiny, device, member=(member, 3)).first
        error = (least.to(torch.float64) - usual.to(torch.float64) * tiny).abs().max()
        # values below the normal numbers have lost digits themselves, by which one may fall on the other side
        assert float(error) <= 1.01 * tiny * float(values.abs().max()) / (2 ** (10 + pairs) - 1)
