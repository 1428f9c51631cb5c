"""Optimizers that compute in a number format of half width which the processor multiplies slowly, and what to say."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.optimizers import registry
from tngd_bench.studies.store import columns as c

LEAST_SLOWDOWN = 1.25
"""Seconds in the format over those in float32 from which a page says so: a format with instructions takes fewer."""


@dataclass(frozen=True)
class SlowFormat:
    """Products of an optimizer in a slow `format`, the largest values of so many `inspections` that found it slow.

    `share` is that of all operations, NaN where not all were counted. `slowdown` are the seconds over those of the same
    products in float32. `machines`: on how many the optimizers with such products were timed.
    """

    method: str
    format: str
    share: float
    slowdown: float
    inspections: int
    machines: int = 1

    @property
    def sentence(self) -> str:
        """Return what the times of the optimizer say, and what they do not."""
        entry = registry.recorded(self.method)
        name = self.method if entry is None else entry.title
        up_to = "up to " if self.inspections > 1 else ""
        part = (
            "operations"
            if pd.isna(self.share)
            else f"{up_to}{quantities.percent(self.share)} of its operations"
        )
        here = "this processor" if self.machines == 1 else "a processor here"
        return (
            f"{name} makes {part} in {self.format}, which take {here} {up_to}{quantities.significant(self.slowdown)} "
            f"times as long as in float32: its time here says little about processors with {self.format} instructions."
        )


def slow_formats(trials: pd.DataFrame) -> tuple[SlowFormat, ...]:
    """Return the slow formats of the optimizers that were timed; () where none is, or the records do not say."""
    told = c.completed(c.only(trials, kind="cost"), [c.HALF_PRODUCTS]).dropna(subset=c.HALF_PRODUCTS)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in c.each(told.drop_duplicates([c.METHOD, c.GROUP, *c.SIZE, c.HALF_PRODUCTS])):
        products: Mapping[str, Mapping[str, Any]] = json.loads(row.half_products)
        for name, each in products.items():
            if each["seconds"] >= LEAST_SLOWDOWN * each["float32_seconds"]:
                share = each[c.FLOPS] / float(row.flops) if pd.notna(row.flops) else float("nan")
                slow = found.setdefault((str(row.method), name), [])
                slow.append((share, each["seconds"] / each["float32_seconds"]))
    machines = c.completed(told, [c.MACHINE])[c.MACHINE].nunique()
    return tuple(
        SlowFormat(method, name, _largest(slow, 0), _largest(slow, 1), len(slow), max(machines, 1))
        for (method, name), slow in sorted(found.items())
    )


def _largest(pairs: Sequence[tuple[float, float]], place: int) -> float:
    """Return the largest value at a place of all pairs, NaN where all are."""
    return float(pd.Series([pair[place] for pair in pairs]).max())


def sentences(found: Collection[SlowFormat], methods: Collection[str]) -> str:
    """Return the sentences on those of `found` whose optimizer is among `methods`, "" without any."""
    return " ".join(each.sentence for each in found if each.method in methods)
