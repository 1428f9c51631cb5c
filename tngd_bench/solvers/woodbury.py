"""NGD-Woodbury: the factor B held explicitly, an m×m solve (Table 1 of arXiv 2405.13817)."""

from dataclasses import dataclass

from tngd_bench.curvature.operator import Shifted
from tngd_bench.solvers.system import LinearSystem, Solver, SolveResult, is_negligible, solve_shifted


@dataclass(frozen=True)
class Woodbury(Solver):
    """x = (g − Bᵀ (K + λI)⁻¹ B g)/λ with explicit B: m²N + m³ multiply-adds, mN + m² memory.

    λ = 0, or λ lost in the rounding of K, gives the minimum-norm solution Bᵀ K⁺² B g.
    """

    def _solve(self, system: LinearSystem) -> SolveResult:
        factor, damping = system.ggn.factor(), system.damping
        right = system.moved_rhs(lambda v: factor.T @ (factor @ v))
        gram, image = Shifted(factor @ factor.T, damping), factor @ right
        if damping > 0.0 and not (system.rhs.is_gradient and is_negligible(gram)):
            return system.solved((right - factor.T @ solve_shifted(gram, image, in_range=False)) / damping)
        least = solve_shifted(Shifted(gram.operator, 0.0), image, in_range=True, power=2)
        return system.solved(factor.T @ least)
