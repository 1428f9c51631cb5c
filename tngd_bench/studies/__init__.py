"""Study files, the trials they unroll to, their execution in worker processes, and the store of results."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tngd_bench.studies.runnable import RunnableStudy as Study

__all__ = ["Study"]


def __getattr__(name: str) -> Any:
    """Import `Study` when asked for: who reads a store needs no engine."""
    if name == "Study":
        from tngd_bench.studies.runnable import RunnableStudy

        return RunnableStudy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
