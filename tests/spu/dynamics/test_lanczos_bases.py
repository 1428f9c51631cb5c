"""Lanczos bases against dense algebra: the tridiagonal matrices, and the residuals by their recurrence."""

from __future__ import annotations

import pytest
import torch

from tngd_bench.spu.dynamics.lanczos_bases import LanczosBases

SIZE, SHIFT = 30, 0.2


@pytest.mark.parametrize("count", [1, 3])
def test_residuals_are_those_of_the_shifted_equation_in_each_space(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(SIZE, SIZE, dtype=torch.float64, generator=generator)
    matrix = rows @ rows.T / SIZE
    vectors = torch.randn(count, SIZE, dtype=torch.float64, generator=generator)
    bases = LanczosBases(vectors, 2, SHIFT)
    for k in range(1, 12):
        assert not bases.grow(lambda u: matrix @ u)
        for i, (diagonal, off_diagonal) in enumerate(zip(*bases.bands(k), strict=True)):
            T = torch.diag(diagonal) + torch.diag(off_diagonal, 1) + torch.diag(off_diagonal, -1)
            small = torch.linalg.solve(T + SHIFT * torch.eye(k).double(), torch.eye(k).double()[0])
            x = bases.combined(torch.eye(count).double()[i].unsqueeze(1) * small)
            left = vectors[i] / bases.norms[i] - matrix @ x - SHIFT * x
            assert bases.residuals[i] == pytest.approx(float(torch.linalg.vector_norm(left)), rel=1e-9)


def test_an_exhausted_space_has_no_residual_and_leaves_the_others_alone() -> None:
    matrix = torch.diag(torch.arange(1.0, 7.0, dtype=torch.float64))
    vectors = torch.stack([torch.eye(6, dtype=torch.float64)[0], torch.ones(6, dtype=torch.float64)])
    bases = LanczosBases(vectors, 2, SHIFT)
    assert [bases.grow(lambda u: matrix @ u) for _ in range(6)] == [False] * 5 + [True]
    assert bases.beta == [0.0, 0.0]
    assert bases.residuals == [0.0, 0.0]
    T = bases.bands(6)
    whole = torch.diag(T[0][1]) + torch.diag(T[1][1], 1) + torch.diag(T[1][1], -1)
    torch.testing.assert_close(torch.linalg.eigvalsh(whole), matrix.diagonal())
