"""Batch statistics as constants: the gradient behind a normalisation is that of an affine map per channel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tngd_bench.curvature.kronecker.batch_statistics import constant_statistics, recording_statistics

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
    with recording_statistics(layer) as nodes:
        outputs = layer(x * 1.0)
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
    with recording_statistics(layer) as nodes:
        layer(torch.randn(4, 3, requires_grad=True))
    assert nodes == []
