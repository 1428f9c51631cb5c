"""Draws of a search: points of a scrambled Sobol sequence over the ranges of an optimizer's settings.

They do not depend on how earlier ones did: an interrupted search draws the same ones again, and a longer one begins
with those of a shorter.
"""

from __future__ import annotations

import math

from scipy.stats import qmc

from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.tuning.spaces import Space

_DIGITS = 6  # of a drawn value: what a file shows is what was tried
_MASK = 2**32 - 1  # what scipy's generators take as a seed


def draws(space: Space, trials: int, seed: int) -> tuple[dict[str, float], ...]:
    """Return `trials` settings from the sequence over `space` that `seed` gives, rounded to six digits."""
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
