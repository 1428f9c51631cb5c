"""Costs of a device beside the steps of an iteration: its amplifiers, standby, holding and calibration."""

from collections.abc import Mapping

from tngd_bench.spu.description import DeviceDescription
from tngd_bench.spu.ledger import Ledger, priced


def upkeep_s(device: DeviceDescription) -> dict[str, float | None]:
    """Return the seconds of the items that the device states; what only draws power takes no time of its own."""
    items: dict[str, float | None] = {}
    if device.calibration_time_s is not None or device.calibration_energy_j is not None:
        items["write_calibration"] = priced(device.calibration_time_s, 1.0 / device.calibration_interval)
    for name, power in (
        ("relax_amplifiers", device.amplifier_power_watt),
        ("relax_standby", device.standby_power_watt),
    ):
        if power is not None:
            items[name] = 0.0
    return items


def upkeep_j(
    device: DeviceDescription, seconds: Mapping[str, float | None], amplifier_s: float | None
) -> dict[str, float | None]:
    """Return the joules of those items; `amplifier_s` are the seconds of all amplifiers together."""
    return {
        "write_calibration": priced(device.calibration_energy_j, 1.0 / device.calibration_interval),
        "relax_amplifiers": priced(device.amplifier_power_watt, amplifier_s),
        "relax_hold": priced(device.hold_power_watt, device.hold_time_s),
        "relax_standby": priced(device.standby_power_watt, Ledger("s", seconds).total),
    }


def relax_power_watt(device: DeviceDescription, cells: int) -> float | None:
    """Return the power of a relaxation: as stated, else computed as V²G of all cells, else None."""
    if device.relax_power_watt is not None or device.cell_volts is None:
        return device.relax_power_watt
    return priced(device.cell_siemens, cells * device.cell_volts**2)
