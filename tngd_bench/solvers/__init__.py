"""Solvers of (G + λI) x = g on one batch."""

from typing import TYPE_CHECKING

from tngd_bench.lazy import lazy_names

if TYPE_CHECKING:
    from tngd_bench.solvers.conjugate_gradient import CG
    from tngd_bench.solvers.dense import Dense
    from tngd_bench.solvers.gram import Gram
    from tngd_bench.solvers.layerwise import Layerwise
    from tngd_bench.solvers.system import Solver, SolveResult
    from tngd_bench.solvers.thermodynamic import Thermodynamic
    from tngd_bench.solvers.woodbury import Woodbury

__all__ = ["CG", "Dense", "Gram", "Layerwise", "SolveResult", "Solver", "Thermodynamic", "Woodbury"]
__getattr__ = lazy_names(
    __name__,
    {name: name.lower() for name in ("Dense", "Gram", "Layerwise", "Thermodynamic", "Woodbury")}
    | {"CG": "conjugate_gradient", "SolveResult": "system", "Solver": "system"},
)
