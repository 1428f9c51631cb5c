"""NGD-Gram: exact natural gradient from the Gram matrix alone; B is never formed."""

from dataclasses import dataclass

from torch import Tensor

from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import Shifted
from tngd_bench.solvers.system import LinearSystem, Solver, SolveResult, solve_shifted


@dataclass(frozen=True)
class Gram(Solver):
    """Push-through solve in the m-dimensional row space: about d_z backward passes and an m×m Cholesky.

    For the batch gradient g = Bᵀw, x = Bᵀ (K + λI)⁻¹ w: no product B·g, and no cancellation at small λ. Any other
    right-hand side uses x = (rhs − Bᵀ (K + λI)⁻¹ B rhs)/λ, and λ = 0 the minimum-norm solution. A prior p costs one
    product B p and one addition in place: x = μp + Bᵀ (K + λI)⁻¹ (w − μ B p) (SPRING, arXiv 2401.10190).
    """

    def _solve(self, system: LinearSystem) -> SolveResult:
        ggn, shifted = system.ggn, Shifted(system.ggn.gram(), system.damping)
        found = system.moved_weights()
        if found is None:
            return system.solved(_general(ggn, shifted, system.moved_rhs()))
        solution = ggn.factor_rmatvec(solve_shifted(shifted, found.weights, in_range=True))
        if found.rest is not None:
            solution += _general(ggn, shifted, found.rest)
        return system.solved(solution)


def _general(ggn: GGN, gram: Shifted[Tensor], rhs: Tensor) -> Tensor:
    image = ggn.factor_matvec(rhs)
    if gram.damping > 0.0:
        return (rhs - ggn.factor_rmatvec(solve_shifted(gram, image, in_range=False))) / gram.damping
    return ggn.factor_rmatvec(solve_shifted(gram, image, in_range=True, power=2))
