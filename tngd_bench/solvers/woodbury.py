"""NGD-Woodbury: the factor B held explicitly, an m×m solve (Table 1 of arXiv 2405.13817)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tngd_bench.curvature import GGN
from tngd_bench.solvers.result import SolveResult, checked, is_gradient, is_negligible, solve_shifted


@dataclass(frozen=True)
class Woodbury:
    """x = (g − Bᵀ (K + λI)⁻¹ B g)/λ with explicit B: m²N + m³ multiply-adds, mN + m² memory.

    λ = 0, or λ lost in the rounding of K, gives the minimum-norm solution Bᵀ K⁺² B g.
    """

    def solve(
        self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01, prior: Tensor | None = None
    ) -> SolveResult:
        """Solve (G + λI) x = rhs + λ·prior."""
        damping = checked(ggn, rhs, damping, prior)
        right = ggn.gradient if rhs is None else rhs
        factor = ggn.factor()
        if prior is not None:
            right = right - factor.T @ (factor @ prior)
        gram = factor @ factor.T
        image = factor @ right
        if damping > 0.0 and not (is_gradient(ggn, rhs) and is_negligible(gram, damping)):
            solution = (right - factor.T @ solve_shifted(gram, image, damping, in_range=False)) / damping
        else:
            solution = factor.T @ solve_shifted(gram, image, 0.0, in_range=True, power=2)
        if prior is not None:
            solution = solution + prior
        return SolveResult(solution, ggn, rhs, damping, prior=prior)
