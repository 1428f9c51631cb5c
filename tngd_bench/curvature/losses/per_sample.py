"""Curvature from single samples: of their Hessians, closed or differentiated, or of their gradients alone."""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench.curvature.losses.evaluation import PerSampleLoss, evaluate
from tngd_bench.curvature.losses.interface import Loss, OutputCurvature, conditioned_weights
from tngd_bench.curvature.operator import InRange
from tngd_bench.resources import available_memory_bytes

SMALL_BYTES = 2**28
"""What is allocated without a look at the free memory, which takes time."""


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

    Raises ValueError where one is not finite, not symmetric or not positive semi-definite, beyond rounding.
    """
    b, dtype = len(hessians), slope.dtype
    finite = hessians.isfinite().all(2).all(1)
    if not bool(finite.all()):
        if bool(slope.isfinite().all()):
            raise ValueError(
                f"loss has a second derivative that is not finite, at sample {int((~finite).nonzero()[0])}"
            )
        # of a model that has diverged, as its loss says; the decomposition would raise an error of its own
        hessians = torch.zeros_like(hessians)
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


def differentiated(
    loss: Loss, outputs: Tensor, targets: Tensor, *, empirical: bool = False, value: Tensor | None = None
) -> OutputCurvature:
    """Curvature of any loss(outputs, targets) that is a sum over samples of convex terms, by automatic derivatives.

    Column i of all per-sample Hessians is one second derivative along the i-th output of every sample; a second
    derivative along random directions shows whether samples are coupled. Raises ValueError where they are, where the
    loss cannot be differentiated twice, and where it no longer has the `value` of its first evaluation.
    """
    z = outputs.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        try:
            again = evaluate(loss, z, targets)
            (first,) = torch.autograd.grad(again, z, create_graph=True)
        except RuntimeError as error:
            raise ValueError(f"loss cannot be differentiated by the outputs: {error}") from error
        if value is not None:
            _check_repeats(float(value.detach()), float(again.detach()), value.dtype)
        slope = first.detach()
        if empirical:
            return EmpiricalFisher(slope)
        d = slope[0].numel()
        _check_memory(len(z), d)

        def second(directions: Tensor) -> Tensor:
            """H v for v (k, b, …)."""
            if not first.requires_grad:  # linear in the outputs
                return torch.zeros_like(directions)
            rows = [torch.autograd.grad(first, z, v, retain_graph=True)[0] for v in directions]
            return torch.stack(rows)

        units = torch.eye(d, dtype=z.dtype, device=z.device).view(d, 1, *z.shape[1:]).expand(d, *z.shape)
        generator = torch.Generator(z.device).manual_seed(d)
        probe = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        try:
            hessians = second(units).flatten(2).permute(1, 2, 0)  # (b, d, column)
            whole = second(probe.unsqueeze(0))[0].flatten(1)
        except RuntimeError as error:
            raise ValueError(f"loss cannot be differentiated twice by the outputs: {error}") from error
    by_sample = torch.einsum("bij,bj->bi", hessians, probe.flatten(1))
    difference = float(torch.linalg.vector_norm(whole - by_sample))
    if difference > torch.finfo(z.dtype).eps ** 0.5 * float(torch.linalg.vector_norm(whole)):
        raise ValueError(
            "loss must be a sum or mean of per-sample terms: its second derivatives couple samples with each other "
            f"(by {difference / float(torch.linalg.vector_norm(whole)):.2g} of a random second derivative)"
        )
    if not bool(hessians.any()):
        warnings.warn(
            "the loss is linear in the outputs on this batch, so the Gauss-Newton matrix is zero and the natural "
            "gradient is the plain one. Where outputs are log-probabilities, return logits and take CrossEntropyLoss; "
            "empirical=True needs no second derivative",
            stacklevel=2,
        )
    return spectral_curvature(hessians, slope)


def _check_memory(samples: int, outputs: int) -> None:
    """Raise MemoryError where the Hessians and their decomposition are larger than what is free."""
    needed = 4 * 8 * samples * outputs**2
    if needed > SMALL_BYTES and needed > (free := available_memory_bytes()):
        raise MemoryError(
            f"the {samples} Hessians of this loss, {outputs} by {outputs}, need {needed / 1e9:.1f} GB and "
            f"{free / 1e9:.1f} GB are free: take a loss with a closed form (CrossEntropyLoss, MSELoss, "
            "BCEWithLogitsLoss), or empirical=True"
        )


def _check_repeats(value: float, again: float, dtype: torch.dtype) -> None:
    if dtype.itemsize >= 4 and abs(again - value) > torch.finfo(dtype).eps ** 0.5 * abs(value):
        raise ValueError(
            f"loss(outputs, targets) is {value:.6g} at first and {again:.6g} when it is evaluated again: curvature "
            "needs a function, without random draws, state of its own, or changes of its arguments in place"
        )
