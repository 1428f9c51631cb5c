"""Refinement of an inexact solve by exact residuals: x ← x + Â⁻¹(g − A x)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

REMEDY = "program more precisely, raise damping, or refine less"
SLACK = 4.0
"""Answers that vary, by noise or by the levels of converters, are taken to diverge where the residual comes to be so
many times the least: beside these alone it varies from round to round."""


class RefinementError(RuntimeError):
    """The last round of a refinement left a larger residual than it found.

    `residuals` are ‖g − A x‖/‖g‖ before the first round and after each.
    """

    def __init__(self, residuals: Sequence[float]) -> None:
        super().__init__(
            f"refinement fails: ‖g − A x‖/‖g‖ grows from {residuals[-2]:.3g} to {residuals[-1]:.3g} in round "
            f"{len(residuals) - 1}; {REMEDY}"
        )
        self.residuals = tuple(residuals)


def at_size(answer: Callable[[Tensor], Tensor], residual: Tensor, norm: float, size: float) -> Tensor:
    """Return the answer to a `residual` of length `norm`, given and taken back at the length `size`."""
    scale = size / norm if size > 0.0 and norm > 0.0 else 1.0
    return answer(residual * scale) / scale if math.isfinite(scale) else answer(residual)


def refined(
    first: Tensor,
    rhs: Tensor,
    product: Callable[[Tensor], Tensor],
    answer: Callable[[Tensor], Tensor],
    rounds: int,
    *,
    varies: bool,
) -> tuple[Tensor, tuple[float, ...]]:
    """Return x after `rounds` corrections of `first`, and the residuals ‖g − A x‖/‖g‖ before them and after each.

    `product` multiplies by A; `answer` is the inexact solve Â⁻¹ of a residual, which it gets at the size of g, so that
    noise and rails are to a correction what they are to the first x. Without them x converges where ‖I − A Â⁻¹‖ < 1.
    The residual of the last x, one product more, only tells whether it does. Raises RefinementError where the last
    round made it larger, or SLACK times the least where answers vary; of residuals below √ε nothing is said.
    """
    x, size = first, float(torch.linalg.vector_norm(rhs))
    residual = rhs - product(x)
    norms = [float(torch.linalg.vector_norm(residual))]
    for _ in range(rounds):
        x = x + at_size(answer, residual, norms[-1], size)
        residual = rhs - product(x)
        norms.append(float(torch.linalg.vector_norm(residual)))
    residuals = tuple(norm / size if size > 0.0 else norm for norm in norms)
    allowed = SLACK * min(residuals[:-1]) if varies else residuals[-2]
    bound = max(allowed, torch.finfo(rhs.dtype).eps ** 0.5)
    if not residuals[-1] <= bound:  # a number that is none has diverged too
        raise RefinementError(residuals)
    return x, residuals
