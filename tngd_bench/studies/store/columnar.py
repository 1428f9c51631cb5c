"""Points of a trial (timed iterations, a training's curve) by column, as a stored file holds them.

    {"iteration": [0, 1, 2], "loss": [2.3, 2.2, 2.1], "test_loss": {"at": [0, 2], "values": [2.3, 2.2]},
     "epoch": {"times": 0.01, "of": "iteration"}}

A column that every point has is a list; one that only some have says which; one in proportion to the count says so. By
row the names would be most of the file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Columns = dict[str, Any]
_SHORTEST = 4
"""Points from which on a proportion is shorter than they are."""
_SIGNIFICANT = 9
"""Digits kept: every float32 comes back from them, and a clock tells nanoseconds in a second."""


def by_column(points: Sequence[Mapping[str, Any]]) -> Columns:
    """Return points by column; a point lacks what it has no value for. Numbers are kept to nine digits."""
    columns: Columns = {}
    base: str = ""
    counted: list[int] = []
    for name in dict.fromkeys(name for point in points for name in point):
        at = [number for number, point in enumerate(points) if name in point]
        raw = [points[number][name] for number in at]
        values = [_kept(value) for value in raw]
        if len(at) < len(points):
            columns[name] = {"at": at, "values": values}
            continue
        factor = _factor(raw, counted)
        columns[name] = values if factor is None else {"times": factor, "of": base}
        if not base and all(isinstance(value, int) for value in raw):
            base, counted = name, raw
    return columns


def _factor(values: Sequence[Any], counted: Sequence[int]) -> float | None:
    """Return the factor from `counted` to `values`, to the digits kept; None where there is none."""
    if len(counted) < _SHORTEST or not counted[-1] or not all(isinstance(value, float) for value in values):
        return None
    factor: float = values[-1] / counted[-1]
    fits = all(_kept(factor * base) == _kept(value) for base, value in zip(counted, values, strict=True))
    return factor if fits else None


def count(columns: Columns) -> int:
    """Return the number of points."""
    return next((len(values) for values in columns.values() if isinstance(values, list)), 0)


def column(columns: Columns, name: str) -> list[Any]:
    """Return a value per point, None where it has none."""
    values = columns.get(name, {"at": [], "values": []})
    if isinstance(values, list):
        return values
    if "of" in values:
        factor = values["times"]
        return [factor * base for base in columns[values["of"]]]
    dense: list[Any] = [None] * count(columns)
    for place, value in zip(values["at"], values["values"], strict=True):
        dense[place] = value
    return dense


def _kept(value: Any) -> Any:
    return float(f"{value:.{_SIGNIFICANT}g}") if isinstance(value, float) else value
