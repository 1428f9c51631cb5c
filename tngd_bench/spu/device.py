"""Description of an analog device in SI units, presets with their sources, and what one iteration costs on it."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

from tngd_bench import arguments
from tngd_bench.spu.ledger import Ledger

ENTRY_POINT_GROUP = "tngd_bench.devices"


@dataclass(frozen=True)
class Sourced:
    """Where a number comes from: grade S (read in the source), S2 (secondary), C (computed), U (judgement)."""

    grade: str
    source: str


@dataclass(frozen=True)
class Device:
    """An analog device and its link, in SI units; None means ideal, or "not stated" for a price.

    `word_bits` bits of a number on the link · `link_rate_bits_per_s` per direction, None: unlimited ·
    `resistance_ohm`, `capacitance_farad` with τ = RC · `dac_bits`, `adc_bits` converter resolution seen by g and x.
    Device of arXiv 2405.13817, app. C: three resistor arrays (m, N), (m, m), (N, m), all written each iteration.
    """

    name: str = "custom"
    word_bits: int = 16
    link_rate_bits_per_s: float | None = None
    resistance_ohm: float = 1e3
    capacitance_farad: float = 1e-9
    dac_bits: int | None = None
    adc_bits: int | None = None
    summary: str = ""
    sources: Mapping[str, Sourced] = dataclasses.field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        arguments.integer("word_bits", self.word_bits, minimum=1, maximum=64)
        if self.link_rate_bits_per_s is not None:
            arguments.real("link_rate_bits_per_s", self.link_rate_bits_per_s, above=0.0)
        arguments.real("resistance_ohm", self.resistance_ohm, above=0.0)
        arguments.real("capacitance_farad", self.capacitance_farad, above=0.0)
        arguments.bits("dac_bits", self.dac_bits)
        arguments.bits("adc_bits", self.adc_bits)

    @staticmethod
    def presets() -> tuple[str, ...]:
        """Names of the shipped and registered devices."""
        return tuple(_presets())

    @staticmethod
    def preset(name: str) -> Device:
        """The device called `name`; ValueError with a suggestion when there is none."""
        presets = _presets()
        return presets[arguments.choice("device", name, presets)]

    @staticmethod
    def ideal() -> Device:
        """A device without imperfections on an unlimited link: what is left is the relaxation."""
        return Device(name="ideal", summary="no imperfection, unlimited link")

    @property
    def time_constant_s(self) -> float:
        """τ = RC, seconds."""
        return self.resistance_ohm * self.capacitance_farad

    def cells(self, parameters: int, rows: int) -> int:
        """Resistors programmed each iteration: m(m + 2N) in the arrays J, H and Jᵀ."""
        return rows * (rows + 2 * parameters)

    def latency(self, parameters: int, rows: int, analog_time: float) -> Ledger:
        """Modelled seconds of one iteration for N `parameters`, m `rows`, t `analog_time` in units of τ."""
        arguments.integer("parameters", parameters, minimum=1)
        arguments.integer("rows", rows, minimum=1)
        arguments.real("analog_time", analog_time, minimum=0.0)
        items: dict[str, float | None] = {
            "write_gradient": self._transfer_s(parameters),
            "write_arrays": self._transfer_s(self.cells(parameters, rows)),
            "relax": analog_time * self.time_constant_s,
            "read": self._transfer_s(parameters),
        }
        return Ledger("s", items)

    def energy(self, parameters: int, rows: int, analog_time: float) -> Ledger:
        """Modelled joules of one iteration; every item without a sourced price is None ("not stated")."""
        return Ledger("J", dict.fromkeys(self.latency(parameters, rows, analog_time).items))

    def _transfer_s(self, words: int) -> float:
        rate = self.link_rate_bits_per_s
        return 0.0 if rate is None else words * self.word_bits / rate


@cache
def _presets() -> dict[str, Device]:
    devices = {"ideal": Device.ideal()}
    for resource in sorted(files("tngd_bench.spu").joinpath("presets").iterdir(), key=lambda item: item.name):
        if resource.name.endswith(".toml"):
            name = resource.name.removesuffix(".toml")
            devices[name] = device_from_table(name, tomllib.loads(resource.read_text(encoding="utf-8")))
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in devices:
            raise ValueError(f"entry point {point.value!r} registers the device {point.name!r} again")
        devices[point.name] = point.load()
    return devices


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
        values[key] = entry["value"]
        sources[key] = Sourced(entry["grade"], entry["source"])
    return Device(name=name, sources=sources, **values)
