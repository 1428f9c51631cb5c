"""Softmax cross-entropy in closed form."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tngd_bench.curvature.losses.evaluation import class_dim
from tngd_bench.curvature.losses.interface import SMALLEST_CONDITIONED_PROBABILITY, OutputCurvature
from tngd_bench.curvature.operator import InRange


@dataclass(frozen=True)
class SoftmaxCurvature(OutputCurvature):
    """Softmax cross-entropy: H = c (diag p − p pᵀ) per sample and position, S = √c (diag √p − p √pᵀ).

    `probabilities` (b, …) with classes along `class_dim`; `targets` are distributions of the same shape; `scale` c
    broadcasts against them.
    """

    probabilities: Tensor
    targets: Tensor
    scale: Tensor
    class_dim: int

    @property
    def rows_per_sample(self) -> int:
        """One per output."""
        return math.prod(self.probabilities.shape[1:])

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        p = self.probabilities
        return ((self.scale * p).sqrt() * (v - (p * v).sum(self.class_dim, keepdim=True))).flatten(1)

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        p, root, shaped = self.probabilities, self.probabilities.sqrt(), u.view(self.probabilities.shape)
        return self.scale.sqrt() * (root * shaped - p * (root * shaped).sum(self.class_dim, keepdim=True))

    def gradient_weights(self) -> InRange:
        """w with w_i = √c (√p_i − y_i/√p_i); samples with a target of vanishing probability go into q."""
        p, y = self.probabilities, self.targets
        vanishing = ((p < SMALLEST_CONDITIONED_PROBABILITY) & (y > 0)).any(self.class_dim, keepdim=True)
        safe = p.clamp_min(torch.finfo(p.dtype).tiny)
        w = self.scale.sqrt() * (safe.sqrt() - torch.where(y > 0, y / safe.sqrt(), 0.0))
        if not bool(vanishing.any()):
            return InRange(w.flatten(1), None)
        rest = torch.where(vanishing, self.scale * (p - y), 0.0)
        return InRange(torch.where(vanishing, 0.0, w).flatten(1), rest)


def cross_entropy(loss: nn.CrossEntropyLoss, outputs: Tensor, targets: Tensor) -> SoftmaxCurvature:
    """The curvature of torch's `CrossEntropyLoss`, its weights, smoothing and ignored targets included."""
    if outputs.dim() < 2:
        raise ValueError(f"CrossEntropyLoss needs outputs (b, C) or (b, C, …), not {tuple(outputs.shape)}")
    dim = class_dim(loss, outputs, targets)
    classes = outputs.shape[dim]
    weight = torch.ones(classes, device=outputs.device) if loss.weight is None else loss.weight
    shape = [1] * outputs.dim()
    shape[dim] = classes
    weight = weight.to(outputs.dtype).view(shape)
    smoothing = loss.label_smoothing
    probabilities = functional.softmax(outputs, dim=dim)
    if targets.is_floating_point():
        distribution = weight * (targets.to(outputs.dtype) * (1.0 - smoothing) + smoothing / classes)
        total = torch.tensor(outputs.numel() / classes, dtype=outputs.dtype, device=outputs.device)
    else:
        valid = (targets != loss.ignore_index).unsqueeze(dim).to(outputs.dtype)
        index = torch.where(targets == loss.ignore_index, 0, targets)
        one_hot = torch.zeros_like(outputs).scatter_(dim, index.unsqueeze(dim), 1.0)
        total = ((weight * one_hot).sum(dim, keepdim=True) * valid).sum()
        distribution = valid * weight * ((1.0 - smoothing) * one_hot + smoothing / classes)
    if (targets.is_floating_point() or loss.weight is not None) and bool((distribution < 0).any()):
        raise ValueError(
            "CrossEntropyLoss must be convex in the outputs: its weights and probabilities must be >= 0"
        )
    mass = distribution.sum(dim, keepdim=True)
    return SoftmaxCurvature(probabilities, torch.where(mass > 0, distribution / mass, 0.0), mass / total, dim)
