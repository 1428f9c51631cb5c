"""Batch statistics as constants: the gradient behind a normalisation is that of an affine map per channel."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests import oracles
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.kronecker.batch_statistics import (
    constant_statistics,
    refusing_other_statistics,
    statistics_nodes,
)
from tngd_bench.optimizers import KFAC
from tngd_bench.optimizers.kfac.notices import AssumptionWarning

KINDS = {
    "1d": (lambda affine: nn.BatchNorm1d(3, affine=affine), (6, 3)),
    "1d, positions": (lambda affine: nn.BatchNorm1d(3, affine=affine), (6, 3, 5)),
    "2d": (lambda affine: nn.BatchNorm2d(3, affine=affine), (6, 3, 4, 2)),
    "3d": (lambda affine: nn.BatchNorm3d(3, affine=affine), (6, 3, 2, 2, 2)),
}


def by_hand(layer: Any, x: Tensor) -> Tensor:
    """The normalised x with the batch's mean and variance cut out of the graph."""
    dims = [d for d in range(x.dim()) if d != 1]
    mean, variance = x.mean(dims, keepdim=True).detach(), x.var(dims, unbiased=False, keepdim=True).detach()
    shape = (1, -1, *(1,) * (x.dim() - 2))
    weight, bias = (1.0, 0.0) if layer.weight is None else (layer.weight.view(shape), layer.bias.view(shape))
    return (x - mean) / (variance + layer.eps).sqrt() * weight + bias


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_with_mean_and_variance_given(kind: str, batched: bool, affine: bool) -> None:
    torch.manual_seed(0)
    make, shape = KINDS[kind]
    layer = make(affine).double()
    if affine:
        nn.init.normal_(layer.weight)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    with refusing_other_statistics(layer):
        outputs = layer(x * 1.0)
    nodes = statistics_nodes(AutogradGraph(outputs))
    assert len(nodes) == 1
    g = torch.randn(2, *shape, dtype=torch.float64) if batched else torch.randn(shape, dtype=torch.float64)
    (expected,) = torch.autograd.grad(by_hand(layer, x), x, g, is_grads_batched=batched)
    (through,) = torch.autograd.grad(outputs, x, g, is_grads_batched=batched, retain_graph=True)
    with constant_statistics(nodes):
        (found,) = torch.autograd.grad(outputs, x, g, is_grads_batched=batched, retain_graph=True)
    assert oracles.relative_error(found, expected) < 1e-12
    assert oracles.relative_error(through, expected) > 1e-2
    (after,) = torch.autograd.grad(outputs, x, g, is_grads_batched=batched)
    assert torch.equal(after, through)


def test_running_statistics_are_constants_already() -> None:
    layer = nn.BatchNorm1d(3).eval()
    outputs = layer(torch.randn(4, 3, requires_grad=True))
    assert statistics_nodes(AutogradGraph(outputs)) == []


class Scaled(nn.BatchNorm1d):
    """Torch's own with more behind it."""

    def forward(self, x: Tensor) -> Tensor:
        return 3.0 * super().forward(input=x) + 1.0


class Functional(nn.Module):
    """A normalisation without a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(x, None, None, self.weight, self.bias, training=True)


class ByHand(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.var(0, unbiased=False) + self.eps).sqrt() * self.weight + self.bias


@pytest.mark.parametrize(("kind", "scale"), [(lambda: Scaled(4), 3.0), (Functional, 1.0)])
def test_statistics_are_constants_wherever_torch_s_operation_is(kind: Any, scale: float) -> None:
    """Γ of the layer before is the second moment of the gradients with mean and variance given."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), kind(), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1, 0])
    optimizer = KFAC(model, nn.CrossEntropyLoss(), lr=1e-30, fisher="exact")
    with pytest.warns(AssumptionWarning, match="mean and variance of the batch are constants"):
        optimizer.step(x, y)
    before = model[0](x).detach().requires_grad_()
    mean, variance = before.detach().mean(0), before.detach().var(0, unbiased=False)
    shift = 1.0 if scale != 1.0 else 0.0
    z = model[3](torch.tanh(scale * (before - mean) / (variance + 1e-5).sqrt() + shift))
    wanted = torch.zeros(4, 4, dtype=torch.float64)
    for n in range(6):
        (rows,) = torch.autograd.grad(
            z,
            before,
            torch.eye(2, dtype=torch.float64)[:, None] * torch.eye(6, dtype=torch.float64)[n, :, None],
            retain_graph=True,
            is_grads_batched=True,
        )
        p = z[n].detach().softmax(0)
        wanted += rows[:, n].T @ (p.diag() - torch.outer(p, p)) @ rows[:, n] / 6
    assert oracles.relative_error(optimizer.factors["0.weight"].outputs, wanted) < 1e-10


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("size", [1, 5])
def test_statistics_of_a_sample_alone_are_no_constants(affine: bool, size: int) -> None:
    """Γ before an instance normalisation, or a batch of one, is that of whole derivatives, sample by sample."""
    torch.manual_seed(0)
    kind = nn.InstanceNorm1d if size > 1 else nn.BatchNorm1d
    model = nn.Sequential(
        nn.Conv1d(3, 4, 2), kind(4, affine=affine), nn.Tanh(), nn.Flatten(), nn.Linear(20, 2)
    ).double()
    x, y = torch.randn(size, 3, 6, dtype=torch.float64), torch.arange(size) % 2
    optimizer = KFAC(model, nn.CrossEntropyLoss(), lr=1e-30, fisher="exact")
    with warnings.catch_warnings():
        warnings.simplefilter("error", AssumptionWarning)
        optimizer.step(x, y)
    wanted = torch.zeros(4, 4, dtype=torch.float64)
    for sample in x:
        before = model[0](sample[None]).detach().requires_grad_()
        z = model[1:](before)[0]
        p = z.detach().softmax(0)
        rows = torch.stack([torch.autograd.grad(each, before, retain_graph=True)[0][0] for each in z])
        wanted += torch.einsum("ict,ij,jdt->cd", rows, p.diag() - torch.outer(p, p), rows) / size
    assert oracles.relative_error(optimizer.factors["0.weight"].outputs, wanted) < 1e-10


def test_statistics_by_hand_are_refused_by_name_and_fixed_ones_are_not() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), ByHand(4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 1, 0])
    with pytest.raises(
        ValueError, match=r"ByHand '2' takes the statistics.*accepted: functional\.batch_norm"
    ):
        KFAC(model, nn.CrossEntropyLoss()).step(x, y)
    model[2].eval()
    KFAC(model, nn.CrossEntropyLoss()).step(x, y)
