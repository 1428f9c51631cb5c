"""Euler-Maruyama stepping of the OU process: how the paper simulated its device; here what clipping needs."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tngd_bench import arguments

POWER_ITERATIONS = 20
AUTOMATIC_SHARE = 1.0 / 16.0
"""Automatic step as a share of the stability bound: an error of at most 1/16 in the fastest mode's variance."""


class EulerMaruyama:
    """Steps x ← clip(x − D (δt (A x − g) − √(2κδt) ξ)) with δt the largest step ≤ `step` that divides t.

    `rates` D (N,) of the nodes, None: all one · `limit` of |x|, infinite: no clipping · `noise_variance` κ: one number
    or (N,) · `step` None: 1/16 of the bound. First order in the mean; the stationary covariance is too large per mode
    by 2/(2 − δt·a). Stable for δt < 2/(λ_max + λ), which is checked by power iteration (ValueError otherwise).
    Source: arXiv 2405.13817 §4.
    """

    def __init__(
        self,
        matvec: Callable[[Tensor], Tensor],
        rhs: Tensor,
        damping: float,
        noise_variance: float | Tensor,
        step: float | None,
        *,
        rates: Tensor | None = None,
        limit: float = math.inf,
    ) -> None:
        self._matvec = matvec
        self._rhs = rhs
        self._damping = damping
        self._noise_variance = torch.as_tensor(noise_variance, dtype=rhs.dtype)
        self._noisy = bool((self._noise_variance > 0).any())
        self._requested = None if step is None else arguments.real("step", step, above=0.0)
        self._rates = rates
        self._limit = limit
        self._bound: float | None = None

    def run(self, x0: Tensor, t: float, generator: torch.Generator | None) -> Tensor:
        """State after t, (N,); without a generator the noise-free path."""
        if t == 0.0:
            return x0.clone()
        count = max(1, math.ceil(t / self._checked_step()))
        step = t / count
        x = x0.clone()
        deviation = torch.sqrt(2.0 * step * self._noise_variance)
        for _ in range(count):
            change = self._matvec(x).add_(x, alpha=self._damping).sub_(self._rhs).mul_(-step)
            if generator is not None and self._noisy:
                normal = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
                change.add_(deviation * normal)
            x.add_(change if self._rates is None else change.mul_(self._rates))
            if math.isfinite(self._limit):
                x.clamp_(-self._limit, self._limit)
        return x

    def _checked_step(self) -> float:
        if self._bound is None:
            self._bound = self._stability_bound()
        if self._requested is None:
            return self._bound * AUTOMATIC_SHARE
        if self._requested >= self._bound:
            raise ValueError(
                f"step must be < 2/(λ_max + λ) = {self._bound:.3g} for Euler-Maruyama to be stable here, "
                f"not {self._requested:g}"
            )
        return self._requested

    def _stability_bound(self) -> float:
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
        fastest = 1.0 if self._rates is None else float(self._rates.max())
        rate = (largest + self._damping) * fastest
        return 2.0 / rate if rate > 0 else math.inf
