"""Losses that sum over outputs, in closed form: squared error and binary cross-entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tngd_bench.curvature.losses.interface import SMALLEST_CONDITIONED_PROBABILITY


@dataclass(frozen=True)
class ElementwiseCurvature:
    """Losses that sum over outputs (squared error, binary cross-entropy): H = diag(h), S = diag(√h).

    `second` h and `first` ∂ℓ/∂z have the outputs' shape.
    """

    second: Tensor
    first: Tensor

    @property
    def rows_per_sample(self) -> int:
        """One per output."""
        return math.prod(self.second.shape[1:])

    def matvec(self, v: Tensor) -> Tensor:
        """H v."""
        return self.second * v

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        return (self.second.sqrt() * v).flatten(1)

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        return self.second.sqrt() * u.view(self.second.shape)

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """w = (∂ℓ/∂z)/√h; elements whose curvature vanishes beside their slope go into q."""
        vanishing = self.second <= SMALLEST_CONDITIONED_PROBABILITY * self.first.abs()
        w = torch.where(vanishing, 0.0, self.first / self.second.sqrt()).flatten(1)
        if not bool((vanishing & (self.first != 0)).any()):
            return w, None
        return w, torch.where(vanishing, self.first, 0.0)


def squared_error(loss: nn.Module, outputs: Tensor, targets: Tensor) -> ElementwiseCurvature:
    """The curvature of torch's `MSELoss`."""
    scale = 2.0 / outputs.numel()
    return ElementwiseCurvature(
        torch.full_like(outputs, scale), scale * (outputs - targets.to(outputs.dtype))
    )


def binary_cross_entropy(loss: nn.Module, outputs: Tensor, targets: Tensor) -> ElementwiseCurvature:
    """The curvature of torch's `BCEWithLogitsLoss`."""
    assert isinstance(loss, nn.BCEWithLogitsLoss)
    probability = torch.sigmoid(outputs)
    weight = torch.ones_like(outputs) / outputs.numel()
    if loss.weight is not None:
        weight = weight * loss.weight
    targets = targets.to(outputs.dtype)
    positive = targets if loss.pos_weight is None else targets * loss.pos_weight
    slope = (1.0 - targets) * probability - positive * (1.0 - probability)
    curvature = (1.0 - targets + positive) * probability * (1.0 - probability)
    return ElementwiseCurvature(weight * curvature, weight * slope)
