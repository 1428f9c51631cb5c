"""Noise of amplifiers that do not lag, against the Lyapunov equation of the circuit in volts and seconds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.spu import circuit
from tests.spu.circuit import Factor
from tngd_bench.spu import Device
from tngd_bench.spu.description import BOLTZMANN
from tngd_bench.spu.dynamics.network import LinearNetwork
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

M, N, LAMBDA, T = 3, 6, 0.2, 4.0
R, C, VOLTS, HOT, NOISE = 2e3, 5e-10, 0.5, 1e7, 2e-7
FACTOR = np.random.default_rng(0).normal(size=(M, N))
DEVICE = Device.ideal().override(resistance_ohm=R, capacitance_farad=C, volts_per_unit=VOLTS)
GAIN = 50.0


def covariance(device: Device) -> np.ndarray:
    """Of x after T, assembled from the propagator: no draws."""
    found = ProgrammedDevice(device, Factor(FACTOR, np.zeros(N)), None, LAMBDA)
    assert found.method == "arrays"
    assert found.noisy
    network = found._network
    assert isinstance(network, LinearNetwork)
    step, last = network._propagator(T), network._arrays.last
    assert step.X is not None
    assert step.C is not None
    variance = network._variance.expand(N)
    cross = last.T @ (step.X[:M] @ network._arrays.first * variance)
    total = torch.diag(step.spread * variance) - cross - cross.T + last.T @ step.C[:M, :M] @ last
    return np.asarray(total)


def in_volts(device: Device, middle: bool = True) -> np.ndarray:
    """Noise of each output, white in V²/Hz, drives the nodes through the arrays behind it."""
    gain = [1.0 + np.abs(FACTOR).sum(1), np.full(M, 2.0), 1.0 + np.abs(FACTOR).sum(0)]
    loss = [1.0 / (1.0 + each / (device.amplifier_gain or math.inf)) for each in gain]
    e_n, kelvin = device.amplifier_noise_v_per_rthz or 0.0, device.temperature_kelvin or 0.0
    density = [0.5 * (each * e_n) ** 2 for each in gain]
    if device.first_stage_noise:
        density[0] = density[0] + 2.0 * BOLTZMANN * kelvin * R * gain[0]
    weights = loss[0] * (loss[1] if middle else 1.0)
    drift = (FACTOR.T @ np.diag(weights) @ FACTOR + LAMBDA * np.eye(N)) / (R * C)
    force = (
        FACTOR.T @ np.diag(weights**2 * density[0] + (loss[1] ** 2 * density[1] if middle else 0.0)) @ FACTOR
    )
    force += np.diag(density[2])
    diffusion = force / (R * C) ** 2 + 2.0 * BOLTZMANN * kelvin / (R * C**2) * np.eye(N)
    return np.asarray(circuit.covariance(drift, diffusion, T * R * C) / VOLTS**2)


@pytest.mark.parametrize("middle", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {"amplifier_noise_v_per_rthz": NOISE},
        {"temperature_kelvin": HOT, "first_stage_noise": True},
        {"temperature_kelvin": HOT, "amplifier_noise_v_per_rthz": NOISE, "amplifier_gain": GAIN},
    ],
)
def test_noise_of_the_stages_by_itself(middle: bool, fields: dict[str, object]) -> None:
    device = DEVICE.override(hessian_array=middle, **fields)
    expected = in_volts(device, middle)
    assert np.abs(covariance(device) - expected).max() < 1e-8 * np.abs(expected).max()


def test_noise_of_amplifiers_that_lag_is_filtered() -> None:
    """A first stage with a pole at 1/ε: its noise enters the state of the amplifier."""
    gbw = 1e8
    device = DEVICE.override(
        hessian_array=False, amplifier_noise_v_per_rthz=NOISE, amplifier_bandwidth_hz=gbw
    )
    gain, last = 1.0 + np.abs(FACTOR).sum(1), 1.0 + np.abs(FACTOR).sum(0)
    lag = gain / (2.0 * math.pi * gbw)
    drift = np.block(
        [[LAMBDA * np.eye(N) / (R * C), FACTOR.T / (R * C)], [-FACTOR / lag[:, None], np.diag(1.0 / lag)]]
    )
    diffusion = np.diag(
        np.concatenate([0.5 * (last * NOISE / (R * C)) ** 2, 0.5 * (gain * NOISE / lag) ** 2])
    )
    expected = circuit.covariance(drift, diffusion, T * R * C)[:N, :N] / VOLTS**2
    assert np.abs(covariance(device) - expected).max() < 1e-8 * np.abs(expected).max()


def test_draws_have_that_covariance() -> None:
    device = DEVICE.override(amplifier_noise_v_per_rthz=NOISE)
    found = ProgrammedDevice(device, Factor(FACTOR, np.zeros(N)), None, LAMBDA)
    generator, zero = torch.Generator().manual_seed(0), torch.zeros(N, dtype=torch.float64)
    count = 4000
    draws = torch.stack([found.sample(zero, T, generator) for _ in range(count)]).numpy()
    white = np.linalg.solve(np.linalg.cholesky(in_volts(device)), draws.T)
    assert np.abs(np.cov(white) - np.eye(N)).max() < 6.5 / math.sqrt(count)


@pytest.mark.parametrize("field", [{"rail_volts": 1.0}, {"capacitor_mismatch": 0.1}])
def test_it_is_not_simulated_in_steps(field: dict[str, float]) -> None:
    device = DEVICE.override(amplifier_noise_v_per_rthz=NOISE, **field)
    with pytest.raises(ValueError, match="amplifier_noise_v_per_rthz cannot be simulated together with"):
        ProgrammedDevice(device, Factor(FACTOR, np.zeros(N)), None, LAMBDA)
