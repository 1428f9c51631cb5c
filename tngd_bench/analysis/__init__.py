"""Statements from a study's records: `Results` and pure functions on its frames, a room a topic."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tngd_bench.analysis.results import Results

__all__ = ["Results"]


def __getattr__(name: str) -> Any:
    """Import `Results` when asked for: who writes a number in words needs no pandas."""
    if name == "Results":
        from tngd_bench.analysis.results import Results

        return Results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
