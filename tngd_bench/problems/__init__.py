"""Problems: real data and a family of models whose number of parameters can be asked for.

`registry` names them and imports no torch; one file describes each problem.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tngd_bench.problems.outside.from_model import problem_of

__all__ = ["problem_of"]


def __getattr__(name: str) -> Any:
    """Import `problem_of` when asked for: who looks up a name needs no torch."""
    if name == "problem_of":
        from tngd_bench.problems.outside.from_model import problem_of

        return problem_of
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
