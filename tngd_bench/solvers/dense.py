"""Dense natural gradient: form G, factor it."""

from dataclasses import dataclass

from tngd_bench.curvature.operator import Shifted
from tngd_bench.solvers.system import LinearSystem, Solver, SolveResult, solve_shifted


@dataclass(frozen=True)
class Dense(Solver):
    """Cholesky of the N×N matrix G + λI: N³/3 + m N² multiply-adds, N² memory (Table 1, NGD).

    λ = 0 gives the least-squares solution nearest to the prior.
    """

    def _solve(self, system: LinearSystem) -> SolveResult:
        matrix = system.ggn.dense()
        right = system.moved_rhs(matrix.matmul)
        shifted = Shifted(matrix, system.damping)
        return system.solved(solve_shifted(shifted, right, in_range=system.rhs.is_gradient))
