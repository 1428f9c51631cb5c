"""Search spaces: what is tuned of each optimizer, from its family, its entry and the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tngd_bench.optimizers import registry
from tngd_bench.optimizers.families import FAMILIES
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.file.toml_lines import written_key


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
    asked = asked or {}
    ranges = {name: found for name, found in FAMILIES[entry.family].ranges.items() if name in entry.settings}
    ranges |= {name: setting.search for name, setting in entry.settings.items() if setting.search is not None}
    axes = {name: Axis(**vars(found)) for name, found in ranges.items()} | dict(asked)
    for name, axis in axes.items():
        for value in (axis.low, axis.high, (axis.low + axis.high) / 2):  # draws are no whole numbers
            try:
                entry.check({name: value})
            except (ValueError, TypeError) as error:
                raise StudyError(f"tuning.spaces.{written_key(method)}.{name}: {error}") from None
    if not axes:
        raise StudyError(
            f"nothing to tune of {method!r}: its family {entry.family!r} has no space; "
            f"give one under [tuning.spaces.{written_key(method)}]"
        )
    return Space(axes, tuple(name for name in asked if name not in ranges))
