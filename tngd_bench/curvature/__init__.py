"""Curvature of one batch: GGN products, factor, Gram matrix, dense form, Kronecker factors."""

from tngd_bench.curvature.ggn import GGN
from tngd_bench.curvature.losses import PerSampleLoss
from tngd_bench.curvature.parameters import TrainableParameters

__all__ = ["GGN", "PerSampleLoss", "TrainableParameters"]
