"""The report of a study as a page and in other formats, and the summary on the terminal.

Imported when first used, since the summary of a check needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tngd_bench.report.build import ReportFiles, build_report, figures
    from tngd_bench.report.render.terminal import terminal_summary

__all__ = ["ReportFiles", "build_report", "figures", "terminal_summary"]

_PLACES = {
    "ReportFiles": "tngd_bench.report.build",
    "build_report": "tngd_bench.report.build",
    "figures": "tngd_bench.report.build",
    "terminal_summary": "tngd_bench.report.render.terminal",
}


def __getattr__(name: str) -> Any:
    """Return a public name from its module."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
