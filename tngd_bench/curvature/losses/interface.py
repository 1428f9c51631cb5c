"""Interface of the curvature of a loss in output space, and what any of them gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

SMALLEST_CONDITIONED_PROBABILITY = 1e-6
"""Below it w = (p − y)/√p would lose digits to its own size; such samples are carried as a plain cotangent."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""`loss(outputs, targets) -> scalar`: a loss module, a function, a lambda."""


class OutputCurvature(Protocol):
    """Hessian of the loss in output space and its factor S.

    `v` has the outputs' shape (b, …); `u` is (b, r) with r columns of S per sample.
    """

    @property
    def rows_per_sample(self) -> int:
        """Columns of S per sample, r."""

    def matvec(self, v: Tensor) -> Tensor:
        """H v, (b, …)."""

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v, (b, r)."""

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u, (b, …)."""

    def gradient_weights(self) -> tuple[Tensor, Tensor | None]:
        """(w, q) with ∂ℓ/∂z = S w + q, w (b, r); q is None where the factor's range holds the whole gradient."""


def factor_columns(curvature: OutputCurvature, like: Tensor, first: int, last: int) -> Tensor:
    """Columns `first`…`last` of S as cotangents of the outputs, (last − first, b, …), for every sample at once.

    Column i of the block-diagonal S has, in each sample, the image of that sample's i-th unit vector.
    """
    rows = curvature.rows_per_sample
    units = torch.zeros(last - first, 1, rows, dtype=like.dtype, device=like.device)
    units[torch.arange(last - first), 0, torch.arange(first, last)] = 1.0
    return torch.vmap(curvature.factor_rmatvec)(units.expand(last - first, like.shape[0], rows).contiguous())


def slope(curvature: OutputCurvature) -> Tensor:
    """∂ℓ/∂z."""
    weights, rest = curvature.gradient_weights()
    slope = curvature.factor_rmatvec(weights)
    return slope if rest is None else slope + rest
