"""Noise of nodes with unequal capacitors against the Lyapunov equation of the whole N-space."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests import oracles
from tests.spu import circuit
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import Shifted
from tngd_bench.spu.dynamics.mismatch import MismatchedNodes, node_rates

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
    nodes = MismatchedNodes(Shifted(ggn, LAMBDA), rates, ggn.gradient, kappa if row_sum else 0.3)
    drift = torch.diag(rates) @ (ggn.dense() + LAMBDA * torch.eye(74, dtype=torch.float64))
    root = nodes._covariance_root(t)
    expected = mismatch_covariance(drift, 2.0 * kappa * rates**2, t)
    assert oracles.relative_error(root @ root.T, expected) < 1e-9
    draws = torch.stack([nodes.sample(ggn.gradient, t, seeded(seed)) for seed in range(2)])
    assert not torch.equal(draws[0], draws[1])


def test_large_noisy_mismatch_is_near_its_covariance_in_proportion_to_the_mismatch(
    ggn: GGN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tngd_bench.spu.dynamics.mismatch.LARGEST_DIAGONALISED", 10)
    for sigma, bound in ((0.1, 0.1), (0.05, 0.05), (0.0125, 0.0125)):
        rates = node_rates(sigma, 0, ggn.gradient)
        nodes = MismatchedNodes(Shifted(ggn, LAMBDA), rates, torch.zeros(74).double(), 0.3)
        assert nodes.method == "krylov (mismatch; noise to O(σ_C))"
        units = torch.eye(74, dtype=torch.float64)
        zero = torch.zeros(74, dtype=torch.float64)
        columns = []
        for unit in units:
            monkeypatch.setattr(torch, "randn", lambda *_, unit=unit, **__: unit)
            columns.append(nodes.sample(zero, 20.0, seeded()))
        monkeypatch.undo()
        monkeypatch.setattr("tngd_bench.spu.dynamics.mismatch.LARGEST_DIAGONALISED", 10)
        root = torch.stack(columns, 1)
        drift = torch.diag(rates) @ (ggn.dense() + LAMBDA * torch.eye(74, dtype=torch.float64))
        expected = mismatch_covariance(drift, 0.6 * rates**2, 20.0)
        assert oracles.relative_error(root @ root.T, expected) < bound


@pytest.mark.parametrize("t", [0.05, 3.0, 400.0])
def test_noise_beyond_the_dense_limit_is_right_in_the_range_and_in_the_null_space(
    t: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At λ = 0.01 and σ_C = 5 % a leak of the null space's noise into fast modes would be σ_C² a/(4λ) of theirs."""
    monkeypatch.setattr("tngd_bench.spu.dynamics.mismatch.LARGEST_DIAGONALISED", 10)
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(40, 40)))
    rates = np.linspace(2.0, 30.0, 8)
    factor = np.sqrt(rates)[:, None] * basis[:, :8].T
    for sigma in (0.05, 0.0125):
        speed = node_rates(sigma, 0, torch.ones(40, dtype=torch.float64))
        nodes = MismatchedNodes(
            Shifted(circuit.Factor(factor, np.zeros(40)), 0.01), speed, torch.zeros(40).double(), 0.3
        )
        assert nodes.method == "krylov (mismatch; noise to O(σ_C))"
        columns = []
        for unit in torch.eye(40, dtype=torch.float64):
            monkeypatch.setattr(torch, "randn", lambda *_, unit=unit, **__: unit)
            columns.append(nodes.sample(torch.zeros(40).double(), t, seeded()).numpy())
        monkeypatch.undo()
        monkeypatch.setattr("tngd_bench.spu.dynamics.mismatch.LARGEST_DIAGONALISED", 10)
        actual = np.stack(columns, 1) @ np.stack(columns, 1).T
        matrix = circuit.drift(factor, factor, 0.01, capacitance=1.0 / speed.numpy())
        expected = circuit.covariance(matrix, np.diag(0.6 * speed.numpy() ** 2), t)
        for part in (basis[:, :8], basis[:, 8:]):
            ratio = np.trace(part.T @ actual @ part) / np.trace(part.T @ expected @ part)
            assert ratio == pytest.approx(1.0, abs=1.5 * sigma)
        both = [
            basis.T @ c @ basis / np.sqrt(np.outer(*[np.diag(basis.T @ expected @ basis)] * 2))
            for c in (actual, expected)
        ]
        assert np.linalg.norm(both[0] - both[1], 2) < 3.0 * sigma
