"""Interface of the curvature of a loss in output space."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from tngd_bench.curvature.operator import InRange

SMALLEST_CONDITIONED_PROBABILITY = 1e-6
"""Below it w = (p − y)/√p would lose digits to its own size; such samples are carried as a plain cotangent."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""`loss(outputs, targets) -> scalar`: a loss module, a function, a lambda."""


class OutputCurvature(ABC):
    """Hessian H = S Sᵀ of the loss in output space.

    `v` has the outputs' shape (b, …); `u` is (b, r) with r columns of S per sample.
    """

    @property
    @abstractmethod
    def rows_per_sample(self) -> int:
        """Columns of S per sample, r."""

    @abstractmethod
    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v, (b, r)."""

    @abstractmethod
    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u, (b, …)."""

    @abstractmethod
    def gradient_weights(self) -> InRange:
        """∂ℓ/∂z = S w + q, w (b, r); q is None where the factor's range holds the whole gradient."""

    def matvec(self, v: Tensor) -> Tensor:
        """H v, (b, …)."""
        return self.factor_rmatvec(self.factor_matvec(v))

    def slope(self) -> Tensor:
        """∂ℓ/∂z, (b, …)."""
        weights, rest = self.gradient_weights()
        slope = self.factor_rmatvec(weights)
        return slope if rest is None else slope + rest


def conditioned_weights(curvature: Tensor, slope: Tensor) -> InRange:
    """Slopes over the roots of their curvatures; a slope beside which the curvature vanishes is in the rest."""
    vanishing = curvature <= SMALLEST_CONDITIONED_PROBABILITY * slope.abs()
    rest = torch.where(vanishing, slope, 0.0)
    return InRange(torch.where(vanishing, 0.0, slope / curvature.sqrt()), rest if bool(rest.any()) else None)


def factor_columns(curvature: OutputCurvature, like: Tensor, first: int, last: int) -> Tensor:
    """Columns `first`…`last` of S as cotangents of the outputs, (last − first, b, …), for every sample at once.

    Column i of the block-diagonal S has, in each sample, the image of that sample's i-th unit vector.
    """
    rows = curvature.rows_per_sample
    units = torch.zeros(last - first, 1, rows, dtype=like.dtype, device=like.device)
    units[torch.arange(last - first), 0, torch.arange(first, last)] = 1.0
    return torch.vmap(curvature.factor_rmatvec)(units.expand(last - first, like.shape[0], rows).contiguous())
