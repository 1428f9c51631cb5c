"""Functions of A through a Gram matrix in memory: by Lanczos for answers in single precision, else by eigenvectors."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from tngd_bench.curvature.operator import FactoredOperator, Shifted
from tngd_bench.curvature.route import LANCZOS_SHARE, TOLERANCE, Route, gram_function_route
from tngd_bench.spu.dynamics.factor_operator import ErringFactor
from tngd_bench.spu.dynamics.krylov import KrylovTransition, LanczosError
from tngd_bench.spu.dynamics.transitions import GramTransition, Term, needs_double


class FormedGram:
    """An operator whose K = B Bᵀ is formed once and then serves every product K u.

    K of erring cells has a factor of only twice its size, and few products are needed: it is formed for all else.
    """

    def __init__(self, operator: FactoredOperator) -> None:
        self._operator = operator
        self._erring = operator if isinstance(operator, ErringFactor) else None
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

    def gram_diagonal(self) -> Tensor:
        """The diagonal of K, (m,)."""
        return self.matrix.diagonal() if self._erring is None else self._erring.gram_diagonal()

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K u in u's precision; (m, k) as uᵀ K: where k is small, rows are several times quicker than columns."""
        if self._erring is not None and u.dtype == self._erring.dtype:
            return self._erring.gram_matvec(u)
        matrix = self.matrix if u.dtype == self.matrix.dtype else self._double
        return matrix @ u if u.dim() == 1 else (u.T @ matrix).T

    def matvec(self, v: Tensor) -> Tensor:
        """G v."""
        return self._operator.matvec(v)

    def dense(self) -> Tensor:
        """G, (N, N)."""
        return self._operator.dense()


class GramLanczosTransition:
    """`GramTransition`, but for the first answers in single precision a block of Lanczos runs on K itself.

    A few dozen products of m² replace an eigendecomposition of about 10 m³. Where λ stands close to the rounding of K,
    or slow modes amplify rounding, they are made in double precision. The eigenvectors are taken after all where
    answers are wanted in double precision, for few rows, when Lanczos needs more than m/4 products, and from the third
    application on.
    """

    def __init__(self, shifted: Shifted[FactoredOperator]) -> None:
        self._formed = FormedGram(shifted.operator)
        self._shifted = Shifted(self._formed, shifted.damping)
        self._exact = GramTransition(self._shifted)
        self._applied = 0
        self._failed = False

    def apply(self, terms: Sequence[Term], in_range: Sequence[Term] = ()) -> Tensor:
        """Σ f(A) v + Σ f(A) Bᵀ w."""
        self._applied += 1
        double = self._exact.needs_double or needs_double(terms, in_range, self._shifted.damping)
        if self._failed or self._route(terms, in_range, double=double).name == "eigenvectors":
            return self._exact.apply(terms, in_range)
        krylov = KrylovTransition(
            self._shifted,
            tolerance=TOLERANCE,
            max_dimension=self._formed.rows // LANCZOS_SHARE,
            row_dtype=torch.float64 if double else None,
            plain_in_rows=True,
            sparing=True,
        )
        try:
            return krylov.apply(terms, in_range)
        except LanczosError:
            self._failed = True
            return self._exact.apply(terms, in_range)

    def _route(self, terms: Sequence[Term], in_range: Sequence[Term], *, double: bool) -> Route:
        longest = max(function.t for function, _ in (*terms, *in_range))
        single, stiffness = (terms or in_range)[0][1].dtype == torch.float32, None
        if single and double:
            damping, largest = self._shifted.damping, float(torch.linalg.matrix_norm(self._formed.matrix))
            settled = math.log(1.0 / TOLERANCE) / damping if damping else math.inf
            stiffness = min(longest, settled) * largest
        rows, application = self._formed.rows, self._applied
        return gram_function_route(rows, single=single, application=application, stiffness=stiffness)
