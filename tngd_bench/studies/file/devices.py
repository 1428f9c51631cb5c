"""Devices that a study describes itself: a shipped one with other values, and where those values come from."""

import dataclasses

from tngd_bench import arguments
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device
from tngd_bench.spu.sources import Sourced
from tngd_bench.studies.file.optimizer_label import as_setting
from tngd_bench.studies.file.schema import Study

SOURCE = "source"
SET_HERE = "set in the study file"
"""Source of a value for which a study gives none."""


def known_devices(study: Study) -> dict[str, Device]:
    """Return the devices that a study can name: the shipped and registered ones, and its own."""
    return {name: Device.preset(name) for name in Device.presets()} | own_devices(study)


def own_devices(study: Study, only: str | None = None) -> dict[str, Device]:
    """Return the devices of the `[device.NAME]` tables, all or `only` one; ValueError or TypeError for a bad value.

    A value set there has grade U, and as its source what the table's `source` says, or else that it was set there.
    """
    devices = {}
    for name, table in study.device.items() if only is None else [(only, study.device[only])]:
        fields = {key: as_setting(key, value) for key, value in table.items() if key != SOURCE}
        said = table.get(SOURCE, SET_HERE)
        if not isinstance(said, str):
            raise TypeError(f"source must be text, not {said!r}")
        device = Device.described({"name": name, **fields})
        stated = {key: Sourced("U", said) for key in fields if key not in ("base", "summary")}
        devices[name] = dataclasses.replace(device, sources={**device.sources, **stated})
    return devices


def refuse_unknown(key: str) -> None:
    """Raise ValueError where `key` is nothing that a `[device.NAME]` table can have."""
    known = ("base", SOURCE, "summary", *DEVICE_FIELDS)
    if key not in known:
        raise ValueError(f"a device has no field {key!r}{arguments.suggestion(key, known)}")
