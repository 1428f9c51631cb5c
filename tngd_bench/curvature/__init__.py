"""Curvature of one batch, verified: GGN products, factor, Gram matrix, dense form, Kronecker factors."""

from tngd_bench.curvature.ggn import GGN
from tngd_bench.curvature.losses import PerSampleLoss
from tngd_bench.curvature.parameters import TrainableParameters
from tngd_bench.curvature.verification import Fallback, FallbackWarning, Verification

__all__ = ["GGN", "Fallback", "FallbackWarning", "PerSampleLoss", "TrainableParameters", "Verification"]
