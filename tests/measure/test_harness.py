"""The harness against a bare loop."""

import pytest

from benchmarks.harness import BAR, overhead


@pytest.mark.slow(reason="times thousands of steps in turn")
@pytest.mark.parametrize("optimizer", ["sgd", "ngd-gram"])
def test_time_inside_the_harness_is_that_of_a_bare_loop(optimizer):
    found = overhead(optimizer, 100_000, rounds=15)
    # On a busy machine the interval is wide: what must not be is an interval outside the bar.
    assert found.low <= 1 + BAR, found
    assert found.high >= 1 - BAR, found
