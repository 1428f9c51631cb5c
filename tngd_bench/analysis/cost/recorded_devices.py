"""The device that a trial ran on, made again from its record.

A record names a preset, or describes a device of its study, and may set fields of it. A device that cannot be made
here, since its preset is not installed or this version refuses a value, is None: what needs it is left out, and
`refusals` says why.
"""

import json
from collections.abc import Mapping

import pandas as pd

from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device
from tngd_bench.studies.store import columns as c


def recorded_device(name: object, settings: Mapping[str, object]) -> Device | None:
    """Return the device called `name` under an optimizer's complete `settings`; None where it cannot be made here."""
    made = _made(name, settings)
    return None if isinstance(made, str) else made


def trial_device(device: object, settings: object) -> Device | None:
    """Return the device of a trial from its columns `device` and `settings` (JSON text); None as `recorded_device`."""
    return recorded_device(*recorded(device, settings))


def recorded(device: object, settings: object) -> tuple[str | None, Mapping[str, object]]:
    """Return the name of a trial's device (None without one) and its settings, from the two columns."""
    known = json.loads(settings) if isinstance(settings, str) else {}
    name = device if isinstance(device, str) and device else known.get("device")
    if isinstance(name, Mapping):
        name = name.get("name")
    return (str(name) if name else None), known


def own_devices(trials: pd.DataFrame) -> tuple[Device, ...]:
    """Return the devices that the study of `trials` describes itself, by name; those that can be made here."""
    found: dict[str, Device] = {}
    for settings in trials[c.SETTINGS].dropna().drop_duplicates():
        described = json.loads(settings).get("device")
        if isinstance(described, Mapping) and str(described.get("name")) not in Device.presets():
            device = _made(described.get("name"), {c.DEVICE: described})
            if isinstance(device, Device):
                found[device.name] = device
    return tuple(found[name] for name in sorted(found))


def refusals(trials: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return why the devices of some trials cannot be made here: for each reason the labels of their optimizers."""
    found: dict[str, list[str]] = {}
    columns = [c.OPTIMIZER, c.DEVICE, c.SETTINGS]
    for row in c.each(trials[columns].drop_duplicates()):
        name, settings = recorded(row.device, row.settings)
        made = _made(name, settings) if name is not None else None
        if isinstance(made, str) and str(row.optimizer) not in found.setdefault(made, []):
            found[made].append(str(row.optimizer))
    return {reason: tuple(labels) for reason, labels in found.items()}


def _made(name: object, settings: Mapping[str, object]) -> Device | str:
    """Return the device, or why it cannot be made."""
    described = settings.get("device")
    if not isinstance(described, Mapping):
        described = name
    if isinstance(described, str) and described not in Device.presets():
        return f"the device {described!r} is not installed here"
    if not isinstance(described, str | Mapping):
        return "no device is recorded"
    changed = {key: value for key, value in settings.items() if key in DEVICE_FIELDS and value is not None}
    try:
        AnalogSettings.of(settings)
        return Device.described(described).override(**changed)
    except (ValueError, TypeError) as error:
        return f"this version refuses its device: {error}"
