"""The data of one problem as tensors, with the checksum of what was loaded."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tngd_bench import arguments
from tngd_bench.problems.entry import DType

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelledImages:
    """Images as stored, (n, side, side) grey levels, and their labels, (n,)."""

    images: Pixels
    labels: Pixels

    def first(self, name: str, size: int | None) -> "LabelledImages":
        """Return the first `size` of them, all where it is None; ValueError naming `name` beyond the end."""
        if size is None:
            return self
        arguments.integer(name, size, minimum=1, maximum=len(self.labels))
        return LabelledImages(self.images[:size], self.labels[:size])


@dataclass(frozen=True)
class DataSplits:
    """Training and test data: inputs in [0, 1], shaped (n, …); targets, class numbers in int64, shaped (n,).

    `checksum` is the SHA-256, in hexadecimal, of the grey levels and labels loaded, before scaling; `source`
    says where they came from.
    """

    train_inputs: torch.Tensor
    train_targets: torch.Tensor
    test_inputs: torch.Tensor
    test_targets: torch.Tensor
    checksum: str
    source: str


def make_splits(
    train: LabelledImages,
    test: LabelledImages,
    *,
    full_scale: int,
    shape: tuple[int, ...],
    dtype: DType,
    source: str,
) -> DataSplits:
    """Return the splits with grey levels divided by `full_scale` and each image given `shape`."""

    def inputs(part: LabelledImages) -> torch.Tensor:
        grey = torch.from_numpy(part.images.reshape(-1, *shape).copy())
        return grey.to(getattr(torch, dtype)).div_(full_scale)

    def targets(part: LabelledImages) -> torch.Tensor:
        return torch.from_numpy(part.labels.astype(np.int64))

    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return DataSplits(inputs(train), targets(train), inputs(test), targets(test), digest.hexdigest(), source)
