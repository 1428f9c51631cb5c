"""Refinement of an inexact solve by exact residuals: x ← x + Â⁻¹(g − A x)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

REMEDY = "program more precisely, raise damping, or refine less"
NOISE_SLACK = 4.0
"""A noisy answer is taken to diverge where the last round makes the residual so many times as large: beside noise alone
it varies from round to round."""


class RefinementError(RuntimeError):
    """The last round of a refinement left a larger residual than it found, so that further rounds do not converge.

    `residuals` are ‖g − A x‖/‖g‖ before the first round and after each.
    """

    def __init__(self, residuals: Sequence[float]) -> None:
        super().__init__(
            f"the refinement diverges: ‖g − A x‖/‖g‖ grows from {residuals[-2]:.3g} to {residuals[-1]:.3g} in round "
            f"{len(residuals) - 1}; {REMEDY}"
        )
        self.residuals = tuple(residuals)


def refined(
    first: Tensor,
    rhs: Tensor,
    product: Callable[[Tensor], Tensor],
    answer: Callable[[Tensor], Tensor],
    rounds: int,
    *,
    noisy: bool,
) -> tuple[Tensor, tuple[float, ...]]:
    """Return x after `rounds` corrections of `first`, and the residuals ‖g − A x‖/‖g‖ before them and after each.

    `product` multiplies by A; `answer` is the inexact solve Â⁻¹ of a residual. Without noise x converges where
    ‖I − A Â⁻¹‖ < 1. The residual of the last x, one product more, only tells whether it does. Raises RefinementError
    where the last round made it larger (beyond NOISE_SLACK, if the answers are `noisy`), rounding apart: below √ε
    nothing is said.
    """
    x, size = first, float(torch.linalg.vector_norm(rhs))
    residual = rhs - product(x)
    norms = [float(torch.linalg.vector_norm(residual))]
    for _ in range(rounds):
        x = x + answer(residual)
        residual = rhs - product(x)
        norms.append(float(torch.linalg.vector_norm(residual)))
    residuals = tuple(norm / size if size > 0.0 else norm for norm in norms)
    bound = max(residuals[-2] * (NOISE_SLACK if noisy else 1.0), torch.finfo(rhs.dtype).eps ** 0.5)
    if not residuals[-1] <= bound:  # a number that is none has diverged too
        raise RefinementError(residuals)
    return x, residuals
