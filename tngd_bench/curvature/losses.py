"""Curvature of the loss with respect to the model's outputs, in closed form.

For a mean-reduced loss ℓ = mean_n L(z_n, y_n) each class below holds, for one batch, the block-diagonal Hessian
H = ∂²ℓ/∂z² (the 1/b of the mean included), a factor S with H = S Sᵀ, and weights w with S w = ∂ℓ/∂z. The factor
acts within one sample and one output position, so all of it is elementwise work on arrays of the outputs' size.
Source: arXiv 2405.13817 §3 and the exponential-family identities for the GGN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST_CONDITIONED_PROBABILITY = 1e-6
"""Below it w = (p − y)/√p would lose digits to its own size; such samples are carried as a plain cotangent."""


class OutputCurvature(Protocol):
    """Hessian of the loss in output space and its factor; `u` and `v` have the outputs' shape (b, …)."""

    def matvec(self, v: Tensor) -> Tensor:
        """H v, (b, …)."""

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v, (b, …)."""

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u, (b, …)."""

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """(w, q) with ∂ℓ/∂z = S w + q; q is None where the factor's range holds the whole gradient."""


@dataclass(frozen=True)
class SoftmaxCurvature:
    """Softmax cross-entropy: H = c (diag p − p pᵀ) per sample and position, S = √c (diag √p − p √pᵀ).

    `probabilities` (b, …) with classes along `class_dim`; `scale` c and `targets` broadcast against it; targets
    are distributions over the classes.
    """

    probabilities: Tensor
    targets: Tensor
    scale: Tensor
    class_dim: int

    def matvec(self, v: Tensor) -> Tensor:
        """H v."""
        p = self.probabilities
        return self.scale * p * (v - (p * v).sum(self.class_dim, keepdim=True))

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        p = self.probabilities
        return (self.scale * p).sqrt() * (v - (p * v).sum(self.class_dim, keepdim=True))

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        p, root = self.probabilities, self.probabilities.sqrt()
        return self.scale.sqrt() * (root * u - p * (root * u).sum(self.class_dim, keepdim=True))

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """W with w_i = √c (√p_i − y_i/√p_i); samples with a target of vanishing probability go into q."""
        p, y = self.probabilities, self.targets
        vanishing = ((p < SMALLEST_CONDITIONED_PROBABILITY) & (y > 0)).any(self.class_dim, keepdim=True)
        safe = p.clamp_min(torch.finfo(p.dtype).tiny)
        w = self.scale.sqrt() * (safe.sqrt() - torch.where(y > 0, y / safe.sqrt(), 0.0))
        if not bool(vanishing.any()):
            return w, None
        rest = torch.where(vanishing, self.scale * (p - y), 0.0)
        return torch.where(vanishing, 0.0, w), rest


@dataclass(frozen=True)
class ElementwiseCurvature:
    """Losses that sum over outputs (squared error, binary cross-entropy): H = diag(h), S = diag(√h).

    `second` h and `first` ∂ℓ/∂z have the outputs' shape.
    """

    second: Tensor
    first: Tensor

    def matvec(self, v: Tensor) -> Tensor:
        """H v."""
        return self.second * v

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        return self.second.sqrt() * v

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        return self.second.sqrt() * u

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """W = (∂ℓ/∂z)/√h; elements whose curvature vanishes beside their slope go into q."""
        vanishing = self.second <= SMALLEST_CONDITIONED_PROBABILITY * self.first.abs()
        w = torch.where(vanishing, 0.0, self.first / self.second.sqrt())
        if not bool(vanishing.any()):
            return w, None
        return w, torch.where(vanishing, self.first, 0.0)


def output_curvature(loss: nn.Module, outputs: Tensor, targets: Tensor) -> OutputCurvature:
    """Return the curvature of `loss(outputs, targets)` at the given outputs (b, …).

    Raises TypeError for a loss without a closed form here, ValueError for a reduction other than the mean.
    """
    reduction = getattr(loss, "reduction", "mean")
    if reduction != "mean":
        raise ValueError(
            f"loss must be mean-reduced, not reduction={reduction!r}: curvature is scaled by 1/b"
        )
    for kind, build in _CLOSED_FORMS.items():
        if isinstance(loss, kind):
            return build(loss, outputs.detach(), targets)
    accepted = ", ".join(kind.__name__ for kind in _CLOSED_FORMS)
    raise TypeError(f"loss must be one of: {accepted}; not {type(loss).__name__}")


def _cross_entropy(loss: nn.Module, outputs: Tensor, targets: Tensor) -> OutputCurvature:
    assert isinstance(loss, nn.CrossEntropyLoss)
    if outputs.dim() < 2:
        raise ValueError(f"CrossEntropyLoss needs outputs (b, C) or (b, C, …), not {tuple(outputs.shape)}")
    classes = outputs.shape[1]
    weight = (
        torch.ones(classes, dtype=outputs.dtype, device=outputs.device)
        if loss.weight is None
        else loss.weight
    )
    weight = weight.to(outputs.dtype).view(1, classes, *([1] * (outputs.dim() - 2)))
    smoothing = loss.label_smoothing
    probabilities = functional.softmax(outputs, dim=1)
    if targets.is_floating_point():
        distribution = weight * (targets.to(outputs.dtype) * (1.0 - smoothing) + smoothing / classes)
        total = torch.tensor(outputs.numel() / classes, dtype=outputs.dtype, device=outputs.device)
        valid = torch.ones_like(distribution[:, :1])
    else:
        valid = (targets != loss.ignore_index).unsqueeze(1).to(outputs.dtype)
        index = torch.where(targets == loss.ignore_index, 0, targets)
        one_hot = torch.zeros_like(outputs).scatter_(1, index.unsqueeze(1), 1.0)
        total = ((weight * one_hot).sum(1, keepdim=True) * valid).sum()
        distribution = valid * weight * ((1.0 - smoothing) * one_hot + smoothing / classes)
    mass = distribution.sum(1, keepdim=True)
    scale = mass / total
    return SoftmaxCurvature(probabilities, torch.where(mass > 0, distribution / mass, 0.0), scale, 1)


def _squared_error(loss: nn.Module, outputs: Tensor, targets: Tensor) -> OutputCurvature:
    count = outputs.numel()
    return ElementwiseCurvature(
        torch.full_like(outputs, 2.0 / count), (2.0 / count) * (outputs - targets.to(outputs.dtype))
    )


def _binary_cross_entropy(loss: nn.Module, outputs: Tensor, targets: Tensor) -> OutputCurvature:
    assert isinstance(loss, nn.BCEWithLogitsLoss)
    probability = torch.sigmoid(outputs)
    weight = torch.ones_like(outputs) / outputs.numel()
    if loss.weight is not None:
        weight = weight * loss.weight
    positive = targets if loss.pos_weight is None else targets * loss.pos_weight
    slope = (1.0 - targets) * probability - positive * (1.0 - probability)
    curvature = (1.0 - targets + positive) * probability * (1.0 - probability)
    return ElementwiseCurvature(weight * curvature, weight * slope)


_CLOSED_FORMS: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], OutputCurvature]] = {
    nn.CrossEntropyLoss: _cross_entropy,
    nn.MSELoss: _squared_error,
    nn.BCEWithLogitsLoss: _binary_cross_entropy,
}


def factor_columns(curvature: OutputCurvature, like: Tensor, first: int, last: int) -> Tensor:
    """Columns `first`…`last` of S as cotangents of the outputs, (last − first, b, …), for every sample at once.

    Column i of the block-diagonal S has, in each sample, the image of that sample's i-th unit vector.
    """
    per_sample = math.prod(like.shape[1:])
    units = torch.zeros(last - first, like.shape[0], per_sample, dtype=like.dtype, device=like.device)
    units[torch.arange(last - first), :, torch.arange(first, last)] = 1.0
    shaped = units.view(last - first, *like.shape)
    return torch.vmap(curvature.factor_rmatvec)(shaped)
