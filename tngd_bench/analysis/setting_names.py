"""Settings of optimizers and fields of devices in words, with the units of their values.

A key without a name in words is its own, with spaces for underscores.
"""

from collections.abc import Mapping
from types import MappingProxyType

from tngd_bench.analysis import quantities
from tngd_bench.optimizers import registry
from tngd_bench.plugin_files import cached
from tngd_bench.spu.analog_settings import ANALOG_FIELDS
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.field_info import FieldInfo

DESCRIBED: Mapping[str, FieldInfo] = MappingProxyType({**ANALOG_FIELDS, **DEVICE_FIELDS})
"""Description of each setting of an analog device, and of how it is used."""


@cached
def names() -> Mapping[str, str]:
    """Return names in words by key, where they are not the key's own."""
    settings = (item for name in registry.names() for item in registry.get(name).settings.items())
    titles = {key: setting.title for key, setting in settings if setting.title}
    return MappingProxyType(titles | {key: info.title for key, info in DESCRIBED.items()})


def parameter_name(key: str) -> str:
    """Return the name of a setting or of a device's field in words, e.g. "ADC resolution" for adc_bits."""
    return names().get(key, key.replace("_", " "))


def value_text(key: str, value: object) -> str:
    """Return a value of `key` with its unit: "8 bits", "10¹¹ b/s"; "none" for None."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    unit = DESCRIBED[key].unit if key in DESCRIBED else ""
    # a value that a search found is shown with all the digits needed to use it
    text = quantities.level(value) if float(f"{value:.3g}") == value else f"{value:,.6g}".replace("-", "−")
    return f"{text} {unit}".strip()


def axis_title(key: str) -> str:
    """Return the name of a setting with its unit, or with what it is relative to, as an axis is labelled."""
    info = DESCRIBED.get(key)
    text = "" if info is None else info.unit or ", ".join(filter(None, (info.symbol, info.scale)))
    return f"{parameter_name(key)} ({text})" if text else parameter_name(key)
