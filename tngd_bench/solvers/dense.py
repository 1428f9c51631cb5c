"""Dense natural gradient: form G, factor it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tngd_bench.curvature import GGN
from tngd_bench.solvers.result import SolveResult, checked, is_gradient, solve_shifted


@dataclass(frozen=True)
class Dense:
    """Cholesky of the N×N matrix G + λI: N³/3 + m N² multiply-adds, N² memory (Table 1, NGD)."""

    def solve(self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01) -> SolveResult:
        """Solve (G + λI) x = rhs; λ = 0 gives the minimum-norm least-squares solution."""
        damping = checked(ggn, rhs, damping)
        right = ggn.gradient if rhs is None else rhs
        solution = solve_shifted(ggn.dense(), right, damping, in_range=is_gradient(ggn, rhs))
        return SolveResult(solution, ggn, rhs, damping)
