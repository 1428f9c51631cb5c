"""Lanczos against dense eigendecompositions on hard spectra: the bound bounds, the tolerance holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from tngd_bench.curvature.operator import ExplicitFactor, Shifted
from tngd_bench.spu.dynamics.euler_maruyama import EulerMaruyama
from tngd_bench.spu.dynamics.krylov import KrylovTransition
from tngd_bench.spu.dynamics.spectral import Decay, Response, Spread
from tngd_bench.spu.dynamics.transitions import DenseTransition, Term

ROWS, SIZE = 80, 200


@cache
def operator(seed: int = 0, smallest: float = -5.0) -> ExplicitFactor:
    """Eigenvalues of K from 10^smallest to 15, evenly in the logarithm: no gap for Lanczos to profit from."""
    generator = torch.Generator().manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(ROWS, ROWS, dtype=torch.float64, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(SIZE, ROWS, dtype=torch.float64, generator=generator))
    values = torch.logspace(smallest, 1.176, ROWS, dtype=torch.float64)
    return ExplicitFactor(left @ torch.diag(values.sqrt()) @ right.T)


def normal(length: int, seed: int = 1) -> Tensor:
    return torch.randn(length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Products:
    """The same operator without `gram_matvec`: Lanczos must work in N-space."""

    def __init__(self, matvec: Callable[[Tensor], Tensor]) -> None:
        self.matvec = matvec


@pytest.mark.parametrize("in_rows", [True, False])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("damping", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("t", [0.1, 5.0, 50.0, 2000.0])
def test_the_error_is_below_its_bound_and_the_bound_below_the_tolerance(
    in_rows: bool, tolerance: float, damping: float, t: float
) -> None:
    matrix = operator()
    exact = DenseTransition(Shifted(matrix, damping))
    view = matrix if in_rows else Products(matrix.matvec)
    v = normal(SIZE)
    for function in (Decay(t), Response(t), Spread(t, 0.3)):
        krylov = KrylovTransition(Shifted(view, damping), tolerance=tolerance)
        expected = exact.apply([(function, v)])
        size = max(float(expected.norm()), 1e-100)  # e^-2000 and less: nothing is left to be wrong about
        error = float((krylov.apply([(function, v)]) - expected).norm()) / size
        rounding = 5e-12
        assert krylov.bound <= tolerance
        if isinstance(function, Spread):
            assert error <= tolerance
        else:
            assert error <= krylov.bound + rounding


@pytest.mark.parametrize("t", [0.1, 5.0, 50.0, 2000.0])
def test_weights_of_the_factor_are_answered_in_row_space_within_the_bound(t: float) -> None:
    matrix, w = operator(), normal(ROWS)
    krylov = KrylovTransition(Shifted(matrix, 1e-3), tolerance=1e-7)
    expected = DenseTransition(Shifted(matrix, 1e-3)).apply([(Response(t), matrix.factor_rmatvec(w))])
    error = float((krylov.apply([], [(Response(t), w)]) - expected).norm() / expected.norm())
    assert error <= krylov.bound + 1e-11
    assert krylov.bound <= 1e-7
    with pytest.raises(TypeError, match="takes vectors"):
        KrylovTransition(Shifted(Products(matrix.matvec), 1e-3)).apply([], [(Response(t), w)])


def test_the_bound_is_not_far_above_the_error() -> None:
    """A bound a thousand times too large would cost products for nothing."""
    matrix, v = operator(), normal(SIZE)
    for function in (Decay(5.0), Response(5.0)):
        for view in (matrix, Products(matrix.matvec)):
            krylov = KrylovTransition(Shifted(view, 0.01), tolerance=1e-6)
            expected = DenseTransition(Shifted(matrix, 0.01)).apply([(function, v)])
            error = float((krylov.apply([(function, v)]) - expected).norm() / expected.norm())
            assert krylov.bound < 1000 * error


def test_terms_are_summed_and_a_vanishing_start_costs_little() -> None:
    matrix, v, u = operator(), normal(SIZE), normal(SIZE, 2)
    terms: list[Term] = [(Decay(3.0), v), (Response(3.0), u), (Spread(3.0, 0.1), v)]
    krylov = KrylovTransition(Shifted(matrix, 0.1), tolerance=1e-10)
    expected = DenseTransition(Shifted(matrix, 0.1)).apply(terms)
    assert float((krylov.apply(terms) - expected).norm() / expected.norm()) < 1e-10
    gone = KrylovTransition(Shifted(matrix, 10.0), tolerance=1e-6)
    gone.apply([(Decay(50.0), v)])  # e^-500 and less: its square underflows
    assert gone.products < 10


def test_a_single_precision_basis_reaches_single_precision() -> None:
    matrix, v = operator(smallest=-2.0), normal(SIZE)
    single = ExplicitFactor(matrix.factor.float())
    for t in (1.0, 50.0):
        krylov = KrylovTransition(Shifted(single, 0.01), tolerance=1e-6)
        expected = DenseTransition(Shifted(matrix, 0.01)).apply([(Decay(t), v), (Response(t), v)])
        actual = krylov.apply([(Decay(t), v.float()), (Response(t), v.float())]).double()
        assert float((actual - expected).norm() / expected.norm()) < 3e-5


class ProductsOfBoth(Products):
    """An operator that has products with K too, which an answer in N-space does not take."""

    matrix_free = True

    def gram_matvec(self, u: Tensor) -> Tensor:
        raise AssertionError(u)


@pytest.mark.parametrize("kind", [Products, ProductsOfBoth])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_inexact_products_by_an_exploding_curvature_leave_an_answer_that_a_relaxation_can_give(
    seed: int, kind: type[Products]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    top, t, n = 1e7, 0.4, 300
    basis, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator))
    values = torch.cat(
        [torch.tensor([top], dtype=torch.float64), torch.logspace(-1, 3, 60, dtype=torch.float64)]
    )
    factor = (values.sqrt().unsqueeze(1) * basis[:, :61].T).float()
    # products in single precision through a model: not symmetric, by a millionth of the largest eigenvalue
    inexact = (torch.randn(n, n, generator=generator) * 1e-6 * top / (2 * n**0.5)).float()
    v = factor.T @ torch.randn(61, generator=generator)
    krylov = KrylovTransition(Shifted(kind(lambda x: factor.T @ (factor @ x) + inexact @ x), 0.05))
    x = krylov.apply([(Response(t), v)])
    assert bool(torch.isfinite(x).all())
    assert float(x.norm()) <= 1.001 * t * float(v.norm())  # (1 − e^{−at})/a ≤ t for every a ≥ 0
    stiff = basis[:, 0].float()
    assert float(stiff @ x) == pytest.approx(float(stiff @ v) / top, abs=1e-4 * t * float(v.norm()))


def test_too_small_a_space_is_said_and_not_returned() -> None:
    matrix = operator()
    krylov = KrylovTransition(Shifted(Products(matrix.matvec), 1e-4), tolerance=1e-9, max_dimension=12)
    with pytest.raises(RuntimeError, match="did not reach the tolerance 1e-09 in 12 products"):
        krylov.apply([(Response(500.0), normal(SIZE))])


def test_a_fifth_of_eulers_products_give_ten_thousand_times_its_accuracy() -> None:
    matrix, rhs, x0 = operator(), normal(SIZE), normal(SIZE, 2)
    terms: list[Term] = [(Decay(50.0), x0), (Response(50.0), rhs)]
    exact = DenseTransition(Shifted(matrix, 0.01)).apply(terms)
    krylov = KrylovTransition(Shifted(matrix, 0.01), tolerance=1e-6)
    assert float((krylov.apply(terms) - exact).norm() / exact.norm()) <= 1e-6

    def euler_error(step: float) -> float:
        path = EulerMaruyama(Shifted(matrix, 0.01), rhs, 0.0, step).run(x0, 50.0, None)
        return float((path - exact).norm() / exact.norm())

    # the largest step that is stable is also the cheapest that Euler-Maruyama can do
    cheapest = 50.0 / 0.13
    assert euler_error(0.13) < 1e-2
    assert krylov.products < cheapest / 5
