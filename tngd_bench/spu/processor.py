"""Digital processors by their rated speed: hosts of the device, and what it competes with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tngd_bench import arguments
from tngd_bench.spu.sources import Sourced, separated, shipped_tables

NUMBER_BYTES = {"fp64": 8, "fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number in memory at each numerical precision; TF32 rounds the inputs of a product, not what is stored."""
DEFAULT_PRECISION = "fp32"


@dataclass(frozen=True)
class Processor:
    """A processor's rated speed, memory and power, each with its source; None: not stated."""

    name: str
    title: str
    rates: Mapping[str, float]
    """Operations per second by numerical precision."""
    bytes_per_s: float
    power_watt: float
    memory_bytes: float | None = None
    """Capacity of the memory."""
    launch_s: float | None = None
    """Time of an empty kernel, the least that a step takes."""
    precision: str = DEFAULT_PRECISION
    """The precision in use."""
    sources: Mapping[str, Sourced] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        arguments.choice("precision", self.precision, NUMBER_BYTES)
        for precision, rate in self.rates.items():
            arguments.choice("precision", precision, NUMBER_BYTES)
            arguments.real("flops", rate, above=0.0)
        if self.precision not in self.rates:
            raise ValueError(
                f"no {self.precision} rate of {self.title} is known (known: {', '.join(self.rates)}); "
                "state its operations per second: --flops RATE, in Python flops=RATE"
            )
        for name in ("bytes_per_s", "power_watt", "memory_bytes", "launch_s"):
            value = getattr(self, name)
            if value is not None or name in ("bytes_per_s", "power_watt"):
                arguments.real(name, value, above=0.0)

    @staticmethod
    def named(
        name: str,
        precision: str = DEFAULT_PRECISION,
        flops: float | None = None,
        watts: float | None = None,
    ) -> Processor:
        """The processor called `name` at a `precision`, its rate in FLOP/s and its power replaced where given."""
        known = _processors()
        found = known[arguments.choice("processor", name, known)]
        arguments.choice("precision", precision, NUMBER_BYTES)
        if watts is not None:
            sources = {key: source for key, source in found.sources.items() if key != "power_watt"}
            power = arguments.real("host_watts", watts, above=0.0)
            found = dataclasses.replace(found, power_watt=power, sources=sources)
        if flops is None:
            return dataclasses.replace(found, precision=precision)
        sources = {key: source for key, source in found.sources.items() if key != precision}
        rates = {**found.rates, precision: arguments.real("flops", flops, above=0.0)}
        return dataclasses.replace(found, precision=precision, rates=rates, sources=sources)

    @staticmethod
    def names() -> tuple[str, ...]:
        """Names of the shipped processors."""
        return tuple(_processors())

    @property
    def flops_per_s(self) -> float:
        """Operations per second at the precision in use."""
        return self.rates[self.precision]

    @property
    def itemsize(self) -> int:
        """Bytes of a number in memory at the precision in use."""
        return NUMBER_BYTES[self.precision]

    def limits(self, flops: float, memory_bytes: float) -> dict[str, float]:
        """Return lower bounds of a step's seconds: arithmetic, each byte moved once, and one launch if it is known."""
        found = {"arithmetic": flops / self.flops_per_s, "memory": memory_bytes / self.bytes_per_s}
        return found if self.launch_s is None else found | {"launch": self.launch_s}

    def seconds(self, flops: float, memory_bytes: float) -> float:
        """Return the largest of `limits`, a lower bound of a step at this precision."""
        return max(self.limits(flops, memory_bytes).values())

    def missing_bytes(self, held: float) -> float:
        """Return by how much `held` bytes exceed the memory; 0 where they fit or its capacity is not stated."""
        return 0.0 if self.memory_bytes is None else max(0.0, held - self.memory_bytes)


@cache
def _processors() -> Mapping[str, Processor]:
    return {name: _from_table(name, table) for name, table in shipped_tables("processors").items()}


def _from_table(name: str, table: Mapping[str, Any]) -> Processor:
    """Make a processor from its table, each number `{value, grade, source}`; sources of rates go by the precision."""
    owner = f"processor {name!r}"
    rates, rate_sources = separated(owner, table["rates"])
    values, sources = separated(owner, {key: entry for key, entry in table.items() if key != "rates"})
    return Processor(name=name, rates=rates, sources=rate_sources | sources, **values)
