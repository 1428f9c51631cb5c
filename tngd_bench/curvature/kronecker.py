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
from torch import Tensor, nn

from tngd_bench.curvature.capture import LayerCall
from tngd_bench.curvature.layers import convolution_patches
from tngd_bench.curvature.losses import OutputCurvature, factor_columns

KRONECKER_KINDS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)

Fisher = Literal["mc", "exact", "empirical"]


@dataclass
class KroneckerFactors:
    """Running averages A (d_in [+1 for the bias], same), Γ (d_out, d_out), and the damped inverses of both."""

    inputs: Tensor
    outputs: Tensor
    inputs_inverse: Tensor
    outputs_inverse: Tensor

    def invert(self, damping: float) -> None:
        """(A + π√λ I)⁻¹ and (Γ + √λ/π I)⁻¹ with π² the ratio of the factors' mean eigenvalues (2015, §6.3)."""
        mean_in = self.inputs.diagonal().mean()
        mean_out = self.outputs.diagonal().mean()
        floor = torch.finfo(self.inputs.dtype).tiny
        pi = float((mean_in.clamp_min(floor) / mean_out.clamp_min(floor)).sqrt().clamp(1e-4, 1e4))
        root = damping**0.5
        self.inputs_inverse = _damped_inverse(self.inputs, pi * root)
        self.outputs_inverse = _damped_inverse(self.outputs, root / pi)

    def precondition(self, inputs: Tensor, cotangents: Tensor) -> Tensor:
        """(Γ⁻¹ gᵀ)(a A⁻¹), (d_out, d_in), from rows a (k, d_in) and g (k, d_out) whose product is the gradient.

        The inverses go to whichever is smaller: the k rows, or the finished gradient gᵀa.
        """
        k, d_in = inputs.shape
        d_out = cotangents.shape[1]
        on_rows = k * (d_in * d_in + d_out * d_out)
        on_gradient = d_in * d_out * (d_in + d_out)
        if on_rows <= on_gradient:
            return (cotangents @ self.outputs_inverse).T @ (inputs @ self.inputs_inverse)
        return self.outputs_inverse @ (cotangents.T @ inputs) @ self.inputs_inverse


def layer_rows(call: LayerCall) -> Tensor:
    """Inputs of a layer as rows (b·T, d_in), with a column of ones where it has a trained bias."""
    module = call.module
    if isinstance(module, nn.Conv2d):
        rows = convolution_patches(module, call.input).transpose(1, 2).flatten(0, 1)
    else:
        rows = call.input.reshape(-1, call.input.shape[-1])
    if module.bias is not None:
        rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
    return rows


def cotangent_rows(call: LayerCall, cotangents: Tensor) -> Tensor:
    """Gradients of a layer's output as rows (…·b·T, d_out), matching `layer_rows`."""
    if isinstance(call.module, nn.Conv2d):
        return cotangents.movedim(-3, -1).flatten(0, -2)
    return cotangents.reshape(-1, cotangents.shape[-1])


def fisher_cotangents(
    curvature: OutputCurvature, outputs: Tensor, fisher: Fisher, generator: torch.Generator | None
) -> Tensor:
    """Output cotangents (k, b, …) whose second moments are H: random signs through S (mc, k = 1), all columns of S
    (exact), or the scaled loss gradient (empirical)."""
    if fisher == "exact":
        per_sample = outputs[0].numel()
        return factor_columns(curvature, outputs, 0, per_sample)
    if fisher == "mc":
        signs = torch.randint(0, 2, outputs.shape, generator=generator, device=outputs.device)
        return curvature.factor_rmatvec((2 * signs - 1).to(outputs.dtype)).unsqueeze(0)
    weights, rest = curvature.gradient_weights()
    gradient = curvature.factor_rmatvec(weights)
    if rest is not None:
        gradient = gradient + rest
    return gradient.unsqueeze(0) * math.sqrt(outputs.shape[0])


def factor_estimates(
    calls: Sequence[LayerCall], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """(A, Γ) of one layer on one batch from its input rows and Fisher cotangents, both summed over its calls."""
    a = inputs[0] if len(inputs) == 1 else torch.cat(list(inputs))
    rows = [cotangent_rows(call, g) for call, g in zip(calls, cotangents, strict=True)]
    g = rows[0] if len(rows) == 1 else torch.cat(rows)
    return a.T @ a / len(a), g.T @ g


def _damped_inverse(factor: Tensor, shift: float) -> Tensor:
    shifted = factor.clone()
    shifted.diagonal().add_(shift)
    return torch.cholesky_inverse(torch.linalg.cholesky(shifted))
