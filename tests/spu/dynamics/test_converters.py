"""Converters, and thermal noise beside them: what each does to x, and that it is gone in its limit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.solvers import Gram, Thermodynamic
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics.converters import quantize, quantize_each
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

LAMBDA = 0.05
SETTLED = 1e5
IDEAL = Device.ideal()
BITS = np.arange(5, 15)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def readout(ggn: GGN, analog_time: float = SETTLED, **fields: object) -> Tensor:
    solver = Thermodynamic(analog_time=analog_time, device=IDEAL.override(**fields), generator=seeded())
    return solver.solve(ggn, damping=LAMBDA).solution


@pytest.mark.parametrize("field", ["dac_bits", "adc_bits"])
def test_each_bit_of_a_converter_halves_the_error_until_it_is_gone(ggn: GGN, field: str) -> None:
    exact = readout(ggn)
    errors = [oracles.relative_error(readout(ggn, **{field: int(bits)}), exact) for bits in BITS]
    assert np.polyfit(BITS, np.log2(errors), 1)[0] == pytest.approx(-1.0, abs=0.15)
    assert oracles.relative_error(readout(ggn, **{field: 32}), exact) < 1e-8


def test_a_coarse_dac_solves_exactly_for_the_gradient_that_it_gives(ggn: GGN) -> None:
    solution = Gram().solve(ggn, quantize(ggn.gradient, 4), LAMBDA).solution
    assert oracles.relative_error(readout(ggn, dac_bits=4), solution) < 1e-9


def test_the_adc_rounds_what_is_read_and_not_the_state_that_relaxes_on(ggn: GGN) -> None:
    device = IDEAL.override(adc_bits=4)
    relaxation = Thermodynamic(analog_time=3.0, device=device).relax(ggn, None, LAMBDA, None)
    assert torch.equal(relaxation.state, readout(ggn, analog_time=3.0))
    assert torch.equal(relaxation.readout, quantize(relaxation.state, 4))


@pytest.mark.parametrize("samples", [1, 4, 16])
def test_converter_noise_averages_as_one_over_n_whatever_the_spacing(ggn: GGN, samples: int) -> None:
    exact = readout(ggn)
    device = IDEAL.override(adc_noise_volts=0.02, volts_per_unit=0.5)
    solver = Thermodynamic(
        analog_time=SETTLED, device=device, generator=seeded(), samples=samples, spacing=0.0
    )
    draws = torch.stack([solver.solve(ggn, damping=LAMBDA).solution - exact for _ in range(50)])
    expected = (0.02 / 0.5) ** 2 / samples
    assert float(draws.var()) == pytest.approx(expected, rel=5 * math.sqrt(2 / draws.numel()))


def test_without_converter_noise_a_read_is_the_state(ggn: GGN, start: Tensor) -> None:
    quiet = ProgrammedDevice(IDEAL.override(adc_noise_volts=0.0), ggn, None, LAMBDA)
    assert torch.equal(quiet.read(start), start)


@pytest.mark.parametrize("row_sum_noise", [False, True])
def test_thermal_noise_grows_as_the_root_of_the_temperature_and_is_gone_at_zero(
    ggn: GGN, start: Tensor, row_sum_noise: bool
) -> None:
    def noise(kelvin: float) -> Tensor:
        device = IDEAL.override(
            temperature_kelvin=kelvin,
            row_sum_noise=row_sum_noise,
            volts_per_unit=1e-6,
            capacitance_farad=1e-12,
        )
        programmed = ProgrammedDevice(device, ggn, None, LAMBDA, generator=seeded())
        return programmed.sample(start, 2.0, seeded(1))

    cold = noise(0.0)
    assert oracles.relative_error(cold, ProgrammedDevice(IDEAL, ggn, None, LAMBDA).sample(start, 2.0)) < 1e-10
    warm, hot = noise(75.0) - cold, noise(300.0) - cold
    assert float(warm.norm()) > 0.1
    assert oracles.relative_error(hot, 2.0 * warm) < 1e-9


@pytest.mark.parametrize("bits", [None, 1, 2, 5])
def test_a_fixed_range_clips_and_has_levels_of_its_own(bits: int | None) -> None:
    """Against levels listed one by one: 2^bits − 1 from −range to range (one bit has the ends), the nearest is read."""
    limit, volts = 0.8, 0.5
    device = IDEAL.override(adc_bits=bits, adc_range_volts=limit * volts, volts_per_unit=volts)
    signal = torch.linspace(-2.0, 2.0, 400, dtype=torch.float64)
    read = quantize(signal, device.adc_bits, device.adc_range).numpy()
    clipped = np.clip(signal.numpy(), -limit, limit)
    if bits is None:
        assert np.array_equal(read, clipped)
        return
    levels = np.linspace(-limit, limit, 2 if bits == 1 else 2**bits - 1)
    nearest = levels[np.abs(clipped[:, None] - levels).argmin(1)]
    assert np.abs(np.abs(read - clipped) - np.abs(nearest - clipped)).max() < 1e-12
    assert np.isin(np.round(read, 12), np.round(levels, 12)).all()


def test_a_range_that_follows_the_signal_clips_nothing_and_a_fixed_one_acts_at_readout(ggn: GGN) -> None:
    exact = readout(ggn)
    limit = 0.5 * float(exact.abs().max())
    assert torch.equal(readout(ggn, adc_range_volts=limit), exact.clamp(-limit, limit))
    assert torch.equal(readout(ggn, adc_range_volts=10 * limit), exact)
    small = torch.tensor([1e-3, -2e-3], dtype=torch.float64)
    assert torch.equal(quantize(small, 8, 1.0), torch.zeros(2, dtype=torch.float64))  # below half a level


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("bits", [1, 4, 12])
def test_signals_of_a_matrix_are_rounded_one_by_one_in_place_too(bits: int, dim: int) -> None:
    signals = torch.randn(5, 7, generator=seeded()) * torch.logspace(-3, 3, 7)
    signals[2] = 0.0
    expected = torch.stack([quantize(each, bits) for each in signals.unbind(1 - dim)], 1 - dim)
    assert torch.equal(quantize_each(signals, bits, dim=dim), expected)
    assert torch.equal(quantize_each(signals, bits, dim=dim, out=signals), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [1, 2, 16, 32])
def test_signals_down_to_the_least_number_are_rounded_as_others_are(dtype: torch.dtype, bits: int) -> None:
    """In exact arithmetic: each output is within half a level of its input, and the largest is a level itself."""
    about, least = (
        torch.finfo(dtype),
        Fraction(torch.finfo(dtype).smallest_normal) * Fraction(torch.finfo(dtype).eps),
    )
    signal = torch.tensor([1.0, -0.7, 0.3, 0.0], dtype=dtype)
    for power in range(int(math.log2(about.smallest_normal)) - 20, 0, 17):
        scaled = torch.ldexp(signal.to(torch.float64), torch.tensor(power)).to(dtype)
        rows = torch.stack([scaled, signal])  # beside a row of usual size
        largest = max(abs(Fraction(float(value))) for value in scaled)
        level = 2 * largest if bits == 1 else largest / (2 ** (bits - 1) - 1)
        for found in (
            quantize(scaled, bits),
            quantize_each(rows, bits)[0],
            quantize(scaled, bits, float(largest)),
        ):
            errors = [
                abs(Fraction(float(mine)) - Fraction(float(own)))
                for mine, own in zip(found, scaled, strict=True)
            ]
            rounding = largest * Fraction(4 * about.eps) + least
            assert max(errors) <= level / 2 + rounding, (power, found)
            assert abs(Fraction(float(found[0])) - largest) <= rounding
        assert torch.equal(quantize_each(rows, bits)[1], quantize(signal, bits))


def test_levels_of_signals_scaled_by_powers_of_two_are_scaled_likewise() -> None:
    signal = torch.randn(1000, generator=seeded())
    for power in (-120, -100, -60, 100):
        assert torch.equal(quantize(signal * 2.0**power, 12), quantize(signal, 12) * 2.0**power)
