"""Curvature of one batch: GGN products, factor, Gram matrix, dense form, Kronecker factors."""

from tngd_bench.curvature.ggn import GGN, TrainableParameters

__all__ = ["GGN", "TrainableParameters"]
