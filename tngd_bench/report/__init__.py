"""What people read: the report of a study as a page and in other formats, and the summary on the terminal."""

from tngd_bench.report.build import ReportFiles, build_report
from tngd_bench.report.terminal import terminal_summary

__all__ = ["ReportFiles", "build_report", "terminal_summary"]
