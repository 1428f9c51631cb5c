"""Kronecker factors where they are exact, and where they must hold in expectation."""

import pytest
import torch
from torch import nn

from tests import oracles
from tngd_bench.curvature.capture import LayerCall, recording
from tngd_bench.curvature.kronecker.factors import KroneckerFactors, factor_rows, fisher_cotangents
from tngd_bench.curvature.kronecker.linear_maps import MAP_KINDS, LinearMap, layer_map
from tngd_bench.curvature.losses import output_curvature

LOSS = nn.CrossEntropyLoss()


def batch(samples: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3)).double()
    return model, torch.rand(samples, 4, dtype=torch.float64), torch.arange(samples) % 3


def mapped(calls: list[LayerCall]) -> LinearMap:
    found = layer_map(calls, len(calls[0].input))
    assert found is not None
    return found


def factors(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, fisher: str, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    with recording(model, MAP_KINDS) as calls:
        outputs = model(x)
    cotangents = fisher_cotangents(output_curvature(LOSS, outputs, y), outputs.detach(), fisher, generator)
    (gradient,) = torch.autograd.grad(outputs, [calls[0].edge], cotangents, is_grads_batched=True)
    one = mapped(calls)
    pair = KroneckerFactors.of(*factor_rows(one, [one.uses[0].rows(torch.float64)], [gradient]))
    return pair.inputs, pair.outputs


def block(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """GGN of a Linear layer, parameters as (d_out, d_in + 1) with the bias as last column."""
    order = torch.cat([torch.cat([torch.arange(4 * i, 4 * i + 4), torch.tensor([12 + i])]) for i in range(3)])
    return oracles.ggn(model, LOSS, x, y)[order][:, order]


def test_one_sample_and_the_exact_fisher_give_the_layer_block_itself() -> None:
    model, x, y = batch(1)
    a, g = factors(model, x, y, "exact")
    assert oracles.relative_error(torch.kron(g, a), block(model, x, y)) < 1e-12


def test_random_signs_estimate_the_exact_factor_without_bias() -> None:
    model, x, y = batch(6)
    _, exact = factors(model, x, y, "exact")
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([factors(model, x, y, "mc", generator)[1] for _ in range(400)])
    error = draws.mean(0) - exact
    assert bool((error.abs() < 5 * draws.std(0) / 20 + 1e-12).all())


def test_empirical_fisher_is_the_second_moment_of_per_sample_gradients() -> None:
    model, x, y = batch(6)
    _, g = factors(model, x, y, "empirical")
    z = model(x).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(nn.CrossEntropyLoss(reduction="sum")(z, y), z)
    assert oracles.relative_error(g, slopes.T @ slopes / 6) < 1e-12


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_convolution_rows_reproduce_the_weight_gradient(
    kind: type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d],
) -> None:
    torch.manual_seed(0)
    conv = kind(2, 3, 3, stride=2, padding=1).double()
    x = torch.rand(4, 2, *(7, 6, 5)[: len(conv.kernel_size)], dtype=torch.float64)
    with recording(conv, MAP_KINDS) as calls:
        outputs = conv(x)
    cotangent = torch.rand_like(outputs)
    outputs.backward(cotangent)
    (use,) = mapped(calls).uses
    a, g = use.rows(torch.float64), use.cotangent_rows(cotangent)
    product = g.T @ a
    assert conv.weight.grad is not None
    assert conv.bias.grad is not None
    assert oracles.relative_error(product[:, :-1], conv.weight.grad.reshape(3, -1)) < 1e-12
    assert oracles.relative_error(product[:, -1], conv.bias.grad) < 1e-12


@pytest.mark.parametrize("rows", [2, 200])
def test_preconditioning_is_the_damped_kronecker_solve_on_either_side(rows: int) -> None:
    torch.manual_seed(0)
    a, g = torch.rand(rows, 5, dtype=torch.float64), torch.rand(rows, 4, dtype=torch.float64)
    first, second = a.T @ a / rows, g.T @ g
    pair = KroneckerFactors(first, second)
    pair.invert(0.04)
    pi = float((first.diagonal().mean() / second.diagonal().mean()).sqrt())
    left = second + 0.2 / pi * torch.eye(4, dtype=torch.float64)
    right = first + 0.2 * pi * torch.eye(5, dtype=torch.float64)
    expected = torch.linalg.solve(torch.kron(left, right), (g.T @ a).reshape(-1)).view(4, 5)
    x, along = pair.precondition(a, g)
    assert oracles.relative_error(x.matrix, expected) < 1e-10
    assert float(along) == pytest.approx(float((expected * (g.T @ a)).sum()), rel=1e-9)


def test_eigen_inverse_damps_the_product_itself() -> None:
    torch.manual_seed(0)
    a, g = torch.rand(7, 5, dtype=torch.float64), torch.rand(7, 4, dtype=torch.float64)
    pair = KroneckerFactors(a.T @ a / 7, g.T @ g)
    pair.invert(0.03, "eigen")
    whole = torch.kron(pair.outputs, pair.inputs) + 0.03 * torch.eye(20, dtype=torch.float64)
    expected = torch.linalg.solve(whole, (g.T @ a).reshape(-1)).view(4, 5)
    x, along = pair.precondition(a, g)
    assert oracles.relative_error(x.matrix, expected) < 1e-10
    assert float(along) == pytest.approx(float((expected * (g.T @ a)).sum()), rel=1e-9)


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_shared_weights_by_their_definitions(sharing: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double()
    x = torch.rand(4, 5, 3, dtype=torch.float64)
    with recording(layer, MAP_KINDS) as calls:
        layer(x)
    cotangent = torch.rand(1, 4, 5, 2, dtype=torch.float64)
    one = mapped(calls)
    pair = KroneckerFactors.of(*factor_rows(one, [one.uses[0].rows(torch.float64)], [cotangent], sharing))
    extended = torch.cat([x, torch.ones(4, 5, 1, dtype=torch.float64)], 2)
    if sharing == "expand":
        wanted_a = torch.einsum("nti,ntj->ij", extended, extended) / 20
        wanted_g = torch.einsum("knto,kntp->op", cotangent, cotangent)
    else:
        wanted_a = torch.einsum("ni,nj->ij", extended.mean(1), extended.mean(1)) / 4
        wanted_g = torch.einsum("kno,knp->op", cotangent.sum(2), cotangent.sum(2))
    assert oracles.relative_error(pair.inputs, wanted_a) < 1e-12
    assert oracles.relative_error(pair.outputs, wanted_g) < 1e-12


def test_positions_are_not_taken_for_samples() -> None:
    """In a batch (T, b, d) a sample's positions are not side by side: its rows are expanded."""
    layer, x = nn.Linear(3, 2).double(), torch.rand(5, 4, 3, dtype=torch.float64)
    with recording(layer, MAP_KINDS) as calls:
        layer(x)
    one = layer_map(calls, 4)
    assert one is not None
    assert one.samples is None
    rows, cotangent = one.uses[0].rows(torch.float64), torch.rand(1, 5, 4, 2, dtype=torch.float64)
    reduced, expanded = (factor_rows(one, [rows], [cotangent], sharing) for sharing in ("reduce", "expand"))
    assert all(torch.equal(left, right) for left, right in zip(reduced, expanded, strict=True))


@pytest.mark.parametrize(("rows", "d_in", "d_out"), [(3, 30, 20), (12, 30, 20), (200, 30, 20), (25, 9, 40)])
def test_a_preconditioned_gradient_is_the_same_by_rows_and_by_the_gradient(
    rows: int, d_in: int, d_out: int
) -> None:
    """By rows with their pairs, by rows with the gradient's slope, by the gradient alone."""
    generator = torch.Generator().manual_seed(rows)
    a = torch.randn(rows, d_in, generator=generator, dtype=torch.float64)
    g = torch.randn(rows, d_out, generator=generator, dtype=torch.float64)
    factors = KroneckerFactors(a.T @ a / rows, g.T @ g)
    factors.invert(0.1, "cholesky")
    x, slope = factors.precondition(a, g)
    assert factors.left is not None
    assert factors.right is not None
    wanted = factors.left @ (g.T @ a) @ factors.right
    torch.testing.assert_close(x.matrix, wanted)
    torch.testing.assert_close(slope, (wanted * (g.T @ a)).sum())
