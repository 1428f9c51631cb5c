"""Losses that sum over outputs, in closed form: squared error and binary cross-entropy."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tngd_bench.curvature.losses.interface import OutputCurvature, conditioned_weights
from tngd_bench.curvature.operator import InRange


@dataclass(frozen=True)
class ElementwiseCurvature(OutputCurvature):
    """H = diag(h), S = diag(√h).

    `second` h and `first` ∂ℓ/∂z have the outputs' shape.
    """

    second: Tensor
    first: Tensor

    @property
    def rows_per_sample(self) -> int:
        """One per output."""
        return math.prod(self.second.shape[1:])

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        return (self.second.sqrt() * v).flatten(1)

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        return self.second.sqrt() * u.view(self.second.shape)

    def gradient_weights(self) -> InRange:
        """w = (∂ℓ/∂z)/√h; elements whose curvature vanishes beside their slope go into q."""
        w, rest = conditioned_weights(self.second, self.first)
        return InRange(w.flatten(1), rest)


def squared_error(loss: nn.MSELoss, outputs: Tensor, targets: Tensor) -> ElementwiseCurvature:
    """The curvature of torch's `MSELoss`."""
    scale = 2.0 / outputs.numel()
    return ElementwiseCurvature(
        torch.full_like(outputs, scale), scale * (outputs - targets.to(outputs.dtype))
    )


def binary_cross_entropy(
    loss: nn.BCEWithLogitsLoss, outputs: Tensor, targets: Tensor
) -> ElementwiseCurvature:
    """The curvature of torch's `BCEWithLogitsLoss`."""
    probability = torch.sigmoid(outputs)
    weight = torch.ones_like(outputs) / outputs.numel()
    if loss.weight is not None:
        weight = weight * loss.weight
    targets = targets.to(outputs.dtype)
    positive = targets if loss.pos_weight is None else targets * loss.pos_weight
    slope = (1.0 - targets) * probability - positive * (1.0 - probability)
    curvature = (1.0 - targets + positive) * probability * (1.0 - probability)
    second = weight * curvature
    if bool((second < 0).any()):
        raise ValueError(
            "BCEWithLogitsLoss must be convex in the outputs: its weights must be >= 0 and its targets between 0 and 1"
        )
    return ElementwiseCurvature(second, weight * slope)
