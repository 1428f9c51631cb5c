"""Operators with damping and right-hand sides, against the dense matrix and the loss's own gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests import oracles
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import ExplicitFactor, Matrix, RightHandSide, Shifted, symmetric_product
from tngd_bench.solvers import CG, Dense, Gram, Layerwise, Woodbury


def case(seed: int = 0) -> tuple[GGN, torch.Tensor]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    inputs, targets = torch.randn(5, 3).double(), torch.randint(0, 3, (5,))
    dense = oracles.ggn(model, nn.CrossEntropyLoss(), inputs, targets)
    return GGN(model, nn.CrossEntropyLoss(), inputs, targets), torch.as_tensor(dense)


def test_a_shifted_operator_is_the_dense_matrix_with_lambda_on_its_diagonal() -> None:
    ggn, dense = case()
    wanted = dense + 0.3 * torch.eye(ggn.size).double()
    v = torch.randn(ggn.size).double()
    for shifted in (Shifted(ggn, 0.3), Shifted(Matrix(dense), 0.3)):
        assert oracles.relative_error(shifted.dense(), wanted) < 1e-12
        assert oracles.relative_error(shifted.matvec(v), wanted @ v) < 1e-12
    assert float(dense.diagonal().min()) < 0.3  # the shift is on a copy


@pytest.mark.parametrize("outlier", [0.0, 60.0])
def test_the_gradient_is_its_weights_by_the_factor_and_what_is_outside(outlier: float) -> None:
    """A target of vanishing probability has a slope and no curvature: that part is the rest."""
    ggn, _ = case()
    torch.manual_seed(1)
    model, inputs = nn.Linear(3, 3).double(), torch.randn(5, 3).double()
    with torch.no_grad():
        model.bias[0] = outlier
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, torch.tensor([1, 1, 2, 1, 2]))
    weights, rest = RightHandSide.of(ggn, None).in_range or (None, None)
    assert weights is not None
    assert (rest is None) is (outlier == 0.0)
    found = ggn.factor_rmatvec(weights) + (0.0 if rest is None else rest)
    assert oracles.relative_error(found, ggn.gradient) < 1e-12


def test_a_given_gradient_is_known_as_the_gradient_and_another_vector_is_not() -> None:
    ggn, _ = case()
    assert RightHandSide.of(ggn, ggn.gradient).is_gradient
    copy = ggn.gradient.clone()
    right = RightHandSide.of(ggn, copy)
    assert right.vector is copy
    assert right.in_range is None
    assert not right.is_gradient


@pytest.mark.parametrize("solver", [Gram(), CG(), Layerwise()])
def test_solvers_in_rows_never_form_the_gradient(solver: Gram | CG | Layerwise) -> None:
    ggn, _ = case()
    solver.solve(ggn, damping=0.1)
    assert "gradient" not in vars(ggn)


@pytest.mark.parametrize("solver", [Gram(), CG(rtol=1e-12), Dense(), Woodbury()])
@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("of_gradient", [False, True])
def test_the_residual_of_a_result_is_that_of_the_dense_system(
    solver: Gram | CG | Dense | Woodbury, around: bool, of_gradient: bool
) -> None:
    ggn, dense = case()
    rhs = None if of_gradient else torch.randn(ggn.size).double()
    prior = torch.randn(ggn.size).double() if around else None
    result = solver.solve(ggn, rhs, damping=0.2, prior=prior)
    right = ggn.gradient if rhs is None else rhs
    pulled = right if prior is None else right + 0.2 * prior
    exact = torch.linalg.solve(dense + 0.2 * torch.eye(ggn.size).double(), pulled)
    assert oracles.relative_error(result.solution, exact) < 1e-9
    assert result.residual_norm < 1e-9


@pytest.mark.parametrize("order", [1, 255, 256, 301])
def test_a_symmetric_product_is_the_product(order: int) -> None:
    matrix = torch.randn(order, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(order))
    found = symmetric_product(matrix)
    assert oracles.relative_error(found, matrix @ matrix.T) < 1e-12
    # to rounding: a library may multiply the two sides unlike
    assert oracles.relative_error(found, found.T) < 1e-15


def test_a_factor_written_out_has_the_products_of_its_matrices() -> None:
    factor = ExplicitFactor(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double())
    gram = factor.factor @ factor.factor.T
    u, v = torch.arange(4.0).double(), torch.arange(6.0).double()
    torch.testing.assert_close(factor.gram(), gram)
    torch.testing.assert_close(factor.gram_diagonal(), gram.diagonal())
    torch.testing.assert_close(factor.gram_matvec(u), gram @ u)
    torch.testing.assert_close(factor.matvec(v), factor.dense() @ v)
