"""The exit code of the command line where the package itself cannot be imported."""

import sys
from types import TracebackType

FAILED = 2
_ENTRY = "tngd_bench.cli"


def guard_command_line() -> None:
    """Have an import that fails end the command line with 2, not with Python's 1, which means "regression".

    Only in a process that was started for the command line, and only until its `main` takes over: a program that
    imports the package keeps its own handling of errors.
    """
    words = (sys.argv[0] if sys.argv else "", *getattr(sys, "orig_argv", ())[:4])
    if any(word.endswith("tngd-bench") or _ENTRY in word for word in words):
        sys.excepthook = _end


def release_command_line() -> None:
    """Give errors back to Python."""
    if sys.excepthook is _end:
        sys.excepthook = sys.__excepthook__


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, trace)
    sys.stderr.write(f"tngd-bench: error: the package cannot be imported: {kind.__name__}: {error}\n")
    raise SystemExit(FAILED)
