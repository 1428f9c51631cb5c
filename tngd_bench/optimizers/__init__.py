"""Optimizers with one signature, `step(inputs, targets)`: NGD, K-FAC, TNGD; SGD and Adam are torch's own."""

from typing import TYPE_CHECKING

from tngd_bench.lazy import lazy_names

if TYPE_CHECKING:
    from tngd_bench.optimizers.kfac.optimizer import KFAC
    from tngd_bench.optimizers.natural import DivergedError
    from tngd_bench.optimizers.ngd.optimizer import NGD
    from tngd_bench.optimizers.tkfac.optimizer import TKFAC
    from tngd_bench.optimizers.tngd.optimizer import TNGD

__all__ = ["KFAC", "NGD", "TKFAC", "TNGD", "DivergedError"]
__getattr__ = lazy_names(
    __name__,
    {
        "DivergedError": "natural",
        "KFAC": "kfac.optimizer",
        "NGD": "ngd.optimizer",
        "TKFAC": "tkfac.optimizer",
        "TNGD": "tngd.optimizer",
    },
)
