"""mnist-mlp: a multilayer perceptron on MNIST."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tngd_bench.datasets import DType
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.widths import Widths, two_hidden

if TYPE_CHECKING:
    from torch import nn

    from tngd_bench.datasets.splits import DataSplits


def _read(train_size: int | None, test_size: int | None, dtype: DType, outputs: int) -> DataSplits:
    from tngd_bench.datasets import mnist

    return mnist.load(train_size, test_size, dtype, shape=(784,))


def _build(widths: Widths) -> nn.Module:
    from tngd_bench.problems import networks

    return networks.perceptron(widths)


ENTRY = ProblemEntry(
    name="mnist-mlp",
    title="MNIST, MLP",
    summary="two hidden layers of near-equal width on 784 pixels in [0, 1]; 60,000 + 10,000 images",
    data_source="MNIST (LeCun, Cortes, Burges), fetched on first use",
    classes=10,
    search=partial(two_hidden, 784),
    read=_read,
    build=_build,
)
