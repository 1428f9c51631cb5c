"""A bill of one iteration of the device: a figure per named item, or "not stated"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Ledger:
    """Named items of one unit, seconds or joules; None where no sourced price exists.

    Items: `write_gradient` (g onto the device), `write_arrays` (J, H, Jᵀ), `relax` (analog time), `read` (x back).
    """

    unit: str
    items: Mapping[str, float | None]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", MappingProxyType(dict(self.items)))

    @property
    def write(self) -> float | None:
        """Both writes together."""
        return self._sum("write_gradient", "write_arrays")

    @property
    def relax(self) -> float | None:
        """Analog relaxation."""
        return self._sum("relax")

    @property
    def read(self) -> float | None:
        """Readout of x."""
        return self._sum("read")

    @property
    def total(self) -> float | None:
        """Sum of all items; None ("not stated") as soon as one item has no price."""
        return self._sum(*self.items)

    def _sum(self, *names: str) -> float | None:
        known = [value for name in names if (value := self.items[name]) is not None]
        return sum(known) if len(known) == len(names) else None
