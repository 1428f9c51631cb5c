import numpy as np
import pytest

from tngd_bench.analysis.statistics.resampling import resampled_medians


def test_a_process_that_differs_is_drawn_as_a_whole():
    blocks = [np.full(4, 1.0), np.full(4, 3.0)]
    medians = resampled_medians(blocks, 4000, np.random.default_rng(0))
    # Two processes drawn with replacement: both the first, both the second, or one of each.
    values, counts = np.unique(medians, return_counts=True)
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.04)


def test_repetitions_that_are_missing_add_nothing():
    blocks = [np.array([5.0]), np.array([5.0, 5.0, 5.0])]
    assert (resampled_medians(blocks, 50, np.random.default_rng(0)) == 5.0).all()


@pytest.mark.parametrize("lengths", [(4, 4, 4), (1, 3, 6), (5,)])
def test_a_median_is_that_of_the_repetitions_that_its_draws_name(lengths):
    values = np.random.default_rng(1)
    blocks = [values.standard_normal(length) for length in lengths]
    found = resampled_medians(blocks, 30, np.random.default_rng(2))
    stream, longest = np.random.default_rng(2), max(lengths)
    picked = stream.integers(len(blocks), size=(30, len(blocks)))
    inside = stream.random((30, len(blocks), longest))
    for draw, median in enumerate(found):
        drawn = []
        for position, process in enumerate(picked[draw]):
            block = blocks[process]
            drawn += [block[int(share * len(block))] for share in inside[draw, position, : len(block)]]
        assert median == np.median(drawn)
