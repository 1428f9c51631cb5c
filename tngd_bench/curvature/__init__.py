"""Curvature of one batch, verified: GGN products, factor, Gram matrix, dense form, Kronecker factors."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tngd_bench.curvature.ggn import GGN
    from tngd_bench.curvature.losses import PerSampleLoss
    from tngd_bench.curvature.parameters import TrainableParameters
    from tngd_bench.curvature.verification import Fallback, FallbackWarning, Verification

_HOMES = {
    "GGN": "ggn",
    "Fallback": "verification",
    "FallbackWarning": "verification",
    "PerSampleLoss": "losses",
    "TrainableParameters": "parameters",
    "Verification": "verification",
}

__all__ = ["GGN", "Fallback", "FallbackWarning", "PerSampleLoss", "TrainableParameters", "Verification"]


def __getattr__(name: str) -> Any:
    """Import a class when it is first used: planning reads the rules of routes, which need no torch."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"tngd_bench.curvature.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
