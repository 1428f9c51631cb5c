"""digits-mlp: a multilayer perceptron on scikit-learn's 8×8 handwritten digits, which need no download."""

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
    from tngd_bench.datasets import digits

    return digits.load(train_size, test_size, dtype)


def _build(widths: Widths) -> nn.Module:
    from tngd_bench.problems import networks

    return networks.perceptron(widths)


ENTRY = ProblemEntry(
    name="digits-mlp",
    title="Digits 8×8, MLP",
    summary="two hidden layers of near-equal width on 64 pixels in [0, 1]; 1,437 + 360 images",
    data_source="scikit-learn load_digits (UCI optical recognition of handwritten digits), inside its wheel",
    classes=10,
    search=partial(two_hidden, 64),
    read=_read,
    build=_build,
)
