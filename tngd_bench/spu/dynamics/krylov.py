"""Functions of A by Lanczos: matrix-free where m is too large for a Gram matrix, and on one in place of its eigh."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tngd_bench.curvature.operator import Shifted
from tngd_bench.curvature.route import TOLERANCE
from tngd_bench.spu.dynamics.spectral import Response, SpectralFunction, Spread, at
from tngd_bench.spu.dynamics.transitions import Term

_GRID = torch.linspace(-3.2, 3.2, 65, dtype=torch.float64)
_SINH = (math.pi / 2.0) * torch.sinh(_GRID)
NODES = 0.5 * (1.0 + torch.tanh(_SINH))
WEIGHTS = 0.1 * (math.pi / 4.0) * torch.cosh(_GRID) / torch.cosh(_SINH) ** 2
"""tanh-sinh rule on (0, 1): dense at both ends, where the residual of a fast mode lives."""
NEGLIGIBLE = 1e-140
"""Size below which squares underflow: the decayed remains of a start, nothing beside any answer."""
FIRST_CHECK, CHECK_SHARE = 4, 6
"""The error is looked at after 4 products, and then whenever their number has grown by 4 or by a sixth.

A look costs as much as several products with a matrix of a few hundred rows: `first_check` sets another number.
"""


class LanczosError(RuntimeError):
    """The tolerance was not reached within the dimension allowed."""


class KrylovTransition:
    """f(A) v ≈ ‖v‖ V_k f(T_k) e₁ with a fully reorthogonalised Lanczos basis (Saad 1992).

    Where the operator has `gram_matvec` (K u without a vector of length N), the bases live in the space of the m rows:
    f(A) v = f(λ) v + Bᵀ φ(K) B v with φ(s) = (f(s+λ) − f(λ))/s, and f(A) Bᵀw = Bᵀ f(K+λ) w, all exact identities; all
    vectors then grow their bases together. A plain right-hand side keeps its own N-space, in which nothing cancels.

    A basis grows until its result is within `tolerance` of the exact one in N-space, relative to the largest term. For
    means this is an a-posteriori bound: the error obeys e' = −A e − β_k v_{k+1} y_k(s), y_k the last coefficient after
    s, so that ‖e(t)‖ ≤ β_k ∫ |y_k(s)| e^{−λ(t−s)} ds (in row space with ‖Bᵀe^{−Ku}‖ ≤ 1/√(2eu) under the integral). For
    the square root of the covariance, which solves no such equation, it is an estimate: the last four or more steps
    changed it by less than the tolerance, and (A + I/t) x = v, which varies on the same scale, is solved to that
    residual, both weighed by the result's share of the largest term.
    `row_dtype` is the precision of the bases in row space, that of the vectors if None.
    `LanczosError` (a RuntimeError) when `max_dimension` comes first. `products` counts the products made, `bound` is
    the largest relative error bound of the last application, 0 where all spaces were exhausted.
    """

    def __init__(
        self,
        shifted: Shifted[Any],
        *,
        tolerance: float = TOLERANCE,
        max_dimension: int = 300,
        first_check: int = FIRST_CHECK,
        row_dtype: torch.dtype | None = None,
    ) -> None:
        self._shifted = shifted
        self._damping = shifted.damping
        self._rows = shifted.operator if hasattr(shifted.operator, "gram_matvec") else None
        self._tolerance = tolerance
        self._max_dimension = max_dimension
        self._first_check = first_check
        self._row_dtype = row_dtype
        self.products = 0
        self.bound = 0.0

    @property
    def in_rows(self) -> bool:
        """Whether right-hand sides Bᵀw can be given by their weights w."""
        return self._rows is not None

    def apply(self, terms: Sequence[Term], in_range: Sequence[Term] = ()) -> Tensor:
        """Σ f(A) v + Σ f(A) Bᵀ w."""
        self.bound = 0.0
        if in_range and self._rows is None:
            raise TypeError("this Krylov transition takes vectors, not weights of the factor")
        whole = [term for term in terms if self._rows is None or isinstance(term[0], Response)]
        total: Tensor | None = None
        largest = 0.0
        # answers to an input come first: what is left of the start is small beside them, and need not be known as well
        for function, vector in sorted(whole, key=lambda term: not isinstance(term[0], Response)):
            piece, largest = self._expand(
                [_Start(function, vector, True, None)], self._shifted.matvec, largest
            )
            total = piece if total is None else total.add_(piece)
        if self._rows is None:
            assert total is not None
            return total
        starts = [_Start(function, weights, False, None) for function, weights in in_range]
        bases: list[tuple[float, Tensor]] = []
        for function, vector in terms:
            if isinstance(function, Response):
                continue
            base = at(function, self._damping)
            bases.append((base, vector))
            outside = _Outside(base, float(torch.linalg.vector_norm(vector)))
            starts.append(_Start(function, self._rows.factor_matvec(vector), False, outside))
        if starts:
            dtype = starts[0].vector.dtype
            wide = [dataclasses.replace(s, vector=s.vector.to(self._row_dtype or dtype)) for s in starts]
            inside, _ = self._expand(wide, self._rows.gram_matvec, largest)
            raised: Tensor = self._rows.factor_rmatvec(inside.to(dtype))
            total = raised if total is None else total.add_(raised)
        assert total is not None
        # in place: passes over N values are what a noisy step pays for
        for base, vector in bases:
            total.add_(vector, alpha=base)
        return total

    def _expand(
        self, starts: Sequence[_Start], product: Callable[[Tensor], Tensor], largest: float
    ) -> tuple[Tensor, float]:
        """Σ of the starts' functions, (n,), and the norm of the largest result so far."""
        vectors = torch.stack([start.vector for start in starts])
        norms = torch.linalg.vector_norm(vectors, dim=1)
        lengths = norms.tolist()
        count, length = vectors.shape
        basis = vectors.new_empty(count, 16, length)
        torch.div(vectors, torch.where(norms > 0, norms, 1.0).unsqueeze(1), out=basis[:, 0])
        # column k of the band: the diagonal of T, and what stands beside it
        diagonal = norms.new_zeros(count, self._max_dimension)
        off_diagonal = torch.zeros_like(diagonal)
        smallest = torch.finfo(norms.dtype).eps
        scale = norms.new_full((count,), 1e-30)
        previous: list[Tensor | None] = [None] * count
        next_check = self._first_check
        # Products through a whole model in single precision are symmetric to a millionth of the largest eigenvalue
        # only: where curvature explodes, one pass leaves more of the basis than there is left of the image ("twice is
        # enough", Parlett, The Symmetric Eigenvalue Problem, §6.9). Beside such products a second costs nothing.
        passes = 2 if starts[0].whole or getattr(self._rows, "matrix_free", False) else 1
        for k in range(1, self._max_dimension + 1):
            newest = basis[:, k - 1]
            image = product(newest[0]).unsqueeze(0) if count == 1 else product(newest.T).T
            self.products += count
            along = (newest * image).sum(1)
            diagonal[:, k - 1] = along
            # the recurrence takes the large components away, one pass over the basis what rounding left of the others
            image = torch.addcmul(image, along.unsqueeze(1), newest, value=-1.0)
            if k > 1:
                image.addcmul_(off_diagonal[:, k - 2, None], basis[:, k - 2], value=-1.0)
            space, column = basis[:, :k], image.unsqueeze(2)
            for _ in range(passes):
                column.baddbmm_(space.mT, torch.bmm(space, column), alpha=-1.0)
            beta = torch.linalg.vector_norm(image, dim=1)
            scale = torch.maximum(scale, along.abs())
            alive = beta > smallest * scale
            beta = torch.where(alive, beta, 0.0)
            exhausted = k == length or not bool(alive.any())
            if exhausted or k >= next_check:
                next_check = k + max(self._first_check, k // CHECK_SHARE)
                spaces = _ritz(diagonal[:, :k], off_diagonal[:, : k - 1], self._damping)
                found = [
                    _Result.of(*each)
                    for each in zip(starts, spaces, lengths, beta.tolist(), previous, strict=True)
                ]
                reference = max(largest, *(result.size for result in found))
                reached = 0.0 if exhausted else _worst(found, reference, self._tolerance)
                if reached <= self._tolerance:
                    self.bound = max(self.bound, reached)
                    weights = torch.stack([r.coefficients * n for r, n in zip(found, lengths, strict=True)])
                    return (weights.to(basis).unsqueeze(1) @ space).sum((0, 1)), reference
                previous = [result.coefficients for result in found]
            if k == basis.shape[1]:
                basis = torch.cat([basis, torch.empty_like(basis)], 1)
            off_diagonal[:, k - 1] = beta
            # an exhausted space goes on with zeros, which its exact result does not see
            torch.div(image, torch.where(alive, beta, math.inf).unsqueeze(1), out=basis[:, k])
        raise LanczosError(
            f"Lanczos did not reach the tolerance {self._tolerance:g} in {self._max_dimension} products: "
            "raise tolerance, or use method='gram'"
        )


@dataclasses.dataclass(frozen=True)
class _Outside:
    """The part f(λ) v of f(A) v that stays out of the row space: f(λ) and ‖v‖."""

    base: float
    norm: float


@dataclasses.dataclass(frozen=True)
class _Start:
    """A function and its vector, in N-space (`whole`: eigenvalues of A) or in the rows (eigenvalues of K)."""

    function: SpectralFunction
    vector: Tensor
    whole: bool
    outside: _Outside | None


@dataclasses.dataclass(frozen=True)
class _Ritz:
    """Eigenvalues θ and vectors of T_k."""

    values: Tensor
    vectors: Tensor
    damping: float

    def apply(self, function: SpectralFunction, start: _Start) -> Tensor:
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
        """N-space norm of what coefficients stand for; in row space ‖Bᵀ V c‖ = √(cᵀ T c)."""
        if whole:
            return float(torch.linalg.vector_norm(coefficients))
        inner = self.vectors.T @ coefficients
        return float((self.values.clamp_min(0.0) * inner * inner).sum().sqrt())


@dataclasses.dataclass(frozen=True)
class _Result:
    """One start's coefficients for ‖v‖ = 1, the N-space norm `size` of its result, and what its error is made of."""

    start: _Start
    ritz: _Ritz
    norm: float
    beta: float
    coefficients: Tensor
    change: float
    size: float

    @staticmethod
    def of(start: _Start, ritz: _Ritz, norm: float, beta: float, before: Tensor | None) -> _Result:
        coefficients = ritz.apply(start.function, start)
        inside = ritz.length(coefficients, start.whole) * norm
        size = inside
        if start.outside is not None:
            base, length = start.outside.base, start.outside.norm
            crossed = 2.0 * base * norm * norm * float(coefficients[0])
            size = math.sqrt(max((base * length) ** 2 + crossed + inside**2, 0.0))
        change = math.inf
        if before is not None:
            difference = coefficients.clone()
            difference[: len(before)] -= before
            change = ritz.length(difference, start.whole) * norm
        return _Result(start, ritz, norm, beta, coefficients, change, size)

    def relative_error(self, reference: float, tolerance: float) -> float:
        """Bound of the error over `reference`; for a `Spread` the larger of its two estimates."""
        if self.norm == 0.0 or reference <= NEGLIGIBLE or self.beta == 0.0:
            return 0.0
        if isinstance(self.start.function, Spread):
            return max(self._shifted_residual() * self.size, self.change) / reference
        if self.change > 10.0 * tolerance * reference and self._last() > tolerance * reference:
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


def _worst(found: Sequence[_Result], reference: float, tolerance: float) -> float:
    """Largest relative error, or the first that is too large."""
    worst = 0.0
    for result in found:
        worst = max(worst, result.relative_error(reference, tolerance))
        if worst > tolerance:
            break
    return worst


def _ritz(diagonal: Tensor, off_diagonal: Tensor, damping: float) -> list[_Ritz]:
    """Eigenvalues and vectors of the tridiagonal matrices (count, k) with (count, k − 1) beside the diagonal.

    On the CPU wherever the basis lies: what is done with a few dozen numbers would be all launches on a GPU.
    """
    matrices = torch.diag_embed(diagonal.to("cpu", torch.float64))
    # the eigensolver reads the lower triangle only
    matrices.diagonal(-1, 1, 2).copy_(off_diagonal)
    values, vectors = torch.linalg.eigh(matrices)
    return [_Ritz(a, v, damping) for a, v in zip(values, vectors, strict=True)]
