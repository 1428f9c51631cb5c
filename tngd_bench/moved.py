"""Modules at the addresses they had in version 0.1, for scripts that import them from there."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "tngd_bench.analysis.baseline": "tngd_bench.check.baseline",
    "tngd_bench.analysis.gate": "tngd_bench.check.gate",
    "tngd_bench.analysis.metric_kinds": "tngd_bench.check.metrics",
    "tngd_bench.analysis.regression": "tngd_bench.check.regression",
    "tngd_bench.analysis.study_metrics": "tngd_bench.check.study_metrics",
    "tngd_bench.report.check_summary": "tngd_bench.check.summary",
}
"""The present address of each, by the earlier one."""


class _Finder(MetaPathFinder, Loader):
    """Imports a module of `MOVED` from its present address; asked only where Python finds no file."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an earlier address, None for any other name."""
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of the present address in place of `module`, with a DeprecationWarning."""
        now = MOVED[module.__name__]
        warnings.warn(f"{module.__name__} is now {now}", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = import_module(now)


def install() -> None:
    """Let Python find modules at their earlier addresses too."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
