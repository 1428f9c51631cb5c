"""Settings of optimizers and fields of devices in words, with the units of their values.

A key without a description (a setting of an outside package) is its own name with spaces for underscores.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tngd_bench.analysis import quantities
from tngd_bench.spu.analog_settings import ANALOG_FIELDS
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.field_info import FieldInfo

DESCRIBED: Mapping[str, FieldInfo] = MappingProxyType({**ANALOG_FIELDS, **DEVICE_FIELDS})
"""Description of each setting of an analog device, and of how it is used."""
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "lr": "lr",
        "momentum": "momentum",
        "memory": "memory μ",
        "damping": "damping",
        "damping_rule": "damping rule",
        "damping_interval": "damping interval",
        "beta1": "β₁",
        "beta2": "β₂",
        "eps": "ε",
        "factor_interval": "iterations between factors",
        "inverse_interval": "iterations between inverses",
        "factor_decay": "decay of the factors",
        "fisher": "Fisher matrix",
        "inverse": "inverse by",
        "sharing": "sharing",
        "kl_clip": "KL clip",
        "cg_iterations": "CG iterations",
        "cg_rtol": "CG tolerance",
        "cg_space": "CG space",
        "device": "device",
        **{key: info.title for key, info in DESCRIBED.items()},
    }
)


def parameter_name(key: str) -> str:
    """Return the name of a setting or of a device's field in words, e.g. "ADC resolution" for adc_bits."""
    return NAMES.get(key, key.replace("_", " "))


def value_text(key: str, value: object) -> str:
    """Return a value of `key` with its unit: "8 bits", "10¹¹ b/s"; "none" for None."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    unit = DESCRIBED[key].unit if key in DESCRIBED else ""
    # a value found by a search has digits that whoever takes it over needs
    text = quantities.level(value) if float(f"{value:.3g}") == value else f"{value:,.6g}".replace("-", "−")
    return f"{text} {unit}".strip()


def axis_title(key: str) -> str:
    """Return the name of a setting with its unit, or with what it is relative to, as an axis is labelled."""
    info = DESCRIBED.get(key)
    text = "" if info is None else info.unit or ", ".join(filter(None, (info.symbol, info.scale)))
    return f"{parameter_name(key)} ({text})" if text else parameter_name(key)
