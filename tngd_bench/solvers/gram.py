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
    right-hand side uses x = (rhs − Bᵀ (K + λI)⁻¹ B rhs)/λ, and λ = 0 the minimum-norm solution.
    """

    def solve(self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01) -> SolveResult:
        """Solve (G + λI) x = rhs."""
        damping = checked(ggn, rhs, damping)
        gram = ggn.gram()
        if is_gradient(ggn, rhs):
            weights, outside = ggn.gradient_weights
            solution = ggn.factor_rmatvec(solve_shifted(gram, weights, damping, in_range=True))
            if outside is not None:
                solution = solution + self._general(ggn, gram, outside, damping)
        else:
            assert rhs is not None
            solution = self._general(ggn, gram, rhs, damping)
        return SolveResult(solution, ggn, rhs, damping)

    @staticmethod
    def _general(ggn: GGN, gram: Tensor, rhs: Tensor, damping: float) -> Tensor:
        image = ggn.factor_matvec(rhs)
        if damping > 0.0:
            return (rhs - ggn.factor_rmatvec(solve_shifted(gram, image, damping, in_range=False))) / damping
        return ggn.factor_rmatvec(solve_shifted(gram, image, 0.0, in_range=True, power=2))
