"""mnist-cnn: one convolution and two linear layers on MNIST, as in the experiments of arXiv 2405.13817."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tngd_bench.datasets import DType
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.widths import Widths, conv_and_hidden

if TYPE_CHECKING:
    from torch import nn

    from tngd_bench.datasets.splits import DataSplits

_KERNEL = 3
_POOL = 2


def _read(train_size: int | None, test_size: int | None, dtype: DType, outputs: int) -> DataSplits:
    from tngd_bench.datasets import mnist

    return mnist.load(train_size, test_size, dtype, shape=(1, 28, 28))


def _build(widths: Widths) -> nn.Module:
    from tngd_bench.problems import networks

    return networks.convolutional(widths, kernel=_KERNEL, pool=_POOL)


ENTRY = ProblemEntry(
    name="mnist-cnn",
    title="MNIST, CNN",
    summary="3×3 convolution, 2×2 pooling, hidden layer on 28×28 images in [0, 1]; the hidden width sets N",
    data_source="MNIST (LeCun, Cortes, Burges), fetched on first use",
    classes=10,
    search=partial(conv_and_hidden, 28, _KERNEL, _POOL),
    read=_read,
    build=_build,
)
