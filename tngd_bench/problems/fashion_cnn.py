"""fashion-cnn: the network of mnist-cnn on Fashion-MNIST, a harder task of the same shape."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tngd_bench.datasets import DType
from tngd_bench.problems import mnist_cnn

if TYPE_CHECKING:
    from tngd_bench.datasets.splits import DataSplits


def _read(train_size: int | None, test_size: int | None, dtype: DType, outputs: int) -> DataSplits:
    from tngd_bench.datasets import fashion_mnist

    return fashion_mnist.load(train_size, test_size, dtype, shape=(1, 28, 28))


ENTRY = dataclasses.replace(
    mnist_cnn.ENTRY,
    name="fashion-cnn",
    title="Fashion-MNIST, CNN",
    data_source="Fashion-MNIST (Zalando Research, MIT licence), fetched on first use",
    read=_read,
)
