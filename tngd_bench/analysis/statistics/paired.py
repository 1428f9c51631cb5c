"""Differences between two optimizers on the same seeds: estimate, exact interval, exact test.

With d_i the difference on seed i (same start, same batches), i = 1…n: the estimate is the Hodges-Lehmann median of the
n(n+1)/2 Walsh averages (d_i + d_j)/2, i ≤ j; the interval is theirs between the k-th smallest and the k-th largest,
with k the largest for which the signed-rank statistic T⁺ has P(T⁺ ≤ k − 1) ≤ 2.5 % (Hollander, Wolfe & Chicken,
Nonparametric Statistical Methods, 3rd ed. 2014, §3.2-3.3). Fewer than six seeds cannot reach 95 %: the interval
is then the full range and `confidence` says what that holds, 1 − 2^(1−n): 93.75 % for five. The one-sided p-values are
those of the signed-rank test by flipping every sign, all 2ⁿ ways up to n = 14, which is exact with ties too.

A run that did not finish has an infinite loss: it loses against any that did, and ties with its like.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.statistics.distributions import ranks
from tngd_bench.studies.store import columns as c

LEVEL = 0.95
_ENUMERATED = 14
_FLIPS = 20_000
_HUGE = 1e300  # stands for ∞ in sums, so that ∞ − ∞ is a tie


@dataclass(frozen=True)
class PairedDifference:
    """A difference over `seeds` paired runs: `value` in [`low`, `high`] at `confidence`.

    `p_lower` and `p_higher` are one-sided exact p-values of "lower" and "higher"; the counts are seeds.
    """

    value: float
    low: float
    high: float
    confidence: float
    p_lower: float
    p_higher: float
    seeds: int
    lower: int
    higher: int
    tied: int

    @property
    def p(self) -> float:
        """The two-sided p-value of "there is a difference"."""
        return min(1.0, 2.0 * min(self.p_lower, self.p_higher))

    @property
    def direction(self) -> str:
        """To which side the test points, "lower" or "higher"; with many ties the estimate is 0 all the same."""
        return "lower" if self.p_lower < self.p_higher else "higher"


def seeds_needed(comparisons: int) -> int:
    """Return the number n of paired seeds that can decide the first of k `comparisons` under `holm`: k·2·2⁻ⁿ ≤ 5 %."""
    return math.ceil(1.0 + math.log2(max(comparisons, 1) / (1.0 - LEVEL)))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values adjusted for being several (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return tuple(adjusted)


def false_discovery_rate(tests: int, decided: int) -> float:
    """Return the share of the `decided` of so many tests that may be so by chance, one-sided p ≤ 5 % to either side.

    It is tests·10 % / decided: what Benjamini & Hochberg (JRSS B 57, 1995) hold below a bound, at a threshold that is
    fixed. The largest p that decided one is not: taken in its place, it says too little.
    """
    return min(1.0, tests * 2.0 * (1.0 - LEVEL) / decided)


def paired_difference(differences: Sequence[float] | Array) -> PairedDifference:
    """Return the statement about `differences`, one per seed; ±∞ are allowed, NaN raises ValueError."""
    given = np.asarray(differences, dtype=float)
    if given.ndim != 1 or not len(given) or np.isnan(given).any():
        raise ValueError(f"differences must be a row of at least one number without NaN, not {given!r}")
    finite = np.clip(given, -_HUGE, _HUGE)
    first, second = np.triu_indices(len(given))
    walsh = np.sort(finite[first] / 2 + finite[second] / 2)
    k, confidence = _order(len(given))
    p_lower, p_higher = _sign_flips(finite)
    return PairedDifference(
        value=_back(float(np.median(walsh))),
        low=_back(float(walsh[k - 1])),
        high=_back(float(walsh[-k])),
        confidence=confidence,
        p_lower=p_lower,
        p_higher=p_higher,
        seeds=len(given),
        lower=int((finite < 0).sum()),
        higher=int((finite > 0).sum()),
        tied=int((finite == 0).sum()),
    )


def differences_by_seed(
    final: pd.DataFrame,
    first: str,
    second: str,
    column: str = "final_loss",
    *,
    larger_is_better: bool = False,
) -> Array:
    """Return `column` of optimizer `first` minus that of `second` for each seed that both tried, in order of seed.

    `final` is as from `final_scores.final_values`, of one group. A diverged or timed-out run counts as worst: ∞, or −∞
    where larger is better; two such tie.
    """
    worst = -np.inf if larger_is_better else np.inf
    tried = final[~final[c.STATUS].isin(["skipped", "failed"])]
    values = tried[column].astype(float).where(tried[c.STATUS] == "ok", worst)
    table = tried.assign(value=values).pivot_table(
        index=c.SEED, columns=c.OPTIMIZER, values="value", aggfunc="first", dropna=False
    )
    if not {first, second} <= set(table.columns):
        return np.array([])
    both = table[[first, second]].dropna().sort_index()
    left, right = both[first].to_numpy(float), both[second].to_numpy(float)
    with np.errstate(invalid="ignore"):
        return np.where(left == right, 0.0, left - right)


@cache
def _order(seeds: int) -> tuple[int, float]:
    """Return k and the confidence of [W_(k), W_(M+1−k)], from the null distribution of the signed-rank statistic."""
    ways = np.array([1.0])
    for rank in range(1, seeds + 1):  # Π (1 + z^rank): how many sign patterns have each rank sum
        ways = np.concatenate([ways, np.zeros(rank)]) + np.concatenate([np.zeros(rank), ways])
    below = np.cumsum(ways) / 2.0**seeds  # P(T⁺ ≤ 0), P(T⁺ ≤ 1), …
    k = max(1, int((below <= (1 - LEVEL) / 2).sum()))
    return k, float(1 - 2 * below[k - 1])


def _sign_flips(differences: Array) -> tuple[float, float]:
    """Return P(T ≤ t) and P(T ≥ t) for the signed-rank sum T under all (or many random) flips of signs."""
    kept = differences[differences != 0]
    if not len(kept):
        return 1.0, 1.0
    ranked = ranks(np.abs(kept))
    observed = float((ranked * np.sign(kept)).sum())
    if len(kept) <= _ENUMERATED:
        sums = _signs(len(kept)) @ ranked
        return float((sums <= observed + 1e-9).mean()), float((sums >= observed - 1e-9).mean())
    flips = np.random.default_rng(0).integers(0, 2, size=(_FLIPS, len(kept)))
    sums = (2 * flips - 1) @ ranked
    # the observed pattern is one of the possible ones: a random sample of them never gives p = 0
    lower, higher = (sums <= observed + 1e-9).sum(), (sums >= observed - 1e-9).sum()
    return float((lower + 1) / (_FLIPS + 1)), float((higher + 1) / (_FLIPS + 1))


@cache
def _signs(seeds: int) -> Array:
    """Return all patterns of signs: (2ⁿ, n)."""
    bits = (np.arange(2**seeds)[:, None] >> np.arange(seeds)) & 1
    return 2.0 * bits.astype(np.float64) - 1.0


def _back(value: float) -> float:
    return float(np.copysign(np.inf, value)) if abs(value) >= _HUGE / 4 else value
