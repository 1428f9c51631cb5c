"""scikit-learn's 1,797 handwritten digits, 8×8 pixels of 0 to 16, with a fixed stratified split."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from tngd_bench.datasets import DType
from tngd_bench.datasets.splits import DataSplits, LabelledImages, Pixels, make_splits

TEST_SIZE = 360
SPLIT_SEED = 0
_FULL_SCALE = 16


def load(
    train_size: int | None, test_size: int | None, dtype: DType, shape: tuple[int, ...] = (64,)
) -> DataSplits:
    """Return 1,437 training and 360 test digits in [0, 1], or the first of each, each image given `shape`."""
    images, labels = _read()
    order = stratified_order(labels, SPLIT_SEED)
    train, test = order[TEST_SIZE:], order[:TEST_SIZE]
    return make_splits(
        LabelledImages(images[train], labels[train]).first("train_size", train_size),
        LabelledImages(images[test], labels[test]).first("test_size", test_size),
        full_scale=_FULL_SCALE,
        shape=shape,
        dtype=dtype,
        source="scikit-learn load_digits",
    )


@cache
def _read() -> tuple[Pixels, Pixels]:
    from sklearn.datasets import load_digits

    images, labels = (values.astype(np.uint8) for values in load_digits(return_X_y=True))
    return images, labels


def stratified_order(labels: Pixels, seed: int) -> NDArray[np.intp]:
    """Return an order of the samples in which every contiguous stretch holds the classes in proportion.

    The k-th of a class's n samples, shuffled, is placed (k + 1/2)/n of the way through; so any cut gives two
    parts that are stratified to about one sample a class.
    """
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place[shuffled], kind="stable")]
