"""Functions of A on Lanczos bases, and how far they are from the exact ones: bounds for means, estimates for noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench.spu.dynamics.spectral import SpectralFunction, Spread

_GRID = torch.linspace(-3.2, 3.2, 65, dtype=torch.float64)
_SINH = (math.pi / 2.0) * torch.sinh(_GRID)
NODES = 0.5 * (1.0 + torch.tanh(_SINH))
WEIGHTS = 0.1 * (math.pi / 4.0) * torch.cosh(_GRID) / torch.cosh(_SINH) ** 2
"""tanh-sinh rule on (0, 1): dense at both ends, where the residual of a fast mode lives."""
NEGLIGIBLE = 1e-140
"""Size below which squares underflow: the decayed remains of a start, nothing beside any answer."""


@dataclass(frozen=True)
class Outside:
    """The part f(λ) v of f(A) v that stays out of the row space: f(λ) and ‖v‖."""

    base: float
    norm: float


@dataclass(frozen=True)
class Start:
    """A function and its vector, in N-space (`whole`: eigenvalues of A) or in the rows (eigenvalues of K)."""

    function: SpectralFunction
    vector: Tensor
    whole: bool
    outside: Outside | None


@dataclass(frozen=True)
class Ritz:
    """Eigenvalues θ and vectors of T_k."""

    values: Tensor
    vectors: Tensor
    damping: float

    def apply(self, function: SpectralFunction, start: Start) -> Tensor:
        """f(T) e₁, or φ(T) e₁, (k,); (times, k) for a function at several times (times, 1)."""
        theta = self.values.clamp_min(0.0)
        if start.whole:
            values = function(theta)
        elif start.outside is None:
            values = function(theta + self.damping)
        else:
            floor = max(float(theta[-1]) * torch.finfo(torch.float64).eps, torch.finfo(torch.float64).tiny)
            steps = theta.clamp_min(floor)
            base = function(torch.tensor([self.damping], dtype=torch.float64))
            values = (function(steps + self.damping) - base) / steps
        return (values * self.vectors[0]) @ self.vectors.T

    def length(self, coefficients: Tensor, whole: bool) -> float:
        """N-space norm of the vector with these coefficients; in row space ‖Bᵀ V c‖ = √(cᵀ T c)."""
        if whole:
            return float(torch.linalg.vector_norm(coefficients))
        inner = self.vectors.T @ coefficients
        return float((self.values.clamp_min(0.0) * inner * inner).sum().sqrt())


@dataclass(frozen=True)
class Result:
    """One start's coefficients for ‖v‖ = 1, the N-space norm `size` of its result, and what its error is made of."""

    start: Start
    ritz: Ritz
    norm: float
    beta: float
    coefficients: Tensor
    change: float
    size: float

    @staticmethod
    def of(start: Start, ritz: Ritz, norm: float, beta: float, before: Ritz | None) -> Result:
        """The result of one space; `before`: the space some products ago."""
        coefficients = ritz.apply(start.function, start)
        inside = ritz.length(coefficients, start.whole) * norm
        size = inside
        if start.outside is not None:
            base, length = start.outside.base, start.outside.norm
            crossed = 2.0 * base * norm * norm * float(coefficients[0])
            size = math.sqrt(max((base * length) ** 2 + crossed + inside**2, 0.0))
        change = math.inf
        if before is not None:
            difference, earlier = coefficients.clone(), before.apply(start.function, start)
            difference[: len(earlier)] -= earlier
            change = ritz.length(difference, start.whole) * norm
        return Result(start, ritz, norm, beta, coefficients, change, size)

    def relative_error(self, reference: float, tolerance: float) -> float:
        """Bound of the error over `reference`; for a `Spread` the larger of its two estimates."""
        if self.norm == 0.0 or reference <= NEGLIGIBLE or self.beta == 0.0:
            return 0.0
        if isinstance(self.start.function, Spread):
            return max(self._shifted_residual() * self.size, self.change) / reference
        moves = self.change > 10.0 * tolerance * reference
        if moves and self._last() > tolerance * reference * (1.0 if math.isfinite(self.change) else 10.0):
            return math.inf  # no need to bound what still moves
        return self._bound() * self.norm / reference

    def _last(self) -> float:
        """N-space size of the last basis vector's share: how far from done, at a glance."""
        steep = 1.0 if self.start.whole else math.sqrt(float(self.ritz.values[-1].clamp_min(0.0)))
        return abs(float(self.coefficients[-1])) * self.norm * steep

    def _shifted_residual(self) -> float:
        shift = 1.0 / self.start.function.t + (0.0 if self.start.whole else self.ritz.damping)
        inverse = 1.0 / (self.ritz.values.clamp_min(0.0) + shift)
        return self.beta * abs(float(self.ritz.vectors[-1] @ (inverse * self.ritz.vectors[0])))

    def _bound(self) -> float:
        t, damping = float(self.start.function.t), self.ritz.damping
        history = self.ritz.apply(self.start.function.after(t * NODES.unsqueeze(1)), self.start)
        left = t * (1.0 - NODES)
        kernel = torch.exp(-damping * left)
        if not self.start.whole:
            # the largest Ritz value is far within a factor two of the largest eigenvalue by now
            steep = (2.0 * float(self.ritz.values[-1].clamp_min(0.0))) ** 0.5
            kernel *= torch.clamp((2.0 * math.e * left).rsqrt(), max=steep)
        return self.beta * t * float((WEIGHTS * history[:, -1].abs() * kernel).sum())


def worst(found: Sequence[Result], reference: float, tolerance: float) -> float:
    """Largest relative error, or the first that is too large."""
    worst = 0.0
    for result in found:
        worst = max(worst, result.relative_error(reference, tolerance))
        if worst > tolerance:
            break
    return worst


def ritz_spaces(diagonal: Tensor, off_diagonal: Tensor, damping: float) -> list[Ritz]:
    """Eigenvalues and vectors of the tridiagonal matrices (count, k) with (count, k − 1) beside the diagonal."""
    matrices = torch.diag_embed(diagonal)
    # the eigensolver reads the lower triangle only
    matrices.diagonal(-1, 1, 2).copy_(off_diagonal)
    values, vectors = torch.linalg.eigh(matrices)
    return [Ritz(a, v, damping) for a, v in zip(values, vectors, strict=True)]
