"""Amplifiers of all stages, their lag and noise, against the circuit in volts and seconds by scipy."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from tests.spu import circuit
from tests.spu.circuit import Factor
from tngd_bench.spu import Device, UnstableDeviceError
from tngd_bench.spu.description import BOLTZMANN
from tngd_bench.spu.dynamics.circuit import stages
from tngd_bench.spu.dynamics.mismatch import node_rates
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

Array = NDArray[np.float64]
M, N, LAMBDA, T = 3, 6, 0.2, 4.0
R, C, GBW, VOLTS = 2e3, 5e-10, 2e8, 0.5
HOT, NOISE = 1e7, 2e-7
RNG = np.random.default_rng(0)
FACTOR, GRADIENT, START = RNG.normal(size=(M, N)), RNG.normal(size=N), RNG.normal(size=N)
SILENT = Device.ideal().override(
    resistance_ohm=R,
    capacitance_farad=C,
    volts_per_unit=VOLTS,
    amplifier_bandwidth_hz=GBW,
    lagging_stages="all",
)
NOISY = SILENT.override(temperature_kelvin=HOT, first_stage_noise=True, amplifier_noise_v_per_rthz=NOISE)


class Circuit(NamedTuple):
    """dw/dt = −F w + f + noise of intensity Q, w in volts and t in seconds; `scale` s."""

    F: Array
    f: Array
    Q: Array
    scale: float


def si(device: Device, middle: bool) -> Circuit:
    """The circuit of nodes x, and outputs y, u (only with a middle array) and v, from its parts in SI units."""
    largest = np.abs(FACTOR).max()
    span = math.inf if device.conductance_max_siemens is None else device.conductance_max_siemens * R
    a, b = min(1.0, span / largest), min(1.0, span)
    s = a * a * (b if middle else 1.0)
    matrices = [a * FACTOR, *([b * np.eye(M)] if middle else []), a * FACTOR.T]
    gains = [1.0 + np.abs(matrix).sum(1) for matrix in matrices]
    capacitors = np.ones(N)
    if device.capacitor_mismatch:
        like = torch.zeros(N, dtype=torch.float64)
        capacitors = 1.0 / node_rates(device.capacitor_mismatch, device.instance, like).numpy()
    size = N + sum(map(len, gains))
    F, Q = np.zeros((size, size)), np.zeros(size)
    rate = 1.0 / (R * C * capacitors)
    F[:N, :N], F[:N, size - N :] = np.diag(rate * s * LAMBDA), np.diag(rate)
    kelvin, e_n = device.temperature_kelvin or 0.0, device.amplifier_noise_v_per_rthz or 0.0
    Q[:N] = 2.0 * BOLTZMANN * kelvin / (R * C**2) / capacitors**2  # κ₀ = kT/C of R and C alone
    to, since = N, 0
    for number, (matrix, gain) in enumerate(zip(matrices, gains, strict=True)):
        tau = gain / (2.0 * math.pi * GBW)
        rows, columns = slice(to, to + len(gain)), slice(since, since + matrix.shape[1])
        F[rows, columns] = -matrix / tau[:, None]
        F[rows, rows] = np.diag(1.0 / tau)
        density = 0.5 * (gain * e_n) ** 2  # two-sided
        if number == 0 and device.first_stage_noise:
            density = density + 2.0 * BOLTZMANN * kelvin * R * gain
        Q[rows] = density / tau**2
        to, since = to + len(gain), since + matrix.shape[1]
    return Circuit(F, np.concatenate([rate * s * GRADIENT * VOLTS, np.zeros(size - N)]), np.diag(Q), s)


def settled(middle: bool, a: float = 1.0, b: float = 1.0) -> Array:
    outputs = [START * VOLTS]
    for matrix in (a * FACTOR, *([b * np.eye(M)] if middle else []), a * FACTOR.T):
        outputs.append(matrix @ outputs[-1])
    return np.concatenate(outputs)


def programmed(device: Device) -> ProgrammedDevice:
    return ProgrammedDevice(device, Factor(FACTOR, GRADIENT), None, LAMBDA)


@pytest.mark.parametrize("middle", [True, False])
@pytest.mark.parametrize("mismatch", [None, 0.1])
def test_the_mean_is_that_of_the_circuit_integrated_in_seconds(middle: bool, mismatch: float | None) -> None:
    device = SILENT.override(hessian_array=middle, capacitor_mismatch=mismatch)
    of = si(device, middle)
    run = solve_ivp(
        lambda _, w: of.f - of.F @ w,
        (0.0, T * R * C),
        settled(middle),
        method="LSODA",
        rtol=1e-12,
        atol=1e-14,
    )
    found = programmed(device)
    assert found.method == "stages"
    x = found.sample(torch.as_tensor(START), T).numpy()
    assert np.abs(x - run.y[:N, -1] / VOLTS).max() < 1e-8
    assert found.margin == pytest.approx(np.linalg.eigvals(of.F).real.min() * R * C, rel=1e-9)


@pytest.mark.parametrize("middle", [True, False])
@pytest.mark.parametrize("siemens", [None, 0.6 / R])
def test_the_covariance_is_that_of_the_circuit_in_volts(middle: bool, siemens: float | None) -> None:
    device = NOISY.override(hessian_array=middle, conductance_max_siemens=siemens, capacitor_mismatch=0.1)
    of = si(device, middle)
    expected = circuit.covariance(of.F, of.Q, T * R * C / of.scale)[:N, :N] / VOLTS**2
    found = programmed(device)
    assert found.scale == pytest.approx(of.scale)
    network = found._network
    assert isinstance(network, stages.AllStages)
    actual = network._step(T).C[:N, :N].numpy()
    assert np.abs(actual - expected).max() < 1e-8 * np.abs(expected).max()
    assert found.noisy
    root = network._root(T)
    assert torch.allclose(
        root @ root.T, network._step(T).C, atol=1e-12 * float(network._step(T).C.abs().max())
    )


def test_only_the_first_stage_lags_unless_all_are_said_to() -> None:
    first, every = (
        programmed(SILENT.override(lagging_stages=which)).sample(torch.as_tensor(START), T)
        for which in ("first", "all")
    )
    ideal = programmed(SILENT.override(amplifier_bandwidth_hz=None, amplifier_gain=1e15)).sample(
        torch.as_tensor(START), T
    )
    assert 0 < float((first - ideal).norm()) < float((every - ideal).norm())
    faster = [
        programmed(SILENT.override(amplifier_bandwidth_hz=hertz)).sample(torch.as_tensor(START), T)
        for hertz in (1e10, 2e10)
    ]
    errors = [float((each - ideal).norm()) for each in faster]
    assert errors[0] < 0.01 * float(ideal.norm())
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.02)


def test_stages_that_lag_far_are_an_oscillator_and_refused() -> None:
    slow = SILENT.override(amplifier_bandwidth_hz=1e6)
    with pytest.raises(UnstableDeviceError):
        programmed(slow)
    assert np.linalg.eigvals(si(dataclasses.replace(slow), True).F).real.min() != 0.0


def test_a_state_carries_the_outputs_of_all_stages() -> None:
    device = programmed(SILENT)
    one = device.advance(device.settled(torch.as_tensor(START)), T)
    two = device.advance(device.advance(device.settled(torch.as_tensor(START)), T / 4), 3 * T / 4)
    assert torch.allclose(one.nodes, two.nodes, rtol=1e-10, atol=1e-12)


def test_a_circuit_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "LARGEST_STATES", 10)
    with pytest.raises(
        ValueError, match="lagging_stages = 'all' at m = 3, N = 6 has 18 states, more than the 10"
    ):
        programmed(SILENT)
