"""A bill of one iteration of the device: a figure per named item, or "not stated"."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

ITEM_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "write_gradient": "sending the gradient",
        "write_arrays": "sending the arrays",
        "write_cells": "writing the cells",
        "write_convert": "D/A conversion",
        "write_state": "sending the start",
        "write_calibration": "calibration",
        "relax": "relaxation",
        "relax_average": "further readouts",
        "relax_slowdown": "slower relaxation",
        "relax_sums": "digital sums of tiles",
        "relax_amplifiers": "amplifiers",
        "relax_hold": "holding the state",
        "relax_standby": "standby",
        "read_convert": "A/D conversion",
        "read": "sending the solution back",
    }
)
"""The items of a bill in words."""


@dataclass(frozen=True)
class Ledger:
    """Named items of one unit, seconds or joules; None where no sourced price exists.

    The keys of `ITEM_NAMES` begin with their kind: write, relax or read. `relax_average` is there with several
    readouts, `write_state` where a carried start is written (ensembles, refinements), and `relax_slowdown` (None) where
    the relaxation is longer by a factor that depends on values that are not known. Items of tiles, amplifiers, holding,
    standby and calibration are there where the device states them.
    """

    unit: str
    items: Mapping[str, float | None]
    overlapped: float = 0.0
    """The part of the relaxation that may run while the host works (the delay)."""
    streamed: float = 0.0
    """The part of the writing that may run while the host makes rows: the arrays of the first programming."""

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

    @property
    def not_stated(self) -> tuple[str, ...]:
        """The items that have no price."""
        return tuple(name for name, value in self.items.items() if value is None)

    def elapsed(self, digital: float) -> float | None:
        """An iteration's duration with `digital` seconds on the host, which run beside the overlapped relaxation."""
        return self._beside(digital, self.total)

    def elapsed_at_least(self, digital: float) -> float | None:
        """A lower bound of `elapsed`, from the items that have a price; None where none has."""
        return self._beside(digital, self.at_least)

    def saved(self, making: float, blocks: int) -> float:
        """Return the seconds saved where each of equal `blocks` of rows is written while the host makes the next.

        `making` seconds and `streamed` ones are two stages of a pipeline: max + min/blocks in place of their sum.
        """
        return min(making, self.streamed) * (1.0 - 1.0 / blocks)

    def _beside(self, digital: float, device: float | None) -> float | None:
        return None if device is None else device - self.overlapped + max(digital, self.overlapped)

    def _sum(self, *kinds: str) -> float | None:
        return added(value for name, value in self.items.items() if name.split("_")[0] in kinds)


def priced(price: float | None, amount: float | None) -> float | None:
    """Return the price of an amount; None where either is not stated."""
    return None if price is None or amount is None else price * amount


def added(values: Iterable[float | None]) -> float | None:
    """Return the sum; None ("not stated") as soon as one value is."""
    values = tuple(values)
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
