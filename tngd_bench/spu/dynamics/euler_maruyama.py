"""Euler-Maruyama stepping of the OU process, as the paper simulated its device."""

import math

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature.operator import Products, Shifted

POWER_ITERATIONS = 20


class EulerMaruyama:
    """Steps x ← x − δt (A x − g) + √(2κδt) ξ with δt the largest step ≤ `step` that divides t.

    `noise_variance` κ. First order in the mean; the stationary covariance is too large per mode by 2/(2 − δt·a).
    Stable for δt < 2/(λ_max + λ), which is checked by power iteration (ValueError otherwise). Source: arXiv 2405.13817
    §4.
    """

    def __init__(
        self,
        shifted: Shifted[Products],
        rhs: Tensor,
        noise_variance: float,
        step: float,
    ) -> None:
        self._shifted = shifted
        self._rhs = rhs
        self._noise_variance = noise_variance
        self._requested = arguments.real("step", step, above=0.0)
        self._bound: float | None = None

    def run(
        self, x0: Tensor, t: float, generator: torch.Generator | None = None, *, noisy: bool = True
    ) -> Tensor:
        """State after t, (N,), or its mean without noise; `generator` None: torch's default one."""
        variance, x = self._noise_variance if noisy else 0.0, x0.clone()
        if t == 0.0:
            return x
        count = max(1, math.ceil(t / self._checked_step()))
        step = t / count
        for _ in range(count):
            x.add_(self._shifted.matvec(x).sub_(self._rhs), alpha=-step)
            if variance > 0.0:
                normal = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
                x.add_(normal, alpha=math.sqrt(2.0 * step * variance))
        return x

    def _checked_step(self) -> float:
        if self._bound is None:
            rate = largest_rate(self._shifted.operator, self._rhs) + self._shifted.damping
            self._bound = 2.0 / rate if rate > 0 else math.inf
        if self._requested >= self._bound:
            raise ValueError(
                f"step must be < 2/(λ_max + λ) = {self._bound:.3g} for Euler-Maruyama to be stable here, "
                f"not {self._requested:g}"
            )
        return self._requested


def largest_rate(operator: Products, like: Tensor) -> float:
    """The largest eigenvalue of an operator, by power iteration; vectors are shaped as `like`."""
    start = torch.Generator(device=like.device).manual_seed(0)
    vector = torch.randn(like.shape, generator=start, dtype=like.dtype, device=like.device)
    largest = 0.0
    for _ in range(POWER_ITERATIONS):
        vector = vector / torch.linalg.vector_norm(vector)
        vector = operator.matvec(vector)
        largest = float(torch.linalg.vector_norm(vector))
        if largest == 0.0:
            break
    return largest
