import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from tngd_bench.datasets.digits import stratified_order
from tngd_bench.problems import registry

CHECKSUM = "f0cef896c332bd1564b3915281867a747b19049877e81d10fddb7ec87a6081da"


@pytest.fixture(scope="module")
def splits():
    return registry.get("digits-mlp").load(dtype="float64")


def test_the_split_is_a_partition_of_the_real_digits(splits):
    images, labels = load_digits(return_X_y=True)
    inputs = torch.cat([splits.train_inputs, splits.test_inputs]).numpy() * 16
    targets = torch.cat([splits.train_targets, splits.test_targets]).numpy()
    ours = np.column_stack([inputs, targets])
    theirs = np.column_stack([images, labels])
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    assert (len(splits.train_targets), len(splits.test_targets)) == (1437, 360)


def test_the_split_is_pinned(splits):
    assert splits.checksum == CHECKSUM


def test_inputs_fill_the_unit_interval(splits):
    assert splits.train_inputs.shape == (1437, 64)
    assert splits.train_inputs.dtype == torch.float64
    assert splits.train_targets.dtype == torch.int64
    assert (splits.train_inputs.min(), splits.train_inputs.max()) == (0, 1)


def test_a_part_is_the_beginning_of_the_whole(splits):
    part = registry.get("digits-mlp").load(train_size=100, test_size=50, dtype="float64")
    assert torch.equal(part.train_inputs, splits.train_inputs[:100])
    assert torch.equal(part.test_targets, splits.test_targets[:50])
    assert part.checksum != splits.checksum


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    seed=st.integers(0, 9),
    cut=st.floats(0.0, 1.0),
)
def test_any_cut_holds_every_class_in_proportion(counts, seed, cut):
    labels = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    n = round(cut * len(labels))
    taken = np.bincount(labels[order[:n]], minlength=len(counts))
    # Each class's k-th member sits at (k + 1/2)/count, so shares differ by at most one member and the cut.
    assert np.all(
        np.abs(taken - n * np.array(counts) / len(labels)) <= 1 + np.array(counts) / len(labels) * len(counts)
    )
