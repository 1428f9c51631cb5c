"""Digital processors by their rated speed: hosts of the device, and what it competes with."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from tngd_bench import arguments
from tngd_bench.spu.device import Sourced


@dataclass(frozen=True)
class Processor:
    """A processor's rated single-precision speed, memory bandwidth and power, each with its source."""

    name: str
    title: str
    flops_per_s: float
    bytes_per_s: float
    power_watt: float
    sources: Mapping[str, Sourced] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("flops_per_s", "bytes_per_s", "power_watt"):
            arguments.real(name, getattr(self, name), above=0.0)

    @staticmethod
    def named(name: str) -> Processor:
        """The processor called `name`; ValueError with a suggestion when there is none."""
        known = _processors()
        return known[arguments.choice("processor", name, known)]

    @staticmethod
    def names() -> tuple[str, ...]:
        """Names of the shipped processors."""
        return tuple(_processors())

    def seconds(self, flops: float, memory_bytes: float) -> float:
        """Roofline: the longer of the arithmetic and of moving each byte once, at rated speed; no run is shorter."""
        return max(flops / self.flops_per_s, memory_bytes / self.bytes_per_s)


@cache
def _processors() -> Mapping[str, Processor]:
    found = {}
    for resource in sorted(
        files("tngd_bench.spu").joinpath("processors").iterdir(), key=lambda item: item.name
    ):
        if resource.name.endswith(".toml"):
            table = tomllib.loads(resource.read_text(encoding="utf-8"))
            name, title = resource.name.removesuffix(".toml"), table.pop("title")
            sources = {key: Sourced(entry["grade"], entry["source"]) for key, entry in table.items()}
            values = {key: entry["value"] for key, entry in table.items()}
            found[name] = Processor(name=name, title=title, sources=sources, **values)
    return found
