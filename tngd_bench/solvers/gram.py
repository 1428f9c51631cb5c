"""NGD-Gram: exact natural gradient from the Gram matrix alone; B is never formed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tngd_bench.curvature import GGN
from tngd_bench.solvers.result import SolveResult, checked, is_gradient, solve_shifted


@dataclass(frozen=True)
class Gram:
    """Push-through solve in the m-dimensional row space: about d_z backward passes and an m×m Cholesky.

    For the batch gradient g = Bᵀw, x = Bᵀ (K + λI)⁻¹ w: no product B·g, and no cancellation at small λ. Any other
    right-hand side uses x = (rhs − Bᵀ (K + λI)⁻¹ B rhs)/λ, and λ = 0 the minimum-norm solution. A prior p costs one
    product B p: x = p + Bᵀ (K + λI)⁻¹ (w − B p) (SPRING, arXiv 2401.10190).
    """

    def solve(
        self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01, prior: Tensor | None = None
    ) -> SolveResult:
        """Solve (G + λI) x = rhs + λ·prior, as (G + λI)(x − prior) = rhs − G·prior."""
        damping = checked(ggn, rhs, damping, prior)
        gram = ggn.gram()
        if is_gradient(ggn, rhs):
            weights, outside = ggn.gradient_weights
            if prior is not None:
                weights = weights - ggn.factor_matvec(prior)
            solution = ggn.factor_rmatvec(solve_shifted(gram, weights, damping, in_range=True))
            if outside is not None:
                solution = solution + self._general(ggn, gram, outside, damping)
        else:
            assert rhs is not None
            right = rhs if prior is None else rhs - ggn.matvec(prior)
            solution = self._general(ggn, gram, right, damping)
        if prior is not None:
            solution = solution + prior
        return SolveResult(solution, ggn, rhs, damping, prior=prior)

    @staticmethod
    def _general(ggn: GGN, gram: Tensor, rhs: Tensor, damping: float) -> Tensor:
        image = ggn.factor_matvec(rhs)
        if damping > 0.0:
            return (rhs - ggn.factor_rmatvec(solve_shifted(gram, image, damping, in_range=False))) / damping
        return ggn.factor_rmatvec(solve_shifted(gram, image, 0.0, in_range=True, power=2))
