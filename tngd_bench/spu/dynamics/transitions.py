"""Exact transitions of the OU process: Σ_j f_j(A) v_j for A = G + λI, by three routes tested against each other."""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import scipy.linalg
import torch
from torch import Tensor

from tngd_bench.curvature.operator import GramOperator, LinearOperator, Shifted
from tngd_bench.spu.dynamics.spectral import Response, SpectralFunction, at

Term = tuple[SpectralFunction, Tensor]
DOUBLE_GAIN = 64.0
"""Gain above which functions of K are taken in double: half as much time again, for digits that would be lost."""
STEADY_DOUBLE_GAIN = 4.0
"""The same where the slowest modes have settled."""
STEADY = 16.0
"""λt from which e^{−λt} is below single precision."""


class Transition(Protocol):
    """A way to apply functions of A."""

    def apply(self, terms: Sequence[Term], in_range: Sequence[Term] = ()) -> Tensor:
        """Σ f(A) v over `terms` plus Σ f(A) Bᵀw over `in_range`, (N,)."""


class DenseTransition:
    """Eigendecomposition of A itself: the oracle, for small N and for dense matrices."""

    def __init__(self, shifted: Shifted[LinearOperator]) -> None:
        matrix = shifted.operator.dense()
        values, self.vectors = torch.linalg.eigh(matrix.to(torch.float64))
        self.eigenvalues = values.clamp_min(0.0) + shifted.damping
        self._dtype = matrix.dtype

    def apply(self, terms: Sequence[Term], in_range: Sequence[Term] = ()) -> Tensor:
        """Σ Q f(a) Qᵀ v."""
        if in_range:
            raise TypeError("a dense transition takes vectors, not weights of the factor")
        total = torch.zeros_like(self.eigenvalues)
        for function, vector in terms:
            total += function(self.eigenvalues) * (self.vectors.T @ vector.to(torch.float64))
        result: Tensor = self.vectors @ total
        return result.to(self._dtype)


class GramTransition:
    """Functions of A through K = B Bᵀ = Q diag(s) Qᵀ, one m×m eigendecomposition whatever N.

    f(A) v = f(λ) v + Bᵀ Q diag((f(s+λ) − f(λ))/s) Qᵀ B v, and f(A) Bᵀ w = Bᵀ Q f(s+λ) Qᵀ w, without cancellation.
    """

    def __init__(self, shifted: Shifted[GramOperator]) -> None:
        self._operator = shifted.operator
        self._damping = shifted.damping
        self._spectra: dict[bool, tuple[Tensor, Tensor]] = {}

    @cached_property
    def _gram(self) -> Tensor:
        return self._operator.gram()

    @cached_property
    def needs_double(self) -> bool:
        """Whether λ is too close to the rounding of K for a decomposition in K's own precision (error ε·λ_max)."""
        diagonal = self._operator.gram_diagonal()
        return self._damping < 1e3 * torch.finfo(diagonal.dtype).eps * float(diagonal.max())

    def _spectrum(self, double: bool) -> tuple[Tensor, Tensor]:
        if double not in self._spectra:
            self._spectra[double] = self._decomposed(double)
        return self._spectra[double]

    def _decomposed(self, double: bool) -> tuple[Tensor, Tensor]:
        values, vectors = eigendecomposition(self._gram.to(torch.float64) if double else self._gram)
        return values.clamp_min(0.0), vectors

    def apply(self, terms: Sequence[Term], in_range: Sequence[Term] = ()) -> Tensor:
        """Σ f(A) v + Σ f(A) Bᵀ w."""
        values, vectors = self._spectrum(self.needs_double or needs_double(terms, in_range, self._damping))
        # below rounding of K an eigenvalue is noise: dividing by it would amplify, so the quotient is taken there
        floor = float(values[-1]) * torch.finfo(vectors.dtype).eps
        steps = values.clamp_min(max(floor, torch.finfo(torch.float64).tiny))
        modal = torch.zeros_like(vectors[0])
        outside: list[tuple[float, Tensor]] = []
        for function, vector in terms:
            base = at(function, self._damping)
            quotient = (function(steps + self._damping) - base) / steps
            modal += quotient.to(modal.dtype) * (
                vectors.T @ self._operator.factor_matvec(vector).to(modal.dtype)
            )
            outside.append((base, vector))
        for function, weights in in_range:
            modal += function(values + self._damping).to(modal.dtype) * (vectors.T @ weights.to(modal.dtype))
        lifted = vectors @ modal
        dtype = (terms or in_range)[0][1].dtype
        total = self._operator.factor_rmatvec(lifted.to(dtype))
        for base, vector in outside:
            total.add_(vector, alpha=base)
        return total


def eigendecomposition(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, float64, and eigenvectors of a symmetric matrix, in its precision where that converges.

    LAPACK's divide and conquer, which torch takes, may not converge where nearly all of K is zero, as it is once a
    network has learned most of a batch: seldom in double, often in single precision. QR iterations then do. Of a
    matrix that is not finite, as one of a diverged network, all is NaN, and the step says that it diverged.
    """
    if not matrix.isfinite().all():
        none = torch.full_like(matrix, torch.nan)
        return none[0].to(torch.float64), none
    for precision in (matrix.dtype, torch.float64):
        try:
            values, vectors = torch.linalg.eigh(matrix.to(precision))
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # missing in torch's own list of names
            continue
        return values.to(torch.float64), vectors
    slow = scipy.linalg.eigh(matrix.to("cpu", torch.float64).numpy(), driver="ev")
    values, vectors = (torch.from_numpy(each).to(matrix.device) for each in slow)
    return values, vectors


def needs_double(terms: Sequence[Term], in_range: Sequence[Term], damping: float) -> bool:
    """Whether the gain of the slowest modes, (1 − e^{−λt})/λ, amplifies rounding too much for single precision.

    On MNIST at λ = 0.01 the readout is then off by 10⁻⁵ or more (2·10⁻⁵ at N = 10⁵, t → ∞). A steady state, the
    exact solution, is kept within 10⁻⁵ from smaller gains on.
    """
    longest = max(function.t for function, _ in (*terms, *in_range))
    steady = damping * longest > STEADY
    return at(Response(longest), damping) > (STEADY_DOUBLE_GAIN if steady else DOUBLE_GAIN)
