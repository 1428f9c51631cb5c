"""mnist-mlp3: a perceptron with three equal hidden layers on MNIST, for sizes up to 10⁸ parameters and beyond.

With most of its weights in square layers its Kronecker factors hold about as many values as its weights, so that K-FAC
still fits where one wide layer's factors would not.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tngd_bench.problems.entry import DType, ProblemEntry
from tngd_bench.problems.widths import Widths, three_equal_hidden

if TYPE_CHECKING:
    from torch import nn

    from tngd_bench.problems.splits import DataSplits


def _read(train_size: int | None, test_size: int | None, dtype: DType, outputs: int) -> DataSplits:
    from tngd_bench.problems import mnist

    return mnist.load(train_size, test_size, dtype, shape=(784,))


def _build(widths: Widths) -> nn.Module:
    from tngd_bench.problems import networks

    return networks.perceptron(widths)


ENTRY = ProblemEntry(
    name="mnist-mlp3",
    title="MNIST, MLP with three equal hidden layers",
    summary="three hidden layers of one width on 784 pixels in [0, 1]; 60,000 + 10,000 images",
    data_source="MNIST (LeCun, Cortes, Burges), fetched on first use",
    classes=10,
    search=partial(three_equal_hidden, 784),
    read=_read,
    build=_build,
)
