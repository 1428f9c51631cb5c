"""Curvature of one batch, verified: GGN products, factor, Gram matrix, dense form, Kronecker factors."""

from typing import TYPE_CHECKING

from tngd_bench.lazy import lazy_names

if TYPE_CHECKING:
    from tngd_bench.curvature.ggn import GGN
    from tngd_bench.curvature.losses import PerSampleLoss
    from tngd_bench.curvature.parameters import TrainableParameters
    from tngd_bench.curvature.verification import Fallback, FallbackWarning, Verification

__all__ = ["GGN", "Fallback", "FallbackWarning", "PerSampleLoss", "TrainableParameters", "Verification"]
__getattr__ = lazy_names(
    __name__,
    {"GGN": "ggn", "PerSampleLoss": "losses", "TrainableParameters": "parameters"}
    | dict.fromkeys(("Fallback", "FallbackWarning", "Verification"), "verification"),
)
