"""Checks of a device."""

import math

from tngd_bench.check.conformance.small_run import STEPS, SmallRun, require
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.spu.billing import Workload, parts_of
from tngd_bench.spu.device import Device


def described(name: str) -> str:
    """A study can take it as the base of its own devices."""
    device = Device.preset(name)
    require(
        Device.described({"base": name, "name": name}) == device, "a device on its base is another device"
    )
    return device.summary


def bill(name: str) -> str:
    """Seconds and joules of an iteration are not negative and do not fall with the size."""
    device, told = Device.preset(name), []
    for what, of in (("s", device.latency), ("J", device.energy)):
        small, large = of(1_000, 80), of(100_000, 80)
        for ledger in (small, large):
            wrong = [item for item, value in ledger.items.items() if value is not None and not value >= 0]
            require(not wrong, f"{', '.join(wrong)} < 0 {what}")
        require(
            (large.at_least or 0) >= (small.at_least or 0), f"100,000 parameters take less {what} than 1,000"
        )
        told.append(f"{'≥ ' * bool(small.not_stated)}{small.at_least or 0:.3g} {what}")
    return f"{', '.join(told)} at N = 1,000, m = 80"


def built(name: str) -> str:
    """The parts are counted, and their number does not fall with the size."""
    small, large = (parts_of(Device.preset(name), Workload.of(n, 80, 50.0)) for n in (1_000, 100_000))
    for what in ("cells", "tiles", "amplifiers", "converters"):
        few, many = getattr(small, what), getattr(large, what)
        require(0 < few <= many, f"{few:,} {what} at N = 1,000 and {many:,} at N = 100,000")
    worn = small.worn_out_after
    require(worn is None or worn >= 1, f"its cells are worn out after {worn} iterations")
    return (
        f"{small.cells:,} cells, {small.tiles:,} tiles, {small.amplifiers:,} amplifiers at N = 1,000, m = 80"
    )


def relaxation(name: str) -> str:
    """Thermodynamic steps on it give finite losses."""
    run = SmallRun("sgd")
    config = OptimizerConfig.of("tngd", device=name)
    run.optimizer = run.instance.optimizer(config, run.model)
    losses = run.steps()
    require(all(map(math.isfinite, losses)), f"losses {losses}")
    return f"{STEPS} steps"
