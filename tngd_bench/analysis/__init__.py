"""Statements from a study's records: `Results` and pure functions on its frames, a room a topic."""

from typing import TYPE_CHECKING

from tngd_bench.lazy import lazy_names

if TYPE_CHECKING:
    from tngd_bench.analysis.results import Results

__all__ = ["Results"]
__getattr__ = lazy_names(__name__, {"Results": "results"})
