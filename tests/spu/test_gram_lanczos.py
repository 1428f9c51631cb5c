"""The single-precision route on a formed K against float64, and when it steps aside."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tngd_bench.spu import gram_lanczos
from tngd_bench.spu.explicit import ExplicitFactor
from tngd_bench.spu.gram_lanczos import GramLanczosTransition
from tngd_bench.spu.spectral import Decay, Response, Spread
from tngd_bench.spu.transitions import DenseTransition, GramTransition

ROWS, SIZE = 512, 700


def operator(dtype: torch.dtype = torch.float32) -> ExplicitFactor:
    generator = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(ROWS, ROWS, dtype=torch.float64, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(SIZE, ROWS, dtype=torch.float64, generator=generator))
    values = torch.logspace(-6.0, 1.1, ROWS, dtype=torch.float64)
    return ExplicitFactor((left @ torch.diag(values.sqrt()) @ right.T).to(dtype))


def vectors() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x0, noise = torch.randn(2, SIZE, dtype=torch.float64, generator=generator)
    return x0, noise, torch.randn(ROWS, dtype=torch.float64, generator=generator)


@pytest.fixture
def decompositions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Applications that took the eigenvectors."""
    seen: list[int] = []
    whole = GramTransition.apply

    def counted(self: GramTransition, *arguments: object) -> Tensor:
        seen.append(1)
        return whole(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(GramTransition, "apply", counted)
    return seen


@pytest.mark.parametrize("t", [0.1, 5.0, 50.0])
@pytest.mark.parametrize("damping", [0.01, 0.1, 1.0])
def test_single_precision_is_as_close_as_its_eigenvectors(
    t: float, damping: float, decompositions: list[int]
) -> None:
    x0, noise, w = vectors()
    exact = DenseTransition(operator(torch.float64).dense(), damping).apply(
        [(Decay(t), x0), (Spread(t, 0.1), noise), (Response(t), operator(torch.float64).factor_rmatvec(w))]
    )
    actual = GramLanczosTransition(operator(), damping).apply(
        [(Decay(t), x0.float()), (Spread(t, 0.1), noise.float())], [(Response(t), w.float())]
    )
    assert float((actual.double() - exact).norm() / exact.norm()) < 2e-5
    assert not decompositions


def test_the_third_application_takes_eigenvectors(decompositions: list[int]) -> None:
    x0 = vectors()[0].float()
    transition = GramLanczosTransition(operator(), 0.1)
    results = [transition.apply([(Decay(2.0), x0)]) for _ in range(4)]
    assert len(decompositions) == 2
    for result in results[1:]:
        assert float((result - results[0]).norm() / results[0].norm()) < 2e-6


def test_it_steps_aside_where_lanczos_is_not_the_better_way(
    decompositions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x0 = vectors()[0]
    GramLanczosTransition(operator(torch.float64), 0.1).apply([(Decay(2.0), x0)])  # double precision
    GramLanczosTransition(operator(), 1e-4).apply([(Decay(2.0), x0.float())])  # λ near the rounding of K
    GramLanczosTransition(operator(), 0.1).apply([(Response(2.0), x0.float())])  # a plain right-hand side
    assert len(decompositions) == 3
    monkeypatch.setattr(gram_lanczos, "TOLERANCE", 1e-30)  # out of reach
    reached = GramLanczosTransition(operator(), 0.1).apply([(Decay(2.0), x0.float())])
    assert len(decompositions) == 4
    exact = DenseTransition(operator(torch.float64).dense(), 0.1).apply([(Decay(2.0), x0)])
    assert float((reached.double() - exact).norm() / exact.norm()) < 2e-5
