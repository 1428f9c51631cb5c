"""Solvers of (G + λI) x = g on one batch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tngd_bench.solvers.conjugate_gradient import CG
    from tngd_bench.solvers.dense import Dense
    from tngd_bench.solvers.gram import Gram
    from tngd_bench.solvers.layerwise import Layerwise
    from tngd_bench.solvers.system import Solver, SolveResult
    from tngd_bench.solvers.thermodynamic import Thermodynamic
    from tngd_bench.solvers.woodbury import Woodbury

_HOMES = {
    "CG": "conjugate_gradient",
    "Dense": "dense",
    "Gram": "gram",
    "Layerwise": "layerwise",
    "SolveResult": "system",
    "Solver": "system",
    "Thermodynamic": "thermodynamic",
    "Woodbury": "woodbury",
}

__all__ = ["CG", "Dense", "Gram", "Layerwise", "SolveResult", "Solver", "Thermodynamic", "Woodbury"]


def __getattr__(name: str) -> Any:
    """Import a solver when it is first used: planning reads `cg_iterations`, which needs no torch."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"tngd_bench.solvers.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
