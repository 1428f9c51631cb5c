"""The empirical Fisher: per-sample loss gradients in place of the Hessian."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench.curvature.losses.interface import OutputCurvature
from tngd_bench.curvature.operator import InRange


@dataclass(frozen=True)
class EmpiricalFisher(OutputCurvature):
    """Rows are per-sample loss gradients over √b, one per sample: H_n = b·(∂ℓ/∂z_n)(∂ℓ/∂z_n)ᵀ.

    `first` is ∂ℓ/∂z (b, …). The gradient is Σ_n of the rows over √b, so w = 1/√b.
    """

    first: Tensor

    @property
    def rows_per_sample(self) -> int:
        """One."""
        return 1

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        return math.sqrt(len(self.first)) * (self.first * v).flatten(1).sum(1, keepdim=True)

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        return math.sqrt(len(self.first)) * self.first * u.view(-1, *([1] * (self.first.dim() - 1)))

    def gradient_weights(self) -> InRange:
        """w = 1/√b for every sample."""
        return InRange(torch.full_like(self.first.flatten(1)[:, :1], 1.0 / math.sqrt(len(self.first))), None)
