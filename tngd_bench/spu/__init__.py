"""The stochastic processing unit: device description, OU dynamics, imperfections, latency and energy ledger."""

from typing import TYPE_CHECKING

from tngd_bench.lazy import lazy_names
from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import Ledger

if TYPE_CHECKING:
    from tngd_bench.spu.dynamics.arrays import UnstableDeviceError
    from tngd_bench.spu.dynamics.ou import OUProcess
    from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

__all__ = ["Device", "Ledger", "OUProcess", "ProgrammedDevice", "UnstableDeviceError"]
__getattr__ = lazy_names(
    __name__,
    {
        "OUProcess": "dynamics.ou",
        "ProgrammedDevice": "dynamics.programmed",
        "UnstableDeviceError": "dynamics.arrays",
    },
)
