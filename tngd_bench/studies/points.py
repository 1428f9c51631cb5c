"""The points of a trial (timed iterations, a training's curve) by column, as a stored file holds them.

    {"iteration": [0, 1, 2], "loss": [2.3, 2.2, 2.1], "test_loss": {"at": [0, 2], "values": [2.3, 2.2]}}

A column that every point has is a list; one that only some have says which. By row the names would be most of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Columns = dict[str, Any]
_SIGNIFICANT = 9
"""Digits kept: every float32 comes back from them, and a clock tells nanoseconds in a second."""


def by_column(points: Sequence[Mapping[str, Any]]) -> Columns:
    """Return points by column; a point lacks what it has no value for. Numbers are kept to nine digits."""
    columns: Columns = {}
    for name in dict.fromkeys(name for point in points for name in point):
        at = [number for number, point in enumerate(points) if name in point]
        values = [_kept(points[number][name]) for number in at]
        columns[name] = values if len(at) == len(points) else {"at": at, "values": values}
    return columns


def count(columns: Columns) -> int:
    """Return how many points there are."""
    return max((len(values) for values in columns.values() if isinstance(values, list)), default=0)


def column(columns: Columns, name: str) -> list[Any]:
    """Return a value per point, None where it has none."""
    values = columns.get(name, {"at": [], "values": []})
    if isinstance(values, list):
        return values
    dense: list[Any] = [None] * count(columns)
    for place, value in zip(values["at"], values["values"], strict=True):
        dense[place] = value
    return dense


def _kept(value: Any) -> Any:
    return float(f"{value:.{_SIGNIFICANT}g}") if isinstance(value, float) else value
