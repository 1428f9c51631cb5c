"""A factor with erring cells, drawn by its law: consistent products, and the law of one with every cell drawn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from scipy.linalg import get_lapack_funcs
from torch import Tensor

from tngd_bench.curvature.operator import ExplicitFactor, Shifted
from tngd_bench.curvature.route import SMALLEST_LANCZOS
from tngd_bench.spu.dynamics.factor_operator import ErringFactor, _pivoted_root
from tngd_bench.spu.dynamics.gram_lanczos import GramLanczosTransition
from tngd_bench.spu.dynamics.ou import OUProcess
from tngd_bench.spu.dynamics.spectral import Decay, Response, Spread
from tngd_bench.spu.dynamics.transitions import GramTransition

ROWS, SIZE, ERROR = 6, 40, 0.3
Statistic = Callable[[ErringFactor | ExplicitFactor], float]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))


def factor(*, full_rank: bool) -> Tensor:
    values = normal(ROWS, SIZE, seed=0)
    if not full_rank:
        values[-1] = values[0] - values[1]
    return values


V, W, U = normal(SIZE, seed=1), normal(SIZE, seed=2), normal(ROWS, seed=3)


@pytest.mark.parametrize("full_rank", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_in_any_order_are_those_of_one_matrix(full_rank: bool, dtype: torch.dtype) -> None:
    erring = ErringFactor(ExplicitFactor(factor(full_rank=full_rank).to(dtype)), ERROR, seeded(5))
    v, w, u = V.to(dtype), W.to(dtype), U.to(dtype)
    near = 1e-10 if dtype == torch.float64 else 1e-3
    first, lifted = erring.factor_matvec(v), erring.factor_rmatvec(u)
    second, raised = erring.factor_matvec(w), erring.factor_rmatvec(first)
    for left, right in (
        (u @ first, lifted @ v),
        (u @ second, lifted @ w),
        (first @ second, raised @ w),
        (first @ first, raised @ v),
    ):
        assert float(left) == pytest.approx(float(right), rel=near, abs=20 * near)
    assert torch.allclose(erring.factor_matvec(lifted), erring.gram() @ u, rtol=near, atol=100 * near)
    assert torch.allclose(erring.gram_matvec(u), erring.gram() @ u, rtol=near, atol=100 * near)
    assert torch.allclose(erring.factor_matvec(v + w), first + second, rtol=near, atol=20 * near)
    assert torch.allclose(erring.matvec(v), raised, rtol=near, atol=100 * near)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vectors_in_the_rows_and_beside_them_belong_to_one_matrix(dtype: torch.dtype) -> None:
    """Of several panels of rows, some of them dependent; a vector of the row space has next to nothing outside it."""
    values = normal(150, 900, seed=11).to(dtype)
    values[70:140] = values[:70].flip(0)
    erring = ErringFactor(ExplicitFactor(values), ERROR, seeded(5))
    u = normal(150, seed=12).to(dtype)
    vectors = [
        values.T @ u,
        normal(900, seed=13).to(dtype),
        values[3] + 1e-3 * normal(900, seed=14).to(dtype),
    ]
    images, lifted = [erring.factor_matvec(v) for v in vectors], erring.factor_rmatvec(u)
    near = 1e-9 if dtype == torch.float64 else 2e-3
    for v, image in zip(vectors, images, strict=True):
        size = float(image.norm() * u.norm())
        assert abs(float(u @ image - lifted @ v)) < near * size
    whole = sum(vectors[1:], vectors[0])
    assert float((erring.factor_matvec(whole) - sum(images[1:], images[0])).norm() / images[0].norm()) < near


@pytest.mark.parametrize("full_rank", [True, False])
def test_without_error_it_is_the_factor(full_rank: bool) -> None:
    values = factor(full_rank=full_rank)
    erring = ErringFactor(ExplicitFactor(values), 0.0, seeded(0))
    assert torch.allclose(erring.gram(), values @ values.T, atol=1e-10)
    assert torch.allclose(erring.factor_matvec(V), values @ V, atol=1e-10)
    assert torch.allclose(erring.factor_rmatvec(U), values.T @ U, atol=1e-10)


def relaxed(held: ErringFactor | ExplicitFactor) -> Tensor:
    return OUProcess(held, V, 0.5).sample(W, 0.2)


STATISTICS: dict[str, Statistic] = {
    "B v": lambda held: float(held.factor_matvec(V)[0]),
    "B v along w after it": lambda held: float(held.factor_matvec(V) @ held.factor_matvec(W)),
    "Bᵀ u along v": lambda held: float(held.factor_rmatvec(U)[:3].sum()),
    "|Bᵀ u| and |Bᵀ B v|": lambda held: float(
        held.factor_rmatvec(U) @ held.factor_rmatvec(held.factor_matvec(V))
    ),
    "K": lambda held: float(held.gram()[0, 1] + held.gram()[2, 2]),
    "largest curvature": lambda held: float(torch.linalg.eigvalsh(held.gram())[-1]),
    "a relaxation": lambda held: float(relaxed(held)[0]),
    "its length": lambda held: float(torch.linalg.vector_norm(relaxed(held))),
    "two relaxations": lambda held: float(relaxed(held) @ held.factor_rmatvec(U)),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_its_law_is_that_of_a_factor_with_every_cell_drawn(name: str) -> None:
    """Two-sample Kolmogorov-Smirnov: at 400 draws each a shift of a quarter of the standard deviation fails."""
    values, generator = factor(full_rank=False), seeded(7)
    statistic, draws = STATISTICS[name], 400
    by_law = [statistic(ErringFactor(ExplicitFactor(values), ERROR, generator)) for _ in range(draws)]
    cells = [
        values + ERROR * torch.randn(values.shape, dtype=torch.float64, generator=generator)
        for _ in range(draws)
    ]
    by_cells = [statistic(ExplicitFactor(each)) for each in cells]
    assert stats.ks_2samp(by_law, by_cells).pvalue > 1e-3


def test_the_test_of_the_law_sees_an_error_of_another_size() -> None:
    values, generator = factor(full_rank=False), seeded(7)
    statistic = STATISTICS["largest curvature"]
    right = [statistic(ErringFactor(ExplicitFactor(values), ERROR, generator)) for _ in range(600)]
    wrong = [statistic(ErringFactor(ExplicitFactor(values), 1.5 * ERROR, generator)) for _ in range(600)]
    assert stats.ks_2samp(right, wrong).pvalue < 1e-3


def test_a_relaxation_in_single_precision_takes_products_alone_and_is_that_of_the_eigenvectors() -> None:
    rows, size, damping = SMALLEST_LANCZOS, 1_500, 0.01
    generator = seeded(3)
    values = torch.randn(rows, size, generator=generator) / size**0.5
    erring = ErringFactor(ExplicitFactor(values), 0.01, generator)
    v, w, u = torch.randn(3, size, generator=generator)
    terms = [(Decay(50.0), v), (Response(50.0), w), (Spread(50.0, 0.1), u)]
    by_products = GramLanczosTransition(Shifted(erring, damping))
    found, exact = by_products.apply(terms), GramTransition(Shifted(erring, damping)).apply(terms)
    assert "matrix" not in vars(by_products._formed)
    assert float((found - exact).norm() / exact.norm()) < 2e-5


def test_a_relaxation_goes_by_its_gram_matrix() -> None:
    erring = ErringFactor(ExplicitFactor(factor(full_rank=True)), ERROR, seeded(2))
    assert OUProcess(erring, V, 0.5).method == "gram"
    steady = OUProcess(erring, V, 0.5).sample(W, 200.0)
    assert torch.allclose(Shifted(erring, 0.5).matvec(steady), V, atol=1e-8)


@pytest.mark.parametrize("full_rank", [True, False])
@pytest.mark.parametrize("size", [4 * ROWS, SIZE])
@pytest.mark.parametrize("lifted_first", [True, False])
def test_products_with_every_direction_make_up_the_matrix(
    full_rank: bool, size: int, lifted_first: bool
) -> None:
    """More products than the space has directions, as many readouts of few nodes ask for."""
    erring = ErringFactor(ExplicitFactor(factor(full_rank=full_rank)[:, :size]), ERROR, seeded(5))
    lifted = erring.factor_rmatvec(U) if lifted_first else None
    whole = torch.stack([erring.factor_matvec(unit) for unit in torch.eye(size, dtype=torch.float64)], 1)
    assert torch.allclose(whole @ whole.T, erring.gram(), rtol=1e-8, atol=1e-8)
    further = normal(size, seed=7)
    assert torch.allclose(erring.factor_matvec(further), whole @ further, rtol=1e-8, atol=1e-8)
    assert torch.allclose(erring.factor_rmatvec(U), whole.T @ U, rtol=1e-8, atol=1e-8)
    if lifted is not None:
        assert torch.allclose(lifted, whole.T @ U, rtol=1e-8, atol=1e-8)


def multiples(generator: torch.Generator) -> Tensor:
    """Of one row, longer and shorter ones, before the others."""
    rows = torch.randn(64, 300, dtype=torch.float64, generator=generator)
    return torch.cat([torch.arange(136.0, dtype=torch.float64).unsqueeze(1) * rows[:1], rows])


def of_all_sizes(generator: torch.Generator) -> Tensor:
    rows = torch.randn(200, 64, dtype=torch.float64, generator=generator)
    sizes = 10.0 ** (-4.0 * torch.rand(200, 1, dtype=torch.float64, generator=generator))
    return sizes * rows @ torch.randn(64, 300, dtype=torch.float64, generator=generator)


def of_softmax(generator: torch.Generator) -> Tensor:
    """One dependent row a sample, and samples nearly certain of their class."""
    p = torch.softmax(3.0 * torch.randn(20, 10, dtype=torch.float64, generator=generator), 1).unsqueeze(2)
    rows = torch.randn(20, 10, 300, dtype=torch.float64, generator=generator)
    return (p.sqrt() * (rows - (p * rows).sum(1, keepdim=True))).flatten(0, 1)


def nothing(generator: torch.Generator) -> Tensor:
    return torch.zeros(200, 300, dtype=torch.float64)


@pytest.mark.parametrize("rows", [multiples, of_all_sizes, of_softmax, nothing])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_root_is_that_of_complete_pivoting_to_rounding(
    rows: Callable[[torch.Generator], Tensor], dtype: torch.dtype
) -> None:
    """LAPACK's, which takes the largest of all pivots each time, is the other one."""
    values = rows(seeded(1)).to(dtype)
    gram = values @ values.T
    largest, rounding = float(gram.diagonal().max()), torch.finfo(dtype).eps
    root, top, places = _pivoted_root(gram)
    _, _, rank, _ = get_lapack_funcs(("pstrf",), (gram.numpy(),))[0](
        gram.numpy(), tol=32 * rounding * largest
    )
    assert abs(root.shape[1] - rank) <= (2 if dtype == torch.float32 else 0)  # pivots at the rounding itself
    assert float((root @ root.T - gram).abs().max()) <= 64 * rounding * largest
    assert torch.equal(root[places], top)
    assert torch.equal(top, top.tril())
