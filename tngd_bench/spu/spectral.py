"""The three functions of the drift matrix that give the OU process exactly (arXiv 2405.13817 §3.3).

For dx = −(A x − g) dt + √(2κ₀) dW: mean e^{−At} x(0) + (I − e^{−At}) A⁻¹ g, covariance κ₀ A⁻¹ (I − e^{−2At}). Each is
entire in a, so a = 0 (null space, λ = 0) is a limit and not a special case.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SpectralFunction = Callable[[Tensor], Tensor]
"""Maps eigenvalues of A (float64) to f(a)."""


def decay(t: float) -> SpectralFunction:
    """e^{−at}: what is left of the start after t."""
    return lambda a: torch.exp(-a * t)


def response(t: float) -> SpectralFunction:
    """(1 − e^{−at})/a: the answer to a constant input; t at a = 0."""
    return lambda a: _saturation(a, t)


def spread(t: float, noise_variance: float) -> SpectralFunction:
    """√(κ₀ (1 − e^{−2at})/a): standard deviation of a mode."""
    return lambda a: torch.sqrt(noise_variance * _saturation(a, 2.0 * t))


def _saturation(a: Tensor, t: float) -> Tensor:
    tiny = a.abs() * t < 1e-300 if t > 0.0 else torch.ones_like(a, dtype=torch.bool)
    safe = torch.where(tiny, 1.0, a)
    return torch.where(tiny, t, -torch.expm1(-safe * t) / safe)


def at(function: SpectralFunction, value: float) -> float:
    """F at one eigenvalue."""
    result = float(function(torch.tensor([value], dtype=torch.float64))[0])
    if not math.isfinite(result):
        raise ValueError(f"spectral function is not finite at eigenvalue {value!r}")
    return result
