"""The report of a study as a page and in other formats, and the summary on the terminal."""

from typing import TYPE_CHECKING

from tngd_bench.lazy import lazy_names

if TYPE_CHECKING:
    from tngd_bench.report.build import ReportFiles, build_report, figures
    from tngd_bench.report.render.terminal import terminal_summary

__all__ = ["ReportFiles", "build_report", "figures", "terminal_summary"]
__getattr__ = lazy_names(
    __name__,
    {
        "ReportFiles": "build",
        "build_report": "build",
        "figures": "build",
        "terminal_summary": "render.terminal",
    },
)
