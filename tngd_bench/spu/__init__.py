"""The stochastic processing unit: device description, OU dynamics, imperfections, latency and energy ledger."""

from typing import TYPE_CHECKING, Any

from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import Ledger

if TYPE_CHECKING:
    from tngd_bench.spu.ou import OUProcess

__all__ = ["Device", "Ledger", "OUProcess"]


def __getattr__(name: str) -> Any:
    """Import the dynamics only when asked for: describing a device needs no torch."""
    if name == "OUProcess":
        from tngd_bench.spu.ou import OUProcess

        return OUProcess
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
