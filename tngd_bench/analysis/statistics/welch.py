"""Welch's comparison of two means whose variances may differ (Biometrika 34, 1947)."""

from dataclasses import dataclass

import numpy as np

from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.statistics.distributions import t_quantile, t_tail


@dataclass(frozen=True)
class MeanDifference:
    """The `value` of mean(b) − mean(a), its standard `error` and Welch's degrees of `freedom`."""

    value: float
    error: float
    freedom: float

    def half_width(self, level: float) -> float:
        """Return the half-width of the interval of that level."""
        return t_quantile((1.0 + level) / 2.0, self.freedom) * self.error

    @property
    def p(self) -> float:
        """The two-sided p-value of a difference of 0."""
        if not self.error:
            return float(not self.value)
        return 2.0 * t_tail(abs(self.value) / self.error, self.freedom)


def mean_difference(a: Array, b: Array) -> MeanDifference:
    """Return the mean of `b` less that of `a`; each holds two values or more."""
    parts = [float(own.var(ddof=1)) / len(own) for own in (a, b)]
    within = sum(parts)
    weighed = sum(part**2 / (len(own) - 1) for part, own in zip(parts, (a, b), strict=True))
    freedom = within**2 / weighed if weighed else float("inf")
    return MeanDifference(float(b.mean() - a.mean()), float(np.sqrt(within)), freedom)
