"""A bill of one iteration of the device: a figure per named item, or "not stated"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Ledger:
    """Named items of one unit, seconds or joules; None where no sourced price exists.

    Items are named kind first: `write_gradient` (g onto the device), `write_arrays` (J, H, Jᵀ), `relax` (analog time),
    `read` (x back), and where a device has them `write_cells`, `write_convert`, `relax_average`, `read_convert`.
    `overlapped` is the part of the relaxation that may run while the host works (the delay).
    """

    unit: str
    items: Mapping[str, float | None]
    overlapped: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", MappingProxyType(dict(self.items)))

    @property
    def write(self) -> float | None:
        """All that goes onto the device."""
        return self._sum("write")

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
        return self._sum("write", "relax", "read")

    @property
    def at_least(self) -> float | None:
        """Sum of the items that have a price, a lower bound of `total`; None where none has."""
        known = [value for value in self.items.values() if value is not None]
        return sum(known) if known else None

    def elapsed(self, digital: float) -> float | None:
        """An iteration's duration with `digital` seconds on the host, which run beside the overlapped relaxation."""
        total = self.total
        return None if total is None else total - self.overlapped + max(digital, self.overlapped)

    def _sum(self, *kinds: str) -> float | None:
        values = [value for name, value in self.items.items() if name.split("_")[0] in kinds]
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None
