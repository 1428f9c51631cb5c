"""fashion-cnn: the network of mnist-cnn on Fashion-MNIST, a harder task of the same shape."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tngd_bench.problems.entry import DType, ProblemEntry
from tngd_bench.problems.widths import Widths, conv_and_hidden

if TYPE_CHECKING:
    from torch import nn

    from tngd_bench.problems.splits import DataSplits

_KERNEL = 3
_POOL = 2


def _read(train_size: int | None, test_size: int | None, dtype: DType, outputs: int) -> DataSplits:
    from tngd_bench.problems import fashion_mnist

    return fashion_mnist.load(train_size, test_size, dtype, shape=(1, 28, 28))


def _build(widths: Widths) -> nn.Module:
    from tngd_bench.problems import networks

    return networks.convolutional(widths, kernel=_KERNEL, pool=_POOL)


ENTRY = ProblemEntry(
    name="fashion-cnn",
    title="Fashion-MNIST, CNN",
    summary="3×3 convolution, 2×2 pooling, hidden layer on 28×28 images in [0, 1]; the hidden width sets N",
    data_source="Fashion-MNIST (Zalando Research, MIT licence), fetched on first use",
    classes=10,
    search=partial(conv_and_hidden, 28, _KERNEL, _POOL),
    read=_read,
    build=_build,
)
