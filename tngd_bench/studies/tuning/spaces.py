"""Search spaces: what is tuned of each optimizer, from its family, its entry and the study, and draws from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import qmc

from tngd_bench.optimizers import registry
from tngd_bench.optimizers.families import FAMILIES
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.file.toml_lines import written_key

_DIGITS = 6  # of a drawn value: what a file shows is what was tried
_MASK = 2**32 - 1  # what scipy's generators take as a seed


@dataclass(frozen=True)
class Space:
    """The axes searched for one optimizer, by setting; `asked` are those that only the study asked for."""

    axes: Mapping[str, Axis]
    asked: tuple[str, ...] = ()


def space_of(method: str, asked: Mapping[str, Axis] | None = None) -> Space:
    """Return the search space of the registered optimizer `method`.

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


def draws(space: Space, trials: int, seed: int) -> tuple[dict[str, float], ...]:
    """Return `trials` points of a scrambled Sobol sequence over `space`, rounded to six digits.

    They do not depend on how earlier ones did: an interrupted search draws the same ones again, and a longer one begins
    with those of a shorter.
    """
    names = sorted(space.axes)
    engine = qmc.Sobol(len(names), scramble=True, seed=seed & _MASK)
    points = engine.random_base2(math.ceil(math.log2(trials)))[:trials]
    return tuple(
        {name: _value(space.axes[name], share) for name, share in zip(names, point, strict=True)}
        for point in points.tolist()
    )


def _value(axis: Axis, share: float) -> float:
    """Return the value at a share of the axis: of its logarithm, of that of the distance from 1, or of itself."""
    if axis.scale == "linear":
        value = axis.low + share * (axis.high - axis.low)
    elif axis.scale == "log":
        value = _at_log(axis.low, axis.high, share)
    else:
        value = 1 - _at_log(1 - axis.high, 1 - axis.low, share)
    return min(max(float(f"{value:.{_DIGITS}g}"), float(axis.low)), float(axis.high))


def _at_log(low: float, high: float, share: float) -> float:
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
