"""Losses known by one sample's terms: the Hessian of each sample by its eigendecomposition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tngd_bench.curvature.losses.interface import OutputCurvature, conditioned_weights
from tngd_bench.curvature.operator import InRange


class PerSampleLoss(nn.Module):
    """The mean over the batch of any per-sample loss that is convex in the outputs.

    `function(z_n, y_n)` takes one sample's outputs and target and returns a scalar tensor, in operations that
    `torch.func` can differentiate twice. Its Hessian is checked when curvature is asked for.
    """

    reduction = "mean"

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss."""
        return torch.vmap(self.function)(outputs, targets).mean()


@dataclass(frozen=True)
class SpectralCurvature(OutputCurvature):
    """A per-sample Hessian by its eigendecomposition: H_n = Q diag(a) Qᵀ, S_n = Q diag(√a).

    `values` (b, d) ≥ 0, `vectors` (b, d, d), `first` ∂ℓ/∂z (b, …) with d outputs per sample.
    """

    values: Tensor
    vectors: Tensor
    first: Tensor

    @property
    def rows_per_sample(self) -> int:
        """One per output."""
        return self.values.shape[1]

    def factor_matvec(self, v: Tensor) -> Tensor:
        """Sᵀ v."""
        return self.values.sqrt() * torch.einsum("bij,bi->bj", self.vectors, v.flatten(1))

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """S u."""
        return torch.einsum("bij,bj->bi", self.vectors, self.values.sqrt() * u).view(self.first.shape)

    def gradient_weights(self) -> InRange:
        """w = a^{−1/2} Qᵀ ∂ℓ/∂z on the eigenvalues that do not vanish beside the slope; the rest goes into q."""
        modal = torch.einsum("bij,bi->bj", self.vectors, self.first.flatten(1))
        w, rest = conditioned_weights(self.values, modal)
        if rest is None:
            return InRange(w, None)
        return InRange(w, torch.einsum("bij,bj->bi", self.vectors, rest).view(self.first.shape))


def spectral_curvature(hessians: Tensor, slope: Tensor) -> SpectralCurvature:
    """Curvature from per-sample Hessians (b, d, d) and ∂ℓ/∂z (b, …).

    Raises ValueError where one is not symmetric or not positive semi-definite, beyond rounding.
    """
    b, dtype = len(hessians), slope.dtype
    hessians = hessians.to(torch.float64)
    size = hessians.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    rounding = 100.0 * torch.finfo(dtype).eps
    skew = ((hessians - hessians.transpose(1, 2)).abs() / size).amax((1, 2))
    if bool((skew > rounding).any()):
        n = int(skew.argmax())
        raise ValueError(
            f"loss has a Hessian that is not symmetric at sample {n} (relative asymmetry {skew[n]:.1e})"
        )
    values, vectors = torch.linalg.eigh(hessians)
    lowest = (values / size.squeeze(2)).amin(1)
    if bool((lowest < -rounding).any()):
        n = int(lowest.argmin())
        raise ValueError(
            f"loss must be convex in the outputs: sample {n} has the Hessian eigenvalue "
            f"{float(values[n].min()) * b:.3g}"
        )
    return SpectralCurvature(values.clamp_min(0.0).to(dtype), vectors.to(dtype), slope)


def per_sample(loss: PerSampleLoss, outputs: Tensor, targets: Tensor) -> SpectralCurvature:
    """The curvature of a `PerSampleLoss`, by torch.func."""
    b = len(outputs)

    def of_flat(z: Tensor, y: Tensor) -> Tensor:
        return loss.function(z.view(outputs.shape[1:]), y)

    flat = outputs.flatten(1)
    hessians = torch.vmap(torch.func.hessian(of_flat))(flat, targets) / b
    slope = torch.vmap(torch.func.grad(of_flat))(flat, targets) / b
    return spectral_curvature(hessians, slope.view(outputs.shape))
