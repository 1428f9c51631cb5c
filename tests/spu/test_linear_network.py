"""The non-symmetric drift of separate arrays against scipy's matrix exponentials on the whole N-space."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests import oracles
from tngd_bench.spu.arrays import Arrays, UnstableDeviceError
from tngd_bench.spu.linear_network import LinearNetwork

M, N, LAMBDA = 4, 9, 0.05
TIMES = [1e-3, 1.0, 50.0, 1e4]


def arrays(error: float = 0.1, lag: float | None = None, middle: bool = True, seed: int = 0) -> Arrays:
    torch.manual_seed(seed)
    factor = torch.randn(M, N, dtype=torch.float64)
    last = factor + error * torch.randn(M, N, dtype=torch.float64)
    held = torch.eye(M, dtype=torch.float64) + error * torch.randn(M, M, dtype=torch.float64)
    lags = None if lag is None else lag * torch.linspace(0.5, 1.5, M, dtype=torch.float64)
    return Arrays(factor, last, held if middle else None, lags, 1.0, last.abs().sum(0))


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
    actual = LinearNetwork(held, LAMBDA).sample(x0, rhs, t, None)
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
    network = LinearNetwork(held, LAMBDA, 0.3 if uniform else variance)
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
    network = LinearNetwork(held, LAMBDA, variance)
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
            inner = held.middle @ held.first @ held.last.T  # type: ignore[operator]
            expected = float(torch.linalg.eigvals(inner).real.min()) + LAMBDA
            assert LinearNetwork(held, LAMBDA).margin == pytest.approx(expected, abs=1e-10)
            assert min(expected, LAMBDA) == pytest.approx(slowest, abs=1e-10)
        else:
            with pytest.raises(UnstableDeviceError, match="raise damping") as caught:
                LinearNetwork(held, LAMBDA)
            assert caught.value.margin == pytest.approx(slowest, abs=1e-10)


def test_more_damping_stabilises_by_exactly_the_margin() -> None:
    held = arrays(error=0.0, middle=False)
    held = Arrays(held.first, -held.last, None, None, 1.0, held.node_conductance)
    with pytest.raises(UnstableDeviceError) as caught:
        LinearNetwork(held, 1.0)
    assert LinearNetwork(held, 1.0 - caught.value.margin + 1e-9).margin == pytest.approx(1e-9, rel=1e-3)
    with pytest.raises(UnstableDeviceError):
        LinearNetwork(held, 1.0 - caught.value.margin - 1e-9)


def test_a_vanishing_lag_is_no_lag_at_first_order() -> None:
    x0, rhs = vectors()
    instant = LinearNetwork(arrays(), LAMBDA).sample(x0, rhs, 3.0, None)
    errors = [
        float((LinearNetwork(arrays(lag=lag), LAMBDA).sample(x0, rhs, 3.0, None) - instant).norm())
        for lag in (4e-4, 2e-4, 1e-4)
    ]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.05)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.05)
