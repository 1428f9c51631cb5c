"""The three functions of the drift matrix that give the OU process exactly (arXiv 2405.13817 §3.3).

For dx = −(A x − g) dt + √(2κ₀) dW: mean e^{−At} x(0) + (I − e^{−At}) A⁻¹ g, covariance κ₀ A⁻¹ (I − e^{−2At}). Each is
entire in a, so a = 0 (null space, λ = 0) is a limit and not a special case.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class SpectralFunction(ABC):
    """A function f of the drift matrix after a relaxation of `t` > 0, given on its eigenvalues.

    f varies on the scale 1/t of the eigenvalues. Several times (n, 1) broadcast against the eigenvalues.
    """

    t: Any

    @abstractmethod
    def __call__(self, a: Tensor) -> Tensor:
        """f(a) for eigenvalues a ≥ 0 in float64."""

    def after(self, t: Any) -> Self:
        """The same function at another time, or at several."""
        return replace(self, t=t)


class Decay(SpectralFunction):
    """e^{−at}: what is left of the start after t."""

    def __call__(self, a: Tensor) -> Tensor:
        """f(a)."""
        return torch.exp(-a * self.t)


class Response(SpectralFunction):
    """(1 − e^{−at})/a: the answer to a constant input; t at a = 0."""

    def __call__(self, a: Tensor) -> Tensor:
        """f(a)."""
        return _saturation(a, self.t)


@dataclass(frozen=True)
class Spread(SpectralFunction):
    """√(κ₀ (1 − e^{−2at})/a): standard deviation of a mode."""

    noise_variance: float

    def __call__(self, a: Tensor) -> Tensor:
        """f(a)."""
        return torch.sqrt(self.noise_variance * _saturation(a, 2.0 * self.t))


def _saturation(a: Tensor, t: Any) -> Tensor:
    tiny = a.abs() * t < 1e-300
    safe = torch.where(tiny, 1.0, a)
    return torch.where(tiny, t, -torch.expm1(-safe * t) / safe)


def at(function: SpectralFunction, value: float) -> float:
    """f at one eigenvalue."""
    result = float(function(torch.tensor([value], dtype=torch.float64))[0])
    if not math.isfinite(result):
        raise ValueError(f"spectral function is not finite at eigenvalue {value!r}")
    return result
