"""Ways to solve (G + λI) x = g on one batch: operator, right-hand side and method are three things."""

from tngd_bench.solvers.conjugate_gradient import CG
from tngd_bench.solvers.dense import Dense
from tngd_bench.solvers.gram import Gram
from tngd_bench.solvers.result import Solver, SolveResult
from tngd_bench.solvers.thermodynamic import Thermodynamic
from tngd_bench.solvers.woodbury import Woodbury

__all__ = ["CG", "Dense", "Gram", "SolveResult", "Solver", "Thermodynamic", "Woodbury"]
