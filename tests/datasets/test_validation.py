"""The validation part: the end of the training data, nothing of the test data, every sample on one side."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.datasets.splits import DataSplits
from tngd_bench.datasets.validation import hold_out


def splits(size):
    numbers = torch.arange(size)
    return DataSplits(
        numbers[:, None].float(), numbers, -torch.ones(3, 1), -torch.ones(3, dtype=torch.int64), "c", "s"
    )


@given(st.integers(2, 200), st.floats(0.001, 0.999))
def test_both_sides_together_are_the_training_data_in_order(size, share):
    held = hold_out(splits(size), share)
    assert torch.cat([held.train_targets, held.test_targets]).tolist() == list(range(size))
    assert torch.cat([held.train_inputs, held.test_inputs]).flatten().tolist() == list(range(size))
    assert len(held.train_targets) >= 1
    assert len(held.test_targets) >= 1
    assert abs(len(held.test_targets) - share * size) <= 1


def test_the_share_is_that_of_the_training_samples():
    assert len(hold_out(splits(10_000), 0.2).test_targets) == 2_000


@pytest.mark.parametrize(("size", "share"), [(10, 0.0), (10, 1.0), (1, 0.5)])
def test_what_cannot_be_split_is_refused(size, share):
    with pytest.raises(ValueError, match="validation"):
        hold_out(splits(size), share)
