"""Optimizers with one signature, `step(inputs, targets)`: NGD, K-FAC, TNGD; SGD and Adam are torch's own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tngd_bench.optimizers.kfac.optimizer import KFAC
    from tngd_bench.optimizers.natural import DivergedError
    from tngd_bench.optimizers.ngd.optimizer import NGD
    from tngd_bench.optimizers.tngd.optimizer import TNGD

_HOMES = {
    "DivergedError": "natural",
    "KFAC": "kfac.optimizer",
    "NGD": "ngd.optimizer",
    "TNGD": "tngd.optimizer",
}

__all__ = ["KFAC", "NGD", "TNGD", "DivergedError"]


def __getattr__(name: str) -> Any:
    """Import an optimizer when asked for: the registry beside them must not need torch."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"tngd_bench.optimizers.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
