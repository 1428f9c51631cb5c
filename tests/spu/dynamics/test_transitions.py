"""The Gram transition against fifty decimal digits, and what happens where single precision fails."""

from __future__ import annotations

import mpmath  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import ExplicitFactor, Shifted
from tngd_bench.spu import OUProcess
from tngd_bench.spu.dynamics.spectral import Decay, Response, Spread
from tngd_bench.spu.dynamics.transitions import GramTransition, eigendecomposition

ROWS, SIZE, KAPPA = 3, 9, 0.3


def problem() -> tuple[Tensor, Tensor, Tensor]:
    """B, x(0) and weights w of g = Bᵀw."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(ROWS + 2, SIZE, dtype=torch.float64, generator=generator)
    return draws[:ROWS], draws[ROWS], draws[ROWS + 1, :ROWS]


def in_many_digits(damping: float, t: float) -> tuple[Tensor, Tensor]:
    """x̄(t) and Σ(t) from an eigendecomposition of A to 50 digits, rounded at the end."""
    factor, x0, weights = (mpmath.matrix(v.tolist()) for v in problem())
    with mpmath.workdps(50):
        values, vectors = mpmath.eigsy(factor.T * factor + mpmath.mpf(damping) * mpmath.eye(SIZE))
        decay = [mpmath.exp(-a * t) for a in values]
        start, push = vectors.T * x0, vectors.T * (factor.T * weights)
        modes = [d * s + (1 - d) / a * p for a, d, s, p in zip(values, decay, start, push, strict=True)]
        spread = mpmath.diag([KAPPA * (1 - d**2) / a for a, d in zip(values, decay, strict=True)])
        mean, covariance = vectors * mpmath.matrix(modes), vectors * spread * vectors.T
    wide = torch.float64
    return torch.tensor([float(v) for v in mean], dtype=wide), torch.tensor(covariance.tolist(), dtype=wide)


@pytest.mark.parametrize("damping", [1e-6, 1e-3, 1e-2, 10.0])
@pytest.mark.parametrize("t", [1e-3, 1.0, 50.0, 1e3, 1e6])
def test_mean_and_covariance_hold_ten_digits_from_short_to_long(damping: float, t: float) -> None:
    mean, covariance = in_many_digits(damping, t)
    factor, x0, weights = problem()
    transition = GramTransition(Shifted(ExplicitFactor(factor), damping))
    actual = transition.apply([(Decay(t), x0)], [(Response(t), weights)])
    assert oracles.relative_error(actual, mean) < 1e-10
    units = torch.eye(SIZE, dtype=torch.float64)
    root = torch.stack([transition.apply([(Spread(t, KAPPA), unit)]) for unit in units])
    assert oracles.relative_error(root @ root.T, covariance) < 1e-10


@pytest.mark.parametrize("failing", [(torch.float32,), (torch.float32, torch.float64)])
def test_a_decomposition_that_fails_is_made_in_double_or_by_qr_iterations(
    failing: tuple[torch.dtype, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))
    inputs, targets = torch.rand(6, 5), torch.arange(6) % 4
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, targets)
    right = torch.randn(ggn.size, generator=torch.Generator().manual_seed(1))
    exact = OUProcess(ggn, right, damping=0.1, method="dense").mean(torch.zeros_like(right), 5.0)
    decompose = torch.linalg.eigh
    failed: list[torch.Size] = []

    def as_lapack_may(matrix: Tensor) -> tuple[Tensor, Tensor]:
        if matrix.dtype in failing:
            failed.append(matrix.shape)
            raise torch.linalg.LinAlgError("linalg.eigh: no convergence")  # type: ignore[attr-defined]
        pair: tuple[Tensor, Tensor] = decompose(matrix)
        return pair

    monkeypatch.setattr(torch.linalg, "eigh", as_lapack_may)
    found = OUProcess(ggn, right, damping=0.1, method="gram").mean(torch.zeros_like(right), 5.0)
    assert failed
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_matrix_that_is_not_finite_has_no_modes(value: float) -> None:
    values, vectors = eigendecomposition(torch.full((30, 30), value))
    assert values.isnan().all()
    assert vectors.isnan().all()
