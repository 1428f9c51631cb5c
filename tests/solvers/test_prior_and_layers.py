"""Damped least squares around a prior, and layer by layer, against dense solves in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.curvature.architectures import ARCHITECTURES, LOSSES, case, dense_case
from tngd_bench.curvature import GGN
from tngd_bench.solvers import CG, Dense, Gram, Layerwise, Solver, Thermodynamic, Woodbury

EXACT: dict[str, Solver] = {
    "dense": Dense(),
    "woodbury": Woodbury(),
    "gram": Gram(),
    "cg": CG(rtol=1e-13, max_iterations=500),
    "cg in N": CG(rtol=1e-13, max_iterations=500, space="parameters"),
}


def normal(size: int, seed: int = 3) -> Tensor:
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layers_of(model: nn.Module) -> list[list[int]]:
    """Places in the flat vector of the parameters of each module that has some of its own."""
    found: dict[str, list[int]] = {}
    first = 0
    for name, p in model.named_parameters():
        if p.requires_grad:
            found.setdefault(name.rpartition(".")[0], []).extend(range(first, first + p.numel()))
            first += p.numel()
    return list(found.values())


def layerwise(matrix: Tensor, places: list[list[int]]) -> Tensor:
    """The blocks of a matrix (N, N) on the diagonal, zero between layers."""
    out = torch.zeros_like(matrix)
    for place in places:
        index = torch.tensor(place)
        out[index.unsqueeze(1), index] = matrix[index.unsqueeze(1), index]
    return out


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_solver_gives_the_dense_least_squares_around_a_prior(architecture: str) -> None:
    """argmin ‖B x − w‖² + λ‖x − p‖² by its normal equations, and on a small model by lstsq on the stacked system."""
    model, loss, inputs, targets = case(architecture, "cross-entropy")
    dense = dense_case(architecture, "cross-entropy")
    gradient = oracles.gradient(model, loss, inputs, targets)
    damping, prior = 0.05, normal(len(dense))
    shifted = dense + damping * torch.eye(len(dense), dtype=torch.float64)
    wanted = torch.linalg.solve(shifted, gradient + damping * prior).numpy()
    if architecture == "mlp":
        assert oracles.relative_error(_stacked(dense, gradient, damping, prior), wanted) < 1e-9
    for solver in EXACT.values():
        result = solver.solve(GGN(model, loss, inputs, targets), damping=damping, prior=prior)
        assert oracles.relative_error(result.solution, wanted) < 1e-9
        assert result.residual_norm < 1e-9 * float(np.linalg.norm(wanted))


def _stacked(dense: Tensor, gradient: Tensor, damping: float, prior: Tensor) -> np.ndarray:
    """The minimiser by numpy.linalg.lstsq, with a B and a w of BᵀB = G and Bᵀw = ∇ℓ."""
    values, vectors = torch.linalg.eigh(dense)
    kept = values > 1e-11 * values.max()
    root = (vectors[:, kept] * values[kept].sqrt()).T  # a B with BᵀB = G
    w = torch.linalg.lstsq(root.T, gradient.unsqueeze(1)).solution.squeeze(1)
    stacked = torch.cat([root, damping**0.5 * torch.eye(len(dense), dtype=torch.float64)])
    return np.linalg.lstsq(stacked.numpy(), torch.cat([w, damping**0.5 * prior]).numpy(), rcond=None)[0]


@pytest.mark.parametrize("batch", [2, 5])  # layers of fewer and of more parameters than rows
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layerwise_is_the_block_diagonal_solve(architecture: str, loss: str, batch: int) -> None:
    model, loss_module, inputs, targets = case(architecture, loss, batch)
    dense = dense_case(architecture, loss, batch)
    gradient = oracles.gradient(model, loss_module, inputs, targets)
    blocks = layerwise(dense, layers_of(model))
    ggn = GGN(model, loss_module, inputs, targets)
    order = ggn.column_first(torch.arange(ggn.rows))
    by_layers = sum(layer.gram() for layer in ggn.layers)
    assert oracles.relative_error(by_layers, ggn.gram()[order][:, order]) < 1e-12
    shifted, damping = blocks + 0.05 * torch.eye(len(blocks), dtype=torch.float64), 0.05
    other, prior = normal(len(blocks)), normal(len(blocks), 4)
    for rhs, around in ((None, None), (None, prior), (other, None), (other, prior)):
        right = gradient if rhs is None else rhs
        wanted = torch.linalg.solve(shifted, right if around is None else right + damping * around)
        result = Layerwise().solve(ggn, rhs, damping=damping, prior=around)
        assert oracles.relative_error(result.solution, wanted) < 1e-9
        assert result.residual_norm < 1e-9 * float(wanted.norm())


def test_layerwise_without_damping_is_the_minimum_norm_solution_of_each_layer() -> None:
    model, loss, inputs, targets = case("mlp", "squared error")
    blocks = layerwise(oracles.ggn(model, loss, inputs, targets), layers_of(model))
    gradient = oracles.gradient(model, loss, inputs, targets)
    ggn = GGN(model, loss, inputs, targets)
    wanted = np.linalg.pinv(blocks.numpy(), rcond=1e-11) @ gradient.numpy()
    assert oracles.relative_error(Layerwise().solve(ggn, damping=0.0).solution, wanted) < 1e-7
    in_range = blocks @ normal(len(blocks))
    wanted = np.linalg.pinv(blocks.numpy(), rcond=1e-11) @ in_range.numpy()
    assert oracles.relative_error(Layerwise().solve(ggn, in_range, damping=0.0).solution, wanted) < 1e-6


@pytest.mark.parametrize("name", ["gram", "woodbury", "dense", "layer"])
def test_a_confidently_wrong_sample_has_its_share_outside_the_range(name: str) -> None:
    """A target of vanishing probability: ∇ℓ = Bᵀw + q, and q/λ belongs to the solution with a prior too."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4)).double()
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([60.0, 0.0, 0.0, -900.0]))
    inputs, targets = torch.rand(3, 3, dtype=torch.float64), torch.tensor([3, 1, 0])
    loss, damping = nn.CrossEntropyLoss(), 0.1
    dense, gradient = (
        oracles.ggn(model, loss, inputs, targets),
        oracles.gradient(model, loss, inputs, targets),
    )
    prior = normal(len(dense))
    ggn = GGN(model, loss, inputs, targets)
    assert ggn.gradient_weights[1] is not None
    shifted = dense + damping * torch.eye(len(dense), dtype=torch.float64)
    solver = {**EXACT, "layer": Layerwise()}[name]
    for around in (None, prior):
        wanted = torch.linalg.solve(shifted, gradient if around is None else gradient + damping * around)
        assert (
            oracles.relative_error(solver.solve(ggn, damping=damping, prior=around).solution, wanted) < 1e-9
        )


def test_few_iterations_from_a_good_prior_are_closer_than_from_zero() -> None:
    model, loss, inputs, targets = case("mlp", "cross-entropy")
    ggn = GGN(model, loss, inputs, targets)
    exact = Gram().solve(ggn, damping=0.01).solution
    near = exact + 0.01 * normal(ggn.size) * float(exact.norm())
    wanted = Gram().solve(ggn, damping=0.01, prior=near).solution
    errors = {}
    for name, prior in (("near", near), ("zero", None)):
        target = exact if prior is None else wanted
        found = CG(max_iterations=2, rtol=0.0).solve(ggn, damping=0.01, prior=prior).solution
        errors[name] = oracles.relative_error(found, target)
    assert errors["near"] < 0.5 * errors["zero"]


def test_a_carried_start_is_a_prior_in_the_null_space_alone() -> None:
    """Once the range has relaxed, TNGD is NGD with memory e^(−λt) but for λμ/(γ + λ) of the prior in the range.

    At the state x₋: the device has e^(−λt) x₋ in the null space of G, as the prior μx₋ with μ = e^(−λt). Along a mode
    γ ≫ 1/t it has forgotten x₋, where least squares keep λμ/(γ + λ) of it.
    """
    model, loss, inputs, targets = case("mlp", "squared error", batch=2)
    damping, t = 3e-4, 3000.0
    ggn = GGN(model, loss, inputs, targets)
    state = normal(ggn.size)
    mu = float(np.exp(-damping * t))
    device = Thermodynamic(analog_time=t, start="previous").relax(ggn, None, damping, state).readout
    solved = Gram().solve(ggn, damping=damping, prior=mu * state).solution
    values, vectors = torch.linalg.eigh(ggn.dense())
    kept = values > 1e-11 * values.max()
    assert float(values[kept].min()) * t > 25
    share = torch.where(kept, mu * damping / (values + damping), 0.0)
    assert oracles.relative_error(solved - device, vectors @ (share * (vectors.T @ state))) < 1e-6


def test_wrong_priors_are_refused() -> None:
    model, loss, inputs, targets = case("mlp", "cross-entropy")
    ggn = GGN(model, loss, inputs, targets)
    for solver in (*EXACT.values(), Layerwise()):
        with pytest.raises(ValueError, match=r"prior must be a vector"):
            solver.solve(ggn, prior=torch.zeros(2))
    with pytest.raises(ValueError, match="prior must be None on the device"):
        Thermodynamic().solve(ggn, prior=torch.zeros(ggn.size, dtype=torch.float64))


@pytest.mark.parametrize("of_gradient", [True, False])
@pytest.mark.parametrize("name", [*EXACT, "layer"])
def test_a_memory_scales_the_prior_and_leaves_it_as_it_was(name: str, of_gradient: bool) -> None:
    model, loss, inputs, targets = case("mlp", "cross-entropy")
    ggn = GGN(model, loss, inputs, targets)
    solver = {**EXACT, "layer": Layerwise()}[name]
    prior, rhs = normal(ggn.size), None if of_gradient else normal(ggn.size, 4)
    kept = prior.clone()
    wanted = solver.solve(ggn, rhs, damping=0.05, prior=0.7 * prior)
    found = solver.solve(ggn, rhs, damping=0.05, prior=prior, memory=0.7)
    assert oracles.relative_error(found.solution, wanted.solution) < 1e-10
    assert found.residual_norm < 1e-9 * float(wanted.solution.norm())
    assert torch.equal(prior, kept)
