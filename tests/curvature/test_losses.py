"""Output-space curvature against autograd Hessians."""

import pytest
import torch
from torch import nn

from tests.oracles import relative_error
from tngd_bench.curvature import losses

B, C, T = 4, 5, 3
GENERATOR = torch.Generator().manual_seed(0)


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=GENERATOR, dtype=torch.float64)


LABELS = torch.tensor([0, 3, 4, 1])
SEQUENCE = torch.randint(0, C, (B, T), generator=GENERATOR)
IGNORED = torch.tensor([[0, -100, 2], [1, 1, -100], [-100, -100, -100], [4, 3, 2]])
CASES = {
    "cross-entropy": (nn.CrossEntropyLoss(), rand(B, C), LABELS),
    "weights": (nn.CrossEntropyLoss(weight=rand(C) + 0.1), rand(B, C), LABELS),
    "smoothing": (nn.CrossEntropyLoss(label_smoothing=0.2), rand(B, C), LABELS),
    "weights and smoothing": (nn.CrossEntropyLoss(rand(C) + 0.1, label_smoothing=0.2), rand(B, C), LABELS),
    "ignore_index": (nn.CrossEntropyLoss(ignore_index=3), rand(B, C), LABELS),
    "sequence": (nn.CrossEntropyLoss(), rand(B, C, T), SEQUENCE),
    "sequence, ignored": (nn.CrossEntropyLoss(rand(C) + 0.1, label_smoothing=0.1), rand(B, C, T), IGNORED),
    "distributions": (nn.CrossEntropyLoss(), rand(B, C), torch.softmax(rand(B, C), 1)),
    "distributions, weights": (nn.CrossEntropyLoss(rand(C) + 0.1), rand(B, C), torch.softmax(rand(B, C), 1)),
    "squared error": (nn.MSELoss(), rand(B, C), rand(B, C)),
    "binary": (nn.BCEWithLogitsLoss(), rand(B, C), rand(B, C)),
    "binary, weights": (nn.BCEWithLogitsLoss(weight=rand(C), pos_weight=rand(C) + 0.5), rand(B, C), rand(B, C)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_hessian_factor_and_gradient_equal_autograd(case: str) -> None:
    loss, outputs, targets = CASES[case]
    flat = outputs.reshape(-1)
    expected = torch.func.hessian(lambda z: loss(z.view_as(outputs), targets))(flat)
    slope = torch.func.grad(lambda z: loss(z.view_as(outputs), targets))(flat)
    curvature = losses.output_curvature(loss, outputs, targets)
    units = torch.eye(flat.numel(), dtype=torch.float64).view(-1, *outputs.shape)
    hessian = torch.stack([curvature.matvec(unit).reshape(-1) for unit in units])
    factor = torch.stack([curvature.factor_rmatvec(unit.flatten(1)).reshape(-1) for unit in units], 1)
    transposed = torch.stack([curvature.factor_matvec(unit).reshape(-1) for unit in units], 1)
    weights, rest = curvature.gradient_weights()
    assert rest is None
    assert relative_error(hessian, expected) < 1e-12
    assert relative_error(factor @ factor.T, expected) < 1e-12
    assert relative_error(transposed, factor.T) < 1e-14
    assert relative_error(factor @ weights.reshape(-1), slope) < 1e-12


def test_columns_are_the_factor_of_every_sample_at_once() -> None:
    loss, outputs, targets = CASES["weights"]
    curvature = losses.output_curvature(loss, outputs, targets)
    columns = losses.factor_columns(curvature, outputs, 1, 4)
    assert columns.shape == (3, B, C)
    for column, index in zip(columns, range(1, 4), strict=True):
        unit = torch.zeros_like(outputs)
        unit[:, index] = 1.0
        assert torch.equal(column, curvature.factor_rmatvec(unit.flatten(1)))


@pytest.mark.parametrize("gap", [20.0, 60.0, 200.0])
def test_vanishing_probability_of_the_target_keeps_the_gradient_in_float32(gap: float) -> None:
    outputs = torch.tensor([[gap, 0.0, 0.0], [0.3, 0.1, -0.2]])
    targets = torch.tensor([1, 2])
    loss = nn.CrossEntropyLoss()
    slope = torch.func.grad(lambda z: loss(z, targets))(outputs)
    curvature = losses.output_curvature(loss, outputs, targets)
    weights, rest = curvature.gradient_weights()
    assert rest is not None
    assert weights.abs().max() < 1e4
    assert relative_error(curvature.factor_rmatvec(weights) + rest, slope) < 1e-6


def test_flat_binary_targets_at_saturation_stay_finite() -> None:
    loss, outputs, targets = (
        nn.BCEWithLogitsLoss(),
        torch.tensor([[400.0, -400.0, 400.0]]),
        torch.tensor([[1.0, 1.0, 0.0]]),
    )
    curvature = losses.output_curvature(loss, outputs, targets)
    weights, rest = curvature.gradient_weights()
    assert rest is not None
    slope = torch.func.grad(lambda z: loss(z, targets))(outputs)
    assert torch.isfinite(weights).all()
    assert relative_error(curvature.factor_rmatvec(weights) + rest, slope) < 1e-6


def test_other_reductions_of_torch_losses_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="mean-reduced, not reduction='sum'"):
        losses.output_curvature(nn.MSELoss(reduction="sum"), rand(B, C), rand(B, C))
