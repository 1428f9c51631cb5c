"""Functions of A by Lanczos: by products with the operator, or on a Gram matrix in place of its eigendecomposition."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tngd_bench.curvature.operator import Shifted, factored, goes_through_model
from tngd_bench.curvature.route import TOLERANCE
from tngd_bench.spu.dynamics.lanczos_bases import LanczosBases
from tngd_bench.spu.dynamics.ritz import Outside, Result, Ritz, Start, ritz_spaces, worst
from tngd_bench.spu.dynamics.spectral import Response, Spread, at
from tngd_bench.spu.dynamics.transitions import Term

FIRST_CHECK, CHECK_SHARE = 4, 6
"""The error is estimated after 4 products, and then whenever their number has grown by 4 or by a sixth."""
FAR_CHECK, PASSING = 32, 30.0
"""An estimate costs as much as eight products with a matrix of a few hundred rows. Products between two `sparing` ones
that are not expected to pass; and the residual, over the tolerance, at which one is: 15 to 120 in tables of all
estimates at N = 10⁵ and 10⁶, t = 5 and 50 τ (MNIST, m = 640)."""


class LanczosError(RuntimeError):
    """The tolerance was not reached within the dimension allowed."""


class KrylovTransition:
    """f(A) v ≈ ‖v‖ V_k f(T_k) e₁ with a fully reorthogonalised Lanczos basis (Saad 1992).

    Where the operator has `gram_matvec` (K u without a vector of length N), the bases live in the space of the m rows:
    f(A) v = f(λ) v + Bᵀ φ(K) B v with φ(s) = (f(s+λ) − f(λ))/s, and f(A) Bᵀw = Bᵀ f(K+λ) w, all exact identities; all
    vectors then grow their bases together. A plain right-hand side keeps its own N-space, in which nothing cancels,
    unless `plain_in_rows`, where f(λ) v and what the rows take from it cancel to their rounding.

    A basis grows until its result is within `tolerance` of the exact one in N-space, relative to the largest term. For
    means this is an a-posteriori bound: the error obeys e' = −A e − β_k v_{k+1} y_k(s), y_k the last coefficient after
    s, so that ‖e(t)‖ ≤ β_k ∫ |y_k(s)| e^{−λ(t−s)} ds (in row space with ‖Bᵀe^{−Ku}‖ ≤ 1/√(2eu) under the integral). For
    the square root of the covariance, which solves no such equation, it is an estimate: the last four or more steps
    changed it by less than the tolerance, and (A + I/t) x = v, which varies on the same scale, is solved to that
    residual, both weighed by the result's share of the largest term. `sparing`: errors are estimated once that
    equation is solved, or every 16 products.
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
        plain_in_rows: bool = False,
        sparing: bool = False,
    ) -> None:
        self._shifted = shifted
        self._damping = shifted.damping
        self._rows = factored(shifted.operator)
        self._tolerance = tolerance
        self._max_dimension = max_dimension
        self._first_check = first_check
        self._row_dtype = row_dtype
        self._sparing = sparing
        self._whole: tuple[type, ...] = () if plain_in_rows else (Response,)
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
        whole = [term for term in terms if self._rows is None or isinstance(term[0], self._whole)]
        total: Tensor | None = None
        largest = 0.0
        # answers to an input come first: the decayed start is small beside them and need not be known as well
        for function, vector in sorted(whole, key=lambda term: not isinstance(term[0], Response)):
            piece, largest = self._expand(
                [Start(function, vector, True, None)], self._shifted.matvec, largest
            )
            total = piece if total is None else total.add_(piece)
        if self._rows is None:
            assert total is not None
            return total
        starts = [Start(function, weights, False, None) for function, weights in in_range]
        bases: list[tuple[float, Tensor]] = []
        for function, vector in terms:
            if isinstance(function, self._whole):
                continue
            base = at(function, self._damping)
            bases.append((base, vector))
            outside = Outside(base, float(torch.linalg.vector_norm(vector)))
            starts.append(Start(function, self._rows.factor_matvec(vector), False, outside))
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

    def _is_far(self, bases: LanczosBases, k: int) -> bool:
        """Whether an estimate after k products would cost more than what it may save."""
        return self._sparing and k % FAR_CHECK != 0 and max(bases.residuals) > PASSING * self._tolerance

    def _before(self, starts: Sequence[Start], bases: LanczosBases, size: int) -> Sequence[Ritz | None]:
        """The spaces some products ago, where estimates ask what has changed."""
        drawn = [isinstance(start.function, Spread) for start in starts]
        asked = [i for i, noise in enumerate(drawn) if noise or not self._sparing]
        if size < 1 or not asked:
            return [None] * len(starts)
        diagonal, off_diagonal = bases.bands(size)
        found = ritz_spaces(diagonal[asked], off_diagonal[asked], self._damping)
        spaces = dict(zip(asked, found, strict=True))
        return [spaces.get(i) for i in range(len(starts))]

    def _expand(
        self, starts: Sequence[Start], product: Callable[[Tensor], Tensor], largest: float
    ) -> tuple[Tensor, float]:
        """Σ of the starts' functions, (n,), and the norm of the largest result so far."""
        # Products through a whole model in single precision are symmetric to a millionth of the largest eigenvalue
        # only: where curvature explodes, one pass leaves more of the basis than there is left of the image ("twice is
        # enough", Parlett, The Symmetric Eigenvalue Problem, §6.9). Beside such products a second costs nothing.
        passes = 2 if starts[0].whole or goes_through_model(self._shifted.operator) else 1
        shift = 1.0 / max(start.function.t for start in starts) + (0.0 if starts[0].whole else self._damping)
        bases = LanczosBases(torch.stack([start.vector for start in starts]), passes, shift)
        lengths = bases.norms.tolist()
        next_check = self._first_check
        for k in range(1, self._max_dimension + 1):
            exhausted = bases.grow(product)
            self.products += len(starts)
            if not exhausted and (k < next_check or self._is_far(bases, k)):
                continue
            back = max(self._first_check, k // (CHECK_SHARE + 1))
            next_check = k + max(self._first_check, k // CHECK_SHARE)
            now = ritz_spaces(*bases.bands(k), self._damping)
            before = self._before(starts, bases, k - back)
            found = [Result.of(*each) for each in zip(starts, now, lengths, bases.beta, before, strict=True)]
            reference = max(largest, *(result.size for result in found))
            reached = 0.0 if exhausted else worst(found, reference, self._tolerance)
            if reached <= self._tolerance:
                self.bound = max(self.bound, reached)
                weights = torch.stack([r.coefficients * n for r, n in zip(found, lengths, strict=True)])
                return bases.combined(weights), reference
        raise LanczosError(
            f"Lanczos did not reach the tolerance {self._tolerance:g} in {self._max_dimension} products: "
            "raise tolerance, or use method='gram'"
        )
