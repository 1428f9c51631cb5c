"""Kronecker factors of the GGN, layer by layer: G_layer ≈ A ⊗ Γ with A over inputs and Γ over output gradients.

Martens and Grosse 2015 (Linear), Grosse and Martens 2016 (convolutions; "expand" for any weight shared over T
positions): A = mean over samples and positions of a aᵀ, Γ = mean over samples, sum over positions, of g gᵀ. The
scales are those of the mean-reduced loss, so λ means here what it means for the exact GGN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tngd_bench.curvature.kronecker.linear_maps import LinearMap, RowProduct
from tngd_bench.curvature.losses import OutputCurvature, factor_columns
from tngd_bench.layers import preconditioning

Fisher = Literal["mc", "exact", "empirical"]
Inverse = Literal["cholesky", "eigen"]
Sharing = Literal["expand", "reduce"]


@dataclass
class KroneckerFactors:
    """Running averages A (d_in [+1 for the bias], same) and Γ (d_out, d_out), and what their damped inverse needs.

    After `invert`, `left` and `right` are the two damped inverses, or, with `scale` (d_out, d_in), the eigenvectors
    of the factors and the damped products of their eigenvalues.
    """

    inputs: Tensor
    outputs: Tensor
    left: Tensor | None = None
    right: Tensor | None = None
    scale: Tensor | None = None

    @classmethod
    def of(cls, a: Tensor, g: Tensor) -> KroneckerFactors:
        """Those of one batch, from its `factor_rows`."""
        return cls(a.T @ a / len(a), g.T @ g)

    def average(self, a: Tensor, g: Tensor, decay: float) -> None:
        """Let the past count `decay` and the rows of a batch the rest."""
        self.inputs.addmm_(a.T, a, beta=decay, alpha=(1.0 - decay) / len(a))
        self.outputs.addmm_(g.T, g, beta=decay, alpha=1.0 - decay)

    def invert(self, damping: float, inverse: Inverse = "cholesky") -> None:
        """Refresh the inverse for λ = `damping` > 0.

        cholesky: (A + π√λ I)⁻¹ and (Γ + √λ/π I)⁻¹ with π² the ratio of the factors' mean eigenvalues (Martens and
        Grosse 2015, §6.3). eigen: (Γ ⊗ A + λI)⁻¹ itself.
        """
        if inverse == "eigen":
            values_in, self.right = torch.linalg.eigh(self.inputs)
            values_out, self.left = torch.linalg.eigh(self.outputs)
            self.scale = torch.outer(values_out.clamp_min(0.0), values_in.clamp_min(0.0)).add_(damping)
            return
        of_inputs, of_outputs = self.shifts(damping)
        self.right = _damped_inverse(self.inputs, of_inputs)
        self.left = _damped_inverse(self.outputs, of_outputs)
        self.scale = None

    def shifts(self, damping: float) -> tuple[float, float]:
        """π√λ for A and √λ/π for Γ."""
        floor = torch.finfo(self.inputs.dtype).tiny
        mean_in = self.inputs.diagonal().mean().clamp_min(floor)
        mean_out = self.outputs.diagonal().mean().clamp_min(floor)
        pi = float((mean_in / mean_out).sqrt().clamp(1e-4, 1e4))
        return pi * damping**0.5, damping**0.5 / pi

    def precondition(self, inputs: Tensor, cotangents: Tensor) -> tuple[RowProduct, Tensor]:
        """x = (Γ ⊗ A + …)⁻¹ gᵀa, (d_out, d_in), and x·gᵀa, from rows a (k, d_in) and g (k, d_out).

        The inverses multiply the k rows or the finished gradient gᵀa, whichever takes fewer operations.
        """
        left, right = self._inverses
        if self.scale is not None:
            return self._unrotated((cotangents @ left).T @ (inputs @ right))
        k, d_in = inputs.shape
        d_out = cotangents.shape[1]
        by_rows, by_gradient = preconditioning(k, d_in, d_out)
        if by_gradient < by_rows:
            return self.precondition_gradient(cotangents.T @ inputs)
        # the inverse is symmetric, and on the left it takes half to nine tenths of the time (MKL, AVX2, 289 and wider)
        g, a = cotangents @ left, (right @ inputs.T).T
        if pairs_are_cheaper(k, d_in, d_out):
            return RowProduct(g, a), ((g @ cotangents.T) * (a @ inputs.T)).sum()
        x = g.T @ a
        return RowProduct(None, x), (x * (cotangents.T @ inputs)).sum()

    def precondition_gradient(self, gradient: Tensor) -> tuple[RowProduct, Tensor]:
        """The same from the finished gradient gᵀa, (d_out, d_in)."""
        left, right = self._inverses
        if self.scale is not None:
            return self._unrotated(left.T @ gradient @ right)
        x = left @ gradient @ right
        return RowProduct(None, x), (x * gradient).sum()

    @property
    def _inverses(self) -> tuple[Tensor, Tensor]:
        if self.left is None or self.right is None:
            raise RuntimeError("invert() must be called before precondition()")
        return self.left, self.right

    def _unrotated(self, rotated: Tensor) -> tuple[RowProduct, Tensor]:
        (left, right), scale = self._inverses, self.scale
        assert scale is not None
        scaled = rotated / scale
        return RowProduct(None, left @ scaled @ right.T), (scaled * rotated).sum()

    def state(self) -> dict[str, Tensor | None]:
        """A copy of all tensors, for `state_dict`; they are the arguments that make the same factors."""
        return {name: None if value is None else value.clone() for name, value in vars(self).items()}


def pairs_are_cheaper(rows: int, d_in: int, d_out: int) -> bool:
    """Whether x·gᵀa takes fewer operations by inner products of pairs of rows than by the gradient gᵀa."""
    return rows * (d_in + d_out) <= d_in * d_out


def joined(pieces: Sequence[Tensor]) -> Tensor:
    """The pieces as one, without a copy where there is only one."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))


def fisher_cotangents(
    curvature: OutputCurvature, outputs: Tensor, fisher: Fisher, generator: torch.Generator | None
) -> Tensor:
    """Output cotangents (k, b, …) whose second moments are H: random signs through S (mc, k = 1), all columns of S
    (exact), or the scaled loss gradient (empirical)."""
    b, rows = len(outputs), curvature.rows_per_sample
    if fisher == "exact":
        return factor_columns(curvature, outputs, 0, rows)
    if fisher == "mc":
        signs = torch.randint(0, 2, (b, rows), generator=generator, device=outputs.device)
        return curvature.factor_rmatvec((2 * signs - 1).to(outputs.dtype)).unsqueeze(0)
    return curvature.slope().unsqueeze(0) * math.sqrt(b)


def factor_rows(
    used: LinearMap, inputs: Sequence[Tensor], cotangents: Sequence[Tensor], sharing: Sharing = "expand"
) -> tuple[Tensor, Tensor]:
    """Rows a and g of one map on one batch, A = mean of a aᵀ and Γ = sum of g gᵀ, from the input rows and Fisher
    cotangents (r, …) of its uses.

    For T > 1 positions, expand: a row a position; reduce: a averaged and g summed over a sample's positions. Rows of
    the graph's products, which are in no known order of the samples, are always expanded.
    """
    shaped = [use.cotangent_rows(c) for use, c in zip(used.uses, cotangents, strict=True)]
    if sharing == "expand" or used.samples is None:
        a = joined(inputs)
        return a, joined(shaped).to(a.dtype)
    b = used.samples
    a = torch.cat([rows.view(b, -1, rows.shape[1]) for rows in inputs], 1).mean(1)
    by_sample = [rows.view(len(c), b, -1, rows.shape[1]) for rows, c in zip(shaped, cotangents, strict=True)]
    return a, torch.cat(by_sample, 2).sum(2).flatten(0, 1).to(a.dtype)


def _damped_inverse(factor: Tensor, shift: float) -> Tensor:
    shifted = factor.clone()
    shifted.diagonal().add_(shift)
    return torch.cholesky_inverse(torch.linalg.cholesky(shifted))
