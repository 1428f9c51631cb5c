"""Curvature of any callable loss by automatic derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

from tngd_bench.curvature.losses.empirical import EmpiricalFisher
from tngd_bench.curvature.losses.evaluation import evaluate
from tngd_bench.curvature.losses.interface import Loss, OutputCurvature
from tngd_bench.curvature.losses.per_sample import spectral_curvature


def differentiated(
    loss: Loss, outputs: Tensor, targets: Tensor, *, empirical: bool = False
) -> OutputCurvature:
    """Curvature of any loss(outputs, targets) that is a sum over samples of convex terms, by automatic derivatives.

    Column i of all per-sample Hessians is one second derivative along the i-th output of every sample; a second
    derivative along random directions shows whether
    samples are coupled. Raises ValueError where they are, and where the loss cannot be differentiated twice.
    """
    z = outputs.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        value = evaluate(loss, z, targets)
        try:
            (first,) = torch.autograd.grad(value, z, create_graph=True)
        except RuntimeError as error:
            raise ValueError(f"loss cannot be differentiated by the outputs: {error}") from error
        slope = first.detach()
        if empirical:
            return EmpiricalFisher(slope)
        d = slope[0].numel()

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
    return spectral_curvature(hessians, slope)
