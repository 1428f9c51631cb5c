"""What people read: the HTML report of a study and the summary on the terminal."""

from tngd_bench.report.page import ReportFiles, build_report
from tngd_bench.report.terminal import terminal_summary

__all__ = ["ReportFiles", "build_report", "terminal_summary"]
