"""Functions of A through a Gram matrix in memory: by Lanczos where single precision will do, else by eigenvectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from tngd_bench.spu.dynamics.krylov import KrylovTransition, LanczosError
from tngd_bench.spu.dynamics.route import SMALLEST_LANCZOS
from tngd_bench.spu.dynamics.spectral import Response
from tngd_bench.spu.dynamics.transitions import FactoredOperator, GramTransition, Term, needs_double

APPLICATIONS = 2
"""Applications after which eigenvectors, found once, are cheaper than another Krylov space."""
FIRST_CHECK = 8
"""Products between two looks at the error: one look takes as long as some four of them."""
TOLERANCE = 1e-6
"""Relative error of the Krylov route: that of a single-precision eigendecomposition."""


class FormedGram:
    """An operator whose K = B Bᵀ is formed once and then serves every product K u."""

    def __init__(self, operator: FactoredOperator) -> None:
        self._operator = operator
        self.size, self.rows = operator.size, operator.rows
        self.factor_matvec, self.factor_rmatvec = operator.factor_matvec, operator.factor_rmatvec

    @cached_property
    def matrix(self) -> Tensor:
        """K, (m, m)."""
        return self._operator.gram()

    @cached_property
    def _double(self) -> Tensor:
        return self.matrix.to(torch.float64)

    def gram(self) -> Tensor:
        """K, (m, m)."""
        return self.matrix

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K u in u's precision; (m, k) as uᵀ K: where k is small, rows are several times quicker than columns."""
        matrix = self.matrix if u.dtype == self.matrix.dtype else self._double
        return matrix @ u if u.dim() == 1 else (u.T @ matrix).T

    def matvec(self, v: Tensor) -> Tensor:
        """G v."""
        return self._operator.matvec(v)

    def dense(self) -> Tensor:
        """G, (N, N)."""
        return self._operator.dense()


class GramLanczosTransition:
    """`GramTransition`, but for the first applications in single precision a block of Lanczos runs on K itself.

    A few dozen products of m² replace an eigendecomposition of about 10 m³. The eigenvectors are taken after all in
    double precision, for few rows, where λ stands close to the rounding of K, for a plain right-hand side (which would
    need products in N-space), when Lanczos needs more than m/4 products, and from the third application on.
    """

    def __init__(self, operator: FactoredOperator, damping: float) -> None:
        self._formed = FormedGram(operator)
        self._damping = damping
        self._exact = GramTransition(self._formed, damping)
        self._applied = 0

    def apply(self, terms: Sequence[Term], in_range: Sequence[Term] = ()) -> Tensor:
        """Σ f(A) v + Σ f(A) Bᵀ w."""
        self._applied += 1
        plain = any(isinstance(function, Response) for function, _ in terms)
        if (
            plain
            or self._applied > APPLICATIONS
            or self._formed.rows < SMALLEST_LANCZOS
            or not self._single()
        ):
            return self._exact.apply(terms, in_range)
        krylov = KrylovTransition(
            self._formed.matvec,
            self._damping,
            operator=self._formed,
            tolerance=TOLERANCE,
            max_dimension=self._formed.rows // 4,
            first_check=FIRST_CHECK,
            row_dtype=torch.float64 if needs_double(terms, in_range, self._damping) else None,
        )
        try:
            return krylov.apply(terms, in_range)
        except LanczosError:
            self._applied = APPLICATIONS
            return self._exact.apply(terms, in_range)

    def _single(self) -> bool:
        return self._formed.matrix.dtype == torch.float32 and not self._exact.needs_double
