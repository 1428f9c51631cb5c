"""Euler-Maruyama stepping of the OU process: how the paper simulated its device; here the thing to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tngd_bench import arguments

POWER_ITERATIONS = 20


class EulerMaruyama:
    """Steps x ← x − δt (A x − g) + √(2κ₀δt) ξ with δt the largest step ≤ `step` that divides t.

    First order in the mean; the stationary covariance is too large per mode by 2/(2 − δt·a). Stable for
    δt < 2/(λ_max + λ), which is checked by power iteration (ValueError otherwise). Source: arXiv 2405.13817 §4.
    """

    def __init__(
        self,
        matvec: Callable[[Tensor], Tensor],
        rhs: Tensor,
        damping: float,
        noise_variance: float,
        step: float,
    ) -> None:
        self._matvec = matvec
        self._rhs = rhs
        self._damping = damping
        self._noise_variance = noise_variance
        self._step = arguments.real("step", step, above=0.0)
        self._checked = False

    def run(self, x0: Tensor, t: float, generator: torch.Generator | None) -> Tensor:
        """State after t, (N,); without a generator the noise-free path."""
        if t == 0.0:
            return x0.clone()
        self._check_stable()
        count = math.ceil(t / self._step)
        step = t / count
        x = x0.clone()
        deviation = math.sqrt(2.0 * self._noise_variance * step)
        for _ in range(count):
            drift = self._matvec(x).add_(x, alpha=self._damping).sub_(self._rhs)
            x.sub_(drift, alpha=step)
            if generator is not None and deviation > 0.0:
                x.add_(
                    torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device), alpha=deviation
                )
        return x

    def _check_stable(self) -> None:
        if self._checked:
            return
        start = torch.Generator(device=self._rhs.device).manual_seed(0)
        vector = torch.randn(self._rhs.shape, generator=start, dtype=self._rhs.dtype, device=self._rhs.device)
        largest = 0.0
        for _ in range(POWER_ITERATIONS):
            vector = vector / torch.linalg.vector_norm(vector)
            image = self._matvec(vector)
            largest = float(torch.linalg.vector_norm(image))
            if largest == 0.0:
                break
            vector = image
        bound = 2.0 / (largest + self._damping) if largest + self._damping > 0 else math.inf
        if self._step >= bound:
            raise ValueError(
                f"step must be < 2/(λ_max + λ) = {bound:.3g} for Euler-Maruyama to be stable here, not {self._step:g}"
            )
        self._checked = True
