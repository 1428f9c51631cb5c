"""Dense natural gradient: form G, factor it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tngd_bench.curvature import GGN
from tngd_bench.solvers.result import SolveResult, checked, is_gradient, solve_shifted


@dataclass(frozen=True)
class Dense:
    """Cholesky of the N×N matrix G + λI: N³/3 + m N² multiply-adds, N² memory (Table 1, NGD)."""

    def solve(
        self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01, prior: Tensor | None = None
    ) -> SolveResult:
        """Solve (G + λI) x = rhs + λ·prior; λ = 0 gives the least-squares solution nearest to the prior."""
        damping = checked(ggn, rhs, damping, prior)
        right = ggn.gradient if rhs is None else rhs
        matrix = ggn.dense()
        if prior is not None:
            right = right - matrix @ prior
        solution = solve_shifted(matrix, right, damping, in_range=is_gradient(ggn, rhs))
        if prior is not None:
            solution = solution + prior
        return SolveResult(solution, ggn, rhs, damping, prior=prior)
