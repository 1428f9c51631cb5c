"""The stochastic processing unit: device description, OU dynamics, imperfections, latency and energy ledger."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import Ledger

if TYPE_CHECKING:
    from tngd_bench.spu.dynamics.arrays import UnstableDeviceError
    from tngd_bench.spu.dynamics.ou import OUProcess
    from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

__all__ = ["Device", "Ledger", "OUProcess", "ProgrammedDevice", "UnstableDeviceError"]

_DYNAMICS = {"OUProcess": "ou", "ProgrammedDevice": "programmed", "UnstableDeviceError": "arrays"}


def __getattr__(name: str) -> Any:
    """Import the dynamics only when asked for: describing a device needs no torch."""
    if name in _DYNAMICS:
        return getattr(import_module(f"tngd_bench.spu.dynamics.{_DYNAMICS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
