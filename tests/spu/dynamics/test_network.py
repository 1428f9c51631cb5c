"""The non-symmetric drift of separate arrays against scipy's matrix exponentials on the whole N-space."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests import oracles
from tests.spu import circuit
from tngd_bench.curvature.operator import Shifted
from tngd_bench.spu import Device
from tngd_bench.spu.dynamics.arrays import Arrays, UnstableDeviceError
from tngd_bench.spu.dynamics.network import LinearNetwork
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

M, N, LAMBDA = 4, 9, 0.05
TIMES = [1e-3, 1.0, 50.0, 1e4]


def arrays(error: float = 0.1, lag: float | None = None, middle: bool = True, seed: int = 0) -> Arrays:
    torch.manual_seed(seed)
    factor = torch.randn(M, N, dtype=torch.float64)
    last = factor + error * torch.randn(M, N, dtype=torch.float64)
    held = torch.eye(M, dtype=torch.float64) + error * torch.randn(M, M, dtype=torch.float64)
    lags = None if lag is None else lag * torch.linspace(0.5, 1.5, M, dtype=torch.float64)
    return Arrays(factor, last, held if middle else None, lags)


def whole(held: Arrays, damping: float = LAMBDA) -> Tensor:
    """Drift matrix of (x, y): y are the lagging amplifiers, none without a lag."""
    middle = torch.eye(M, dtype=torch.float64) if held.middle is None else held.middle
    eye = torch.eye(N, dtype=torch.float64)
    if held.lag is None:
        return held.last.T @ middle @ held.first + damping * eye
    rate = torch.diag(1.0 / held.lag)
    upper = torch.cat([damping * eye, held.last.T @ middle], 1)
    return torch.cat([upper, torch.cat([-rate @ held.first, rate], 1)])


def mean(held: Arrays, x0: Tensor, rhs: Tensor, t: float) -> np.ndarray:
    drift = whole(held)
    state, drive = x0, rhs
    if held.lag is not None:
        state, drive = torch.cat([x0, held.first @ x0]), torch.cat([rhs, torch.zeros(M, dtype=torch.float64)])
    return oracles.ou_mean(drift, drive, state, t)[:N]


def covariance(held: Arrays, variance: Tensor, t: float) -> np.ndarray:
    """∫ e^{−Fs} 2κ e^{−Fᵀs} ds by the Lyapunov equation of its stationary value."""
    drift = whole(held).numpy()
    diffusion = np.zeros_like(drift)
    diffusion[:N, :N] = 2.0 * np.diag(variance.numpy())
    stationary = scipy.linalg.solve_continuous_lyapunov(drift, diffusion)
    propagator = scipy.linalg.expm(-drift * t)
    return (stationary - propagator @ stationary @ propagator.T)[:N, :N]


def vectors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, N, dtype=torch.float64, generator=generator).unbind()


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("lag", [None, 0.02, 0.7])
def test_mean_equals_the_matrix_exponential(t: float, lag: float | None) -> None:
    held = arrays(lag=lag)
    x0, rhs = vectors()
    actual = LinearNetwork(Shifted(held, LAMBDA)).sample(x0, rhs, t, None)
    assert oracles.relative_error(actual, mean(held, x0, rhs, t)) < 1e-10


@pytest.mark.parametrize("t", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("lag", [None, 0.3])
@pytest.mark.parametrize("uniform", [True, False])
def test_the_law_of_a_sample_is_that_of_the_lyapunov_equation(
    t: float, lag: float | None, uniform: bool
) -> None:
    """Assembled from the propagator, not from draws: Cov x = v κ I − … + J₁ᵀ C J₁ to rounding."""
    held = arrays(lag=lag)
    variance = torch.full((N,), 0.3, dtype=torch.float64)
    if not uniform:
        variance = variance * torch.linspace(0.5, 2.0, N, dtype=torch.float64)
    network = LinearNetwork(Shifted(held, LAMBDA), 0.3 if uniform else variance)
    step = network._propagator(t)
    assert step.X is not None
    assert step.C is not None
    with_z = step.X[:M] @ held.first * variance  # Cov(q, z)
    cross = held.last.T @ with_z
    actual = torch.diag(step.spread * variance) - cross - cross.T + held.last.T @ step.C[:M, :M] @ held.last
    assert oracles.relative_error(actual, covariance(held, variance, t)) < 1e-9


def test_draws_have_the_exact_mean_and_covariance() -> None:
    held = arrays()
    x0, rhs = vectors()
    variance = torch.linspace(0.1, 0.4, N, dtype=torch.float64)
    network = LinearNetwork(Shifted(held, LAMBDA), variance)
    generator = torch.Generator().manual_seed(2)
    count = 20_000
    draws = torch.stack([network.sample(x0, rhs, 2.0, generator) for _ in range(count)]).numpy()
    expected = covariance(held, variance, 2.0)
    white = np.linalg.solve(np.linalg.cholesky(expected), (draws - mean(held, x0, rhs, 2.0)).T)
    assert np.abs(white.mean(1)).max() < 4.5 / math.sqrt(count)
    assert np.abs(np.cov(white) - np.eye(N)).max() < 6.5 / math.sqrt(count)


def test_the_stability_test_is_that_of_the_whole_drift() -> None:
    for seed in range(20):
        held = arrays(error=0.9, seed=seed)
        slowest = float(torch.linalg.eigvals(whole(held)).real.min())
        if slowest > 0:
            assert LinearNetwork(Shifted(held, LAMBDA)).margin == pytest.approx(slowest, abs=1e-10)
        else:
            with pytest.raises(UnstableDeviceError, match="raise damping") as caught:
                LinearNetwork(Shifted(held, LAMBDA))
            assert caught.value.margin == pytest.approx(slowest, abs=1e-10)


def test_more_damping_stabilises_by_exactly_the_margin() -> None:
    held = arrays(error=0.0, middle=False)
    held = dataclasses.replace(held, last=-held.last)
    with pytest.raises(UnstableDeviceError) as caught:
        LinearNetwork(Shifted(held, 1.0))
    assert LinearNetwork(Shifted(held, 1.0 - caught.value.margin + 1e-9)).margin == pytest.approx(
        1e-9, rel=1e-3
    )
    with pytest.raises(UnstableDeviceError):
        LinearNetwork(Shifted(held, 1.0 - caught.value.margin - 1e-9))


def test_a_vanishing_lag_is_no_lag_at_first_order() -> None:
    x0, rhs = vectors()
    instant = LinearNetwork(Shifted(arrays(), LAMBDA)).sample(x0, rhs, 3.0, None)
    errors = [
        float((LinearNetwork(Shifted(arrays(lag=lag), LAMBDA)).sample(x0, rhs, 3.0, None) - instant).norm())
        for lag in (4e-4, 2e-4, 1e-4)
    ]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.05)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.05)


def lagging(
    seed: int, rows: int = 3, size: int = 7, gain: float | None = 2e3
) -> tuple[circuit.Factor, circuit.Array, circuit.Array, ProgrammedDevice]:
    """One J without errors, its amplifiers slow: the device, the matrix of its circuit and the force on (x, y)."""
    rng = np.random.default_rng(seed)
    factor, force = rng.normal(size=(rows, size)), rng.normal(size=size)
    device = Device.ideal().override(
        amplifier_bandwidth_hz=2e6, amplifier_gain=gain, shared_array=True, hessian_array=False
    )
    operator = circuit.Factor(factor, force)
    lags = circuit.lag(factor, 2e6, math.inf if gain is None else gain)
    weights = 1.0 if gain is None else 1.0 / (1.0 + (1.0 + np.abs(factor).sum(1)) / gain)
    matrix = circuit.drift(factor, factor, LAMBDA, lags, middle=weights * np.eye(rows))
    programmed = ProgrammedDevice(device, operator, None, LAMBDA, 0.2)
    return operator, matrix, np.append(force, np.zeros(rows)), programmed


@pytest.mark.parametrize("gain", [None, 2e3, 3.0])
@pytest.mark.parametrize("stretches", [[0.3], [0.01] * 5, [0.5] * 40, [1e-3, 2.0, 0.0, 30.0]])
def test_lagging_amplifiers_carry_over_from_stretch_to_stretch(
    stretches: list[float], gain: float | None
) -> None:
    """Nothing happens at a readout: many stretches are one, and each follows the exponential of the whole circuit."""
    for seed in range(3):
        operator, matrix, force, _ = lagging(seed, gain=gain)
        device = Device.ideal().override(
            amplifier_bandwidth_hz=2e6, amplifier_gain=gain, shared_array=True, hessian_array=False
        )
        quiet = ProgrammedDevice(device, operator, None, LAMBDA)
        start = torch.linspace(-1.0, 2.0, operator.size, dtype=torch.float64)
        state, expected = quiet.settled(start), np.append(start, operator.factor() @ start)
        for stretch in stretches:
            state, expected = quiet.advance(state, stretch), circuit.flow(matrix, expected, force, stretch)
            assert state.amplifiers is not None
            assert (
                np.abs(np.append(state.nodes, state.amplifiers) - expected).max()
                < 1e-8 * np.abs(expected).max()
            )


def test_noise_of_nodes_and_amplifiers_has_the_law_of_the_whole_circuit_after_two_stretches() -> None:
    operator, matrix, force, programmed = lagging(0)
    diffusion = np.diag(np.append(np.full(operator.size, 2.0 * 0.2), np.zeros(operator.rows)))
    expected = circuit.covariance(matrix, diffusion, 0.7)
    start, generator = torch.zeros(operator.size, dtype=torch.float64), torch.Generator().manual_seed(3)
    mean, draws = circuit.flow(matrix, np.zeros(len(matrix)), force, 0.7), []
    for _ in range(3000):
        state = programmed.advance(programmed.settled(start), 0.3, generator)
        state = programmed.advance(state, 0.4, generator)
        assert state.amplifiers is not None
        draws.append(np.append(state.nodes, state.amplifiers))
    white = np.linalg.solve(np.linalg.cholesky(expected), (np.array(draws) - mean).T)
    assert np.abs(white.mean(1)).max() < 4.5 / math.sqrt(3000)
    assert np.abs(np.cov(white) - np.eye(len(matrix))).max() < 6.5 / math.sqrt(3000)


def test_single_precision_arrays_lose_no_digits_to_a_small_damping() -> None:
    """At λ = 10⁻⁸ and t = 10⁶ the solution is what is left of t·g after the rows have taken their part."""
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 9)).astype(np.float32)
    force = (factor.T @ rng.normal(size=4)).astype(np.float32)
    device = Device.ideal().override(amplifier_gain=1e4, shared_array=True, hessian_array=False)
    operator = circuit.Factor(factor, force, torch.float32)
    actual = ProgrammedDevice(device, operator, None, 1e-8).sample(torch.zeros(9), 1e6)
    exact = factor.astype(float)
    weights = 1.0 / (1.0 + (1.0 + np.abs(exact).sum(1)) / 1e4)
    matrix = circuit.drift(exact, exact, 1e-8, middle=np.diag(weights))
    expected = circuit.flow(matrix, np.zeros(9), force.astype(float), 1e6)
    assert np.abs(actual.numpy() - expected).max() < 1e-5 * np.abs(expected).max()
