"""Matrix-free functions of A by Lanczos, for m too large for a Gram matrix's eigenvectors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tngd_bench.spu.spectral import Response, SpectralFunction, Spread, at
from tngd_bench.spu.transitions import Term

_GRID = torch.linspace(-3.2, 3.2, 65, dtype=torch.float64)
_SINH = (math.pi / 2.0) * torch.sinh(_GRID)
NODES = 0.5 * (1.0 + torch.tanh(_SINH))
WEIGHTS = 0.1 * (math.pi / 4.0) * torch.cosh(_GRID) / torch.cosh(_SINH) ** 2
"""tanh-sinh rule on (0, 1): dense at both ends, where the residual of a fast mode lives."""
NEGLIGIBLE = 1e-140
"""Size below which squares underflow: the decayed remains of a start, nothing beside any answer."""


class KrylovTransition:
    """f(A) v ≈ ‖v‖ V_k f(T_k) e₁ with a fully reorthogonalised Lanczos basis (Saad 1992).

    Where the operator has `gram_matvec` (K u without a vector of length N), the basis lives in the space of the m rows:
    f(A) v = f(λ) v + Bᵀ φ(K) B v with φ(s) = (f(s+λ) − f(λ))/s, and f(A) Bᵀw = Bᵀ f(K+λ) w, all exact identities. A
    plain right-hand side keeps its own N-space, in which nothing cancels.

    A basis grows until its result is within `tolerance` of the exact one in N-space, relative to the largest term. For
    means this is an a-posteriori bound: the error obeys e' = −A e − β_k v_{k+1} y_k(s), y_k the last coefficient after
    s, so that ‖e(t)‖ ≤ β_k ∫ |y_k(s)| e^{−λ(t−s)} ds (in row space with ‖Bᵀe^{−Ku}‖ ≤ 1/√(2eu) under the integral). For
    the square root of the covariance, which solves no such equation, it is an estimate: the last two steps changed it
    by less than the tolerance, and (A + I/t) x = v, which varies on the same scale, is solved to that residual.
    `RuntimeError` when `max_dimension` comes first. `products` counts the products made, `bound` is the largest
    relative error bound of the last application, 0 where all spaces were exhausted.
    """

    def __init__(
        self,
        matvec: Callable[[Tensor], Tensor],
        damping: float,
        *,
        operator: Any = None,
        tolerance: float = 1e-6,
        max_dimension: int = 300,
    ) -> None:
        self._matvec = matvec
        self._damping = damping
        self._rows = operator if hasattr(operator, "gram_matvec") else None
        self._tolerance = tolerance
        self._max_dimension = max_dimension
        self.products = 0
        self.bound = 0.0
        self._largest = 0.0

    @property
    def in_rows(self) -> bool:
        """Whether right-hand sides Bᵀw can be given by their weights w."""
        return self._rows is not None

    def apply(self, terms: Sequence[Term], in_range: Sequence[Term] = ()) -> Tensor:
        """Σ f(A) v + Σ f(A) Bᵀ w, one Krylov space per vector."""
        self.bound = 0.0
        self._largest = 0.0
        total: Tensor | None = None
        lifted: Tensor | None = None
        for function, weights in in_range:
            if self._rows is None:
                raise TypeError("this Krylov transition takes vectors, not weights of the factor")
            piece = self._expand(function, weights, _Space(self._rows.gram_matvec, False, None))
            lifted = piece if lifted is None else lifted.add_(piece)
        # answers to an input come first: what is left of the start is small beside them, and need not be known as well
        for function, vector in sorted(terms, key=lambda term: not isinstance(term[0], Response)):
            if self._rows is None or isinstance(function, Response):
                piece = self._expand(function, vector, _Space(self._shifted, True, None))
                total = piece if total is None else total.add_(piece)
                continue
            base = at(function, self._damping)
            part = base * vector
            total = part if total is None else total.add_(part)
            space = _Space(self._rows.gram_matvec, False, _Outside(base, vector))
            piece = self._expand(function, self._rows.factor_matvec(vector), space)
            lifted = piece if lifted is None else lifted.add_(piece)
        if lifted is not None and self._rows is not None:
            raised: Tensor = self._rows.factor_rmatvec(lifted)
            total = raised if total is None else total.add_(raised)
        assert total is not None
        return total

    def _shifted(self, v: Tensor) -> Tensor:
        return self._matvec(v).add_(v, alpha=self._damping)

    def _expand(self, function: SpectralFunction, vector: Tensor, space: _Space) -> Tensor:
        norm = float(torch.linalg.vector_norm(vector))
        if norm == 0.0:
            return torch.zeros_like(vector)
        basis = vector.new_empty(16, len(vector))
        basis[0] = vector / norm
        diagonal: list[float] = []
        off_diagonal: list[float] = []
        previous: Tensor | None = None
        settled = 0
        while True:
            k = len(diagonal) + 1
            image = space.product(basis[k - 1])
            self.products += 1
            diagonal.append(float(basis[k - 1] @ image))
            for _ in range(2):  # twice is enough (Kahan, Parlett)
                image = image - basis[:k].T @ (basis[:k] @ image)
            beta = float(torch.linalg.vector_norm(image))
            values, vectors = torch.linalg.eigh(_tridiagonal(diagonal, off_diagonal))
            ritz = _Ritz(values, vectors, self._damping)
            coefficients = ritz.apply(ritz.values_of(function, space))
            size = max(space.norm(coefficients, ritz, norm), self._largest)
            if previous is not None:
                change = coefficients.clone()
                change[: len(previous)] -= previous
                settled = settled + 1 if space.length(change, ritz) * norm <= self._tolerance * size else 0
            scale = max(abs(value) for value in diagonal)
            if beta <= torch.finfo(vector.dtype).eps * max(scale, 1e-30) or k == len(vector):
                self._largest = size
                return basis[:k].T @ (norm * coefficients).to(vector.dtype)
            if settled >= (2 if isinstance(function, Spread) else 1):
                error = self._error(function, space, ritz, beta)
                # a function that underflows everywhere has no size and no error
                weight = 1.0 if isinstance(function, Spread) else norm / size if size > NEGLIGIBLE else 0.0
                if error * weight <= self._tolerance:
                    self.bound, self._largest = max(self.bound, error * weight), size
                    return basis[:k].T @ (norm * coefficients).to(vector.dtype)
            if k >= self._max_dimension:
                raise RuntimeError(
                    f"Lanczos did not reach the tolerance {self._tolerance:g} in {self._max_dimension} products: "
                    "raise tolerance, or use method='gram'"
                )
            if k == len(basis):
                basis = torch.cat([basis, torch.empty_like(basis)])
            previous = coefficients
            off_diagonal.append(beta)
            basis[k] = image / beta

    def _error(self, function: SpectralFunction, space: _Space, ritz: _Ritz, beta: float) -> float:
        """Bound of the error for ‖v‖ = 1; for a `Spread`, the residual of the shifted system."""
        t = function.t
        if isinstance(function, Spread):
            shift = 1.0 / t + (0.0 if space.whole else self._damping)
            return beta * abs(float(ritz.apply(1.0 / (ritz.values.clamp_min(0.0) + shift))[-1]))
        last = torch.stack(
            [ritz.apply(ritz.values_of(function.after(float(s)), space))[-1] for s in t * NODES]
        ).abs()
        left = t * (1.0 - NODES)
        kernel = torch.exp(-self._damping * left)
        if not space.whole:
            # the largest Ritz value is far within a factor two of the largest eigenvalue by now
            steep = (2.0 * float(ritz.values[-1].clamp_min(0.0))) ** 0.5
            kernel *= torch.clamp((2.0 * math.e * left).rsqrt(), max=steep)
        return beta * t * float((WEIGHTS * last * kernel).sum())


@dataclasses.dataclass(frozen=True)
class _Outside:
    """The part f(λ) v of f(A) v that stays out of the row space."""

    base: float
    vector: Tensor


@dataclasses.dataclass(frozen=True)
class _Space:
    """Where a basis lives: N-space (`whole`; eigenvalues of A) or the space of the rows (eigenvalues of K)."""

    product: Callable[[Tensor], Tensor]
    whole: bool
    outside: _Outside | None

    def length(self, coefficients: Tensor, ritz: _Ritz) -> float:
        """N-space norm of what the coefficients stand for; in row space ‖Bᵀ V c‖ = √(cᵀ T c)."""
        if self.whole:
            return float(torch.linalg.vector_norm(coefficients))
        inner = ritz.vectors.T @ coefficients
        return float((ritz.values.clamp_min(0.0) * inner * inner).sum().sqrt())

    def norm(self, coefficients: Tensor, ritz: _Ritz, norm: float) -> float:
        """N-space norm of the whole result: ‖f(λ) v + Bᵀ c‖."""
        inside = self.length(coefficients, ritz) * norm
        if self.outside is None:
            return inside
        base, size = self.outside.base, float(torch.linalg.vector_norm(self.outside.vector))
        crossed = 2.0 * base * norm * norm * float(coefficients[0])
        return math.sqrt(max((base * size) ** 2 + crossed + inside**2, 0.0))


@dataclasses.dataclass(frozen=True)
class _Ritz:
    values: Tensor
    vectors: Tensor
    damping: float

    def values_of(self, function: SpectralFunction, space: _Space) -> Tensor:
        """f, or its quotient φ, at the Ritz values."""
        theta = self.values.clamp_min(0.0)
        if space.whole:
            return function(theta)
        if space.outside is None:
            return function(theta + self.damping)
        floor = max(float(theta[-1]) * torch.finfo(torch.float64).eps, torch.finfo(torch.float64).tiny)
        steps = theta.clamp_min(floor)
        return (function(steps + self.damping) - at(function, self.damping)) / steps

    def apply(self, values: Tensor) -> Tensor:
        """f(T) e₁."""
        result: Tensor = self.vectors @ (values * self.vectors[0])
        return result


def _tridiagonal(diagonal: list[float], off_diagonal: list[float]) -> Tensor:
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if off_diagonal:
        band = torch.tensor(off_diagonal[: len(diagonal) - 1], dtype=torch.float64)
        matrix += torch.diag(band, 1) + torch.diag(band, -1)
    return matrix
