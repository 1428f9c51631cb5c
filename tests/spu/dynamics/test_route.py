"""The route that a device's description names is that of the arrays as they are programmed."""

from __future__ import annotations

import itertools

import pytest
import torch

from tngd_bench.spu import Device, ProgrammedDevice
from tngd_bench.spu.dynamics.arrays import program
from tngd_bench.spu.dynamics.route import arrays_are_alike, device_route, is_one_factor

ERRORS: tuple[dict[str, float], ...] = (
    {},
    {"array_bits": 4},
    {"programming_error": 0.1},
    {"stuck_off": 0.2},
    {"stuck_on": 0.2, "array_bits": 4},
    {"amplifier_gain": 1e4},
    {"amplifier_bandwidth_hz": 1e9},
    {"conductance_max_siemens": 1e-4},
)


@pytest.mark.parametrize("errors", ERRORS, ids=str)
@pytest.mark.parametrize("ensemble", [1, 3])
def test_what_is_said_of_the_arrays_is_what_they_hold(errors: dict[str, float], ensemble: int) -> None:
    factor = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for shared, middle in itertools.product((False, True), repeat=2):
        device = Device.ideal().override(shared_array=shared, hessian_array=middle, **errors)
        held = program(factor, device, torch.Generator().manual_seed(1), (0, ensemble))
        assert is_one_factor(device, ensemble) is held.symmetric
        assert arrays_are_alike(device, ensemble) is torch.equal(held.first, held.last)
        # the product as a whole is symmetric or not, whichever arrays it goes through
        product = held.last.T @ (held.first if held.middle is None else held.middle @ held.first)
        if is_one_factor(device, ensemble):
            assert torch.allclose(product, product.T)


@pytest.mark.parametrize(
    ("fields", "name", "method"),
    [
        ({}, "spectral", "gram"),
        ({"programming_error": 0.01, "shared_array": True, "hessian_array": False}, "spectral", "gram"),
        ({"programming_error": 0.01}, "arrays", "arrays"),
        ({"capacitor_mismatch": 0.1}, "mismatch", "dense (mismatch)"),
        ({"capacitor_mismatch": 0.1, "programming_error": 0.01}, "stepped (mismatch)", "stepped (mismatch)"),
        ({"capacitor_mismatch": 0.1, "rail_volts": 1.0}, "stepped (rails)", "stepped (rails)"),
    ],
    ids=str,
)
def test_a_programmed_device_goes_by_the_named_route(
    fields: dict[str, object], name: str, method: str
) -> None:
    from tests.spu import circuit

    device = Device.ideal().override(**fields)
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(3, 6, generator=generator, dtype=torch.float64).numpy()
    programmed = ProgrammedDevice(device, circuit.Factor(factor, factor[0]), None, 0.5, generator=generator)
    assert programmed.route == device_route(device)
    assert programmed.route.name == name
    assert programmed.route.reason
    assert programmed.method == method
