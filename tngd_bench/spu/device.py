"""The analog device: its description with what an iteration costs on it, and the named ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import EntryPoint
from typing import Any

from tngd_bench import arguments, plugins
from tngd_bench.plugin_files import cached
from tngd_bench.plugins import entry_points
from tngd_bench.spu import billing
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.description import DEVICE_FIELDS, DeviceDescription
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.sources import separated, shipped_tables

ENTRY_POINT_GROUP = "tngd_bench.devices"


@dataclass(frozen=True)
class Device(DeviceDescription):
    """An analog device; fields as in `DeviceDescription`, every imperfection off by default."""

    @staticmethod
    def presets() -> tuple[str, ...]:
        """Names of the shipped and registered devices."""
        return tuple(_named().entries)

    @staticmethod
    def preset(name: str) -> Device:
        """The device called `name`; ValueError with a suggestion, or with why it is left out, when there is none."""
        return _named().get(name)

    @staticmethod
    def of(device: str | Device) -> Device:
        """Return `device`, or the preset of that name; TypeError for anything else."""
        if not isinstance(device, str | Device):
            raise TypeError(f"device must be a preset's name or a Device, not {device!r}")
        return Device.preset(device) if isinstance(device, str) else device

    @staticmethod
    def described(description: str | Mapping[str, object]) -> Device:
        """The device that a study means: a preset's name, or a table of `name`, `base` (a preset) and other fields.

        A field given as None is ideal, a price not stated. Raises ValueError or TypeError for an unknown base or field
        and for a value that is refused.
        """
        if isinstance(description, str):
            return Device.preset(description)
        if "base" not in description:
            raise ValueError(f"a device needs base, one of: {', '.join(Device.presets())}")
        base = Device.preset(str(description["base"]))
        values = {name: value for name, value in description.items() if name != "base"}
        if "sources" in values:
            raise ValueError("a device has no field 'sources'")
        for name in ("name", "summary"):
            if not isinstance(values.get(name, ""), str):
                raise TypeError(f"{name} must be text, not {values[name]!r}")
        for field in fields(Device):
            if field.default is not None and values.get(field.name, "") is None:
                raise ValueError(f"{field.name} has no ideal value; accepted: a value")
        return base.override(**values)

    @staticmethod
    def ideal() -> Device:
        """A device without imperfections on an unlimited link: what is left is the relaxation."""
        return Device(
            name="ideal",
            summary="no imperfection, unlimited link, no time to write or to convert",
            cell_write_time_s=0.0,
            dac_rate_hz=math.inf,
            adc_rate_hz=math.inf,
        )

    def latency(
        self, parameters: int, rows: int, analog_time: float = AnalogSettings.analog_time, **options: Any
    ) -> Ledger:
        """Modelled seconds of one iteration on N `parameters` and m `rows`, items as in `billing.latency`.

        `options` are further fields of `AnalogSettings` and of `billing.Workload`.
        """
        return billing.latency(self, billing.Workload.of(parameters, rows, analog_time, **options))

    def energy(
        self, parameters: int, rows: int, analog_time: float = AnalogSettings.analog_time, **options: Any
    ) -> Ledger:
        """Modelled joules of one iteration, as `latency`; what has no sourced price is None ("not stated")."""
        return billing.energy(self, billing.Workload.of(parameters, rows, analog_time, **options))


def device_from_table(name: str, table: Mapping[str, Any]) -> Device:
    """Make a device from a preset's table, each number `{value, grade, source}`; ValueError for an unknown key."""
    known = ("summary", *DEVICE_FIELDS)
    for key in table:
        if key not in known:
            raise ValueError(f"device {name!r} has no field {key!r}{arguments.suggestion(key, known)}")
    values, sources = separated(f"device {name!r}", table)
    return Device(name=name, sources=sources, **values)


def origin(name: str) -> EntryPoint | None:
    """Return the entry point that adds the device `name`; None for one of ours."""
    return _named().points.get(name)


@cached
def _named() -> plugins.Found[Device]:
    """All named devices, "ideal" first, then the shipped presets and those of outside packages and files."""
    presets = {name: device_from_table(name, table) for name, table in shipped_tables("presets").items()}
    points = entry_points(group=ENTRY_POINT_GROUP)
    return plugins.collect("device", Device, {"ideal": Device.ideal(), **presets}, points, ENTRY_POINT_GROUP)
