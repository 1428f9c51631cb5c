"""The named devices: shipped presets (TOML, each number with grade and source) and registered ones."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint
from importlib.resources import files
from typing import Any

from tngd_bench import arguments, plugins
from tngd_bench.plugins import entry_points
from tngd_bench.spu.device import Device, Sourced

ENTRY_POINT_GROUP = "tngd_bench.devices"
GRADES = ("S", "S2", "C", "U")


def presets() -> Mapping[str, Device]:
    """All named devices; "ideal" first."""
    return _found().entries


def named(name: str) -> Device:
    """Return the device called `name`; ValueError with a suggestion, or with why it is left out, when there is none."""
    found = _found()
    try:
        return found.entries[arguments.choice("device", name, found.entries)]
    except ValueError as error:
        raise ValueError(f"{error}{found.why_missing(name)}") from None


def origin(name: str) -> EntryPoint | None:
    """Return the entry point that adds the device `name`; None for one of ours."""
    return _found().points.get(name)


@cache
def _found() -> plugins.Found[Device]:
    devices = {"ideal": Device.ideal()}
    for resource in sorted(files("tngd_bench.spu.presets").iterdir(), key=lambda item: item.name):
        if resource.name.endswith(".toml"):
            name = resource.name.removesuffix(".toml")
            devices[name] = device_from_table(name, tomllib.loads(resource.read_text(encoding="utf-8")))
    return plugins.collect("device", Device, devices, entry_points(group=ENTRY_POINT_GROUP))


def device_from_table(name: str, table: Mapping[str, Any]) -> Device:
    """Make a device from a preset's table, each number `{value, grade, source}`; ValueError for an unknown key."""
    values: dict[str, Any] = {}
    sources: dict[str, Sourced] = {}
    known = [f.name for f in dataclasses.fields(Device) if f.name not in ("name", "sources")]
    for key, entry in table.items():
        if key not in known:
            raise ValueError(f"device {name!r} has no field {key!r}{arguments.suggestion(key, known)}")
        if key == "summary":
            values[key] = entry
            continue
        missing = {"value", "grade", "source"} - set(entry)
        if missing:
            raise ValueError(f"device {name!r}, {key}: missing {', '.join(sorted(missing))}")
        if entry["grade"] not in GRADES:
            raise ValueError(f"device {name!r}, {key}: grade must be one of {GRADES}, not {entry['grade']!r}")
        values[key] = entry["value"]
        sources[key] = Sourced(entry["grade"], entry["source"])
    return Device(name=name, sources=sources, **values)
