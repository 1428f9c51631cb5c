"""What is tuned of each optimizer: settings, ranges and scales, read from `spaces.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tngd_bench.optimizers import registry
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Axis


@dataclass(frozen=True)
class Space:
    """The axes searched for one optimizer, by setting; `asked` are those that only the study asked for."""

    axes: Mapping[str, Axis]
    asked: tuple[str, ...] = ()


def space_of(method: str, asked: Mapping[str, Axis] | None = None) -> Space:
    """Return what is tuned of the registered optimizer `method`.

    Its family's axes for the settings it has, its own over them, those `asked` by a study over both. Raises
    StudyError for a setting that the optimizer does not have, a range it refuses, and where nothing is left to tune.
    """
    entry = registry.get(method)
    families, own = _shipped()
    shipped = {**families.get(entry.family, {}), **own.get(method, {})}
    asked = asked or {}
    axes = {
        name: axis for name, axis in {**shipped, **asked}.items() if name in entry.settings or name in asked
    }
    for name, axis in axes.items():
        for value in (axis.low, axis.high, (axis.low + axis.high) / 2):  # draws are no whole numbers
            try:
                entry.check({name: value})
            except (ValueError, TypeError) as error:
                raise StudyError(f"tuning.spaces.{method}.{name}: {error}") from None
    if not axes:
        raise StudyError(
            f"nothing to tune of {method!r}: its family {entry.family!r} has no space; "
            f"give one under [tuning.spaces.{method}]"
        )
    return Space(axes, tuple(name for name in asked if name not in shipped))


@cache
def _shipped() -> tuple[dict[str, dict[str, Axis]], dict[str, dict[str, Axis]]]:
    """Return the axes by family and by optimizer."""
    table = tomllib.loads(
        files("tngd_bench.studies.tuning").joinpath("spaces.toml").read_text(encoding="utf-8")
    )
    return _axes(table["families"]), _axes(table["optimizers"])


def _axes(table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Axis]]:
    return {
        owner: {name: Axis(**axis) for name, axis in settings.items()} for owner, settings in table.items()
    }
