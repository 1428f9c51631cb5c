"""The harness against a bare loop, and the interval that the comparison is judged by."""

import itertools
import random

import pytest

from benchmarks.harness import BAR, median_interval, overhead


def test_the_interval_of_a_median_covers_it_as_often_as_it_says():
    # Exhaustively: each of n values falls below the true median or above it, with even odds.
    for n in (6, 9, 12):
        covered = 0
        for sides in itertools.product((-1.0, 1.0), repeat=n):
            values = [side * (1 + k / n) for k, side in enumerate(sides)]
            low, high = median_interval(values)
            covered += low <= 0 <= high
        assert covered / 2**n >= 0.95
        low, high = median_interval([float(k) for k in range(n)])
        narrower = [float(k) for k in range(n)]
        assert low > narrower[0] or n < 9, "and it is not simply the range"


def test_too_few_values_give_their_range():
    assert median_interval([2.0, 1.0, 3.0]) == (1.0, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "ngd-gram"])
def test_time_inside_the_harness_is_that_of_a_bare_loop(optimizer):
    found = overhead(optimizer, 100_000, rounds=15)
    # On a busy machine the interval is wide: what must not be is an interval outside the bar.
    assert found.low <= 1 + BAR, found
    assert found.high >= 1 - BAR, found


def test_the_order_of_values_does_not_matter():
    values = [random.Random(k).random() for k in range(20)]
    assert median_interval(values) == median_interval(sorted(values))
