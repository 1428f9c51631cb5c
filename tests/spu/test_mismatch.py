"""Noise of nodes with unequal capacitors against the Lyapunov equation of the whole N-space."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.spu.euler_maruyama import EulerMaruyama
from tngd_bench.spu.mismatch import MismatchedNodes, node_rates

LAMBDA = 0.05


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mismatch_covariance(drift: Tensor, diffusion: Tensor, t: float) -> np.ndarray:
    """Stationary covariance by the Lyapunov equation, less what has not come yet."""
    stationary = scipy.linalg.solve_continuous_lyapunov(drift.numpy(), torch.diag(diffusion).numpy())
    propagator = scipy.linalg.expm(-drift.numpy() * t)
    return stationary - propagator @ stationary @ propagator.T


@pytest.mark.parametrize("t", [0.01, 2.0, 1e4])
@pytest.mark.parametrize("row_sum", [False, True])
def test_noisy_mismatch_has_the_covariance_of_its_lyapunov_equation(
    ggn: GGN, t: float, row_sum: bool
) -> None:
    kappa = (
        torch.linspace(0.1, 0.5, 74, dtype=torch.float64)
        if row_sum
        else torch.full((74,), 0.3, dtype=torch.float64)
    )
    rates = node_rates(0.3, 0, ggn.gradient)
    nodes = MismatchedNodes(ggn, LAMBDA, rates, ggn.gradient, kappa if row_sum else 0.3)
    drift = torch.diag(rates) @ (ggn.dense() + LAMBDA * torch.eye(74, dtype=torch.float64))
    root = nodes._covariance_root(t)
    expected = mismatch_covariance(drift, 2.0 * kappa * rates**2, t)
    assert oracles.relative_error(root @ root.T, expected) < 1e-9
    draws = torch.stack([nodes.sample(ggn.gradient, t, seeded(seed)) for seed in range(2)])
    assert not torch.equal(draws[0], draws[1])


def test_large_noisy_mismatch_is_near_its_covariance_in_proportion_to_the_mismatch(
    ggn: GGN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tngd_bench.spu.mismatch.LARGEST_DENSE", 10)
    for sigma, bound in ((0.1, 0.1), (0.05, 0.05), (0.0125, 0.0125)):
        rates = node_rates(sigma, 0, ggn.gradient)
        nodes = MismatchedNodes(ggn, LAMBDA, rates, torch.zeros(74).double(), 0.3)
        assert nodes.method == "krylov (mismatch; noise of the range to O(σ_C))"
        units = torch.eye(74, dtype=torch.float64)
        zero = torch.zeros(74, dtype=torch.float64)
        columns = []
        for unit in units:
            monkeypatch.setattr(torch, "randn", lambda *_, unit=unit, **__: unit)
            columns.append(nodes.sample(zero, 20.0, seeded()))
        monkeypatch.undo()
        monkeypatch.setattr("tngd_bench.spu.mismatch.LARGEST_DENSE", 10)
        root = torch.stack(columns, 1)
        drift = torch.diag(rates) @ (ggn.dense() + LAMBDA * torch.eye(74, dtype=torch.float64))
        expected = mismatch_covariance(drift, 0.6 * rates**2, 20.0)
        assert oracles.relative_error(root @ root.T, expected) < bound


def test_mismatch_of_separate_arrays_is_stepped_and_each_node_keeps_its_variance() -> None:
    """dx = −D(λx dt − √(2κ) dW): each node settles at κD/λ, as kT/C does with its own C."""
    damping, kappa, copies = 0.5, 0.3, 20_000
    zero = torch.zeros(copies, dtype=torch.float64)
    rates = node_rates(0.2, 0, zero)
    stepper = EulerMaruyama(torch.zeros_like, zero, damping, kappa, None, rates=rates)
    normalised = stepper.run(zero, 40.0, seeded(1)) / (kappa * rates / damping).sqrt()
    # the steps, 1/16 of the bound of the fastest node, enlarge a variance by at most 1/15
    assert 1.0 - 5 * math.sqrt(2 / copies) < float(normalised.var()) < 16 / 15 + 5 * math.sqrt(2 / copies)
    slow = rates < rates.median()
    assert float(normalised[slow].var() / normalised[~slow].var()) == pytest.approx(1.0, abs=0.08)
