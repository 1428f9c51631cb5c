"""The data of one problem as tensors, with the checksum of what was loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tngd_bench import arguments
from tngd_bench.datasets import DType

Pixels = NDArray[np.uint8]
Samples = torch.Tensor | Mapping[str, Any]
"""What a model or a score takes, sample first: a tensor (n, …), or such tensors and lists by name."""


@dataclass(frozen=True)
class LabelledImages:
    """Images as stored, (n, side, side) grey levels, and their labels, (n,)."""

    images: Pixels
    labels: Pixels

    def first(self, name: str, size: int | None) -> LabelledImages:
        """Return the first `size` of them, all where it is None; ValueError naming `name` beyond the end."""
        if size is None:
            return self
        arguments.integer(name, size, minimum=1, maximum=len(self.labels))
        return LabelledImages(self.images[:size], self.labels[:size])


@dataclass(frozen=True)
class DataSplits:
    """Training and test data, sample first.

    Inputs are a tensor (n, …), or a mapping of tensors (n, …) that the model takes by name; targets are class numbers
    in int64, (n, …). `checksum` is the SHA-256, in hexadecimal, of what was loaded (for images: the grey levels and
    labels, before scaling); `source` says where it came from. References are what a score needs besides the targets
    (texts and places in them), by name, each with one entry per sample; None where the targets say all.
    """

    train_inputs: Samples
    train_targets: torch.Tensor
    test_inputs: Samples
    test_targets: torch.Tensor
    checksum: str
    source: str
    train_references: Mapping[str, Any] | None = None
    test_references: Mapping[str, Any] | None = None

    def to(self, device: torch.device) -> DataSplits:
        """Return the data with all tensors on `device`; nothing is copied that lies there already."""
        return replace(
            self,
            train_inputs=_moved(self.train_inputs, device),
            train_targets=self.train_targets.to(device),
            test_inputs=_moved(self.test_inputs, device),
            test_targets=self.test_targets.to(device),
            train_references=None if self.train_references is None else _moved(self.train_references, device),
            test_references=None if self.test_references is None else _moved(self.test_references, device),
        )

    def train(self, size: int | None = None) -> Subset:
        """Return the first `size` training samples, all where it is None."""
        return Subset(self.train_inputs, self.train_targets, self.train_references).first(size)

    def test(self) -> Subset:
        """Return the test samples."""
        return Subset(self.test_inputs, self.test_targets, self.test_references)


@dataclass(frozen=True)
class Subset:
    """Some samples: inputs, targets (n, …) and references, as in `DataSplits`."""

    inputs: Samples
    targets: torch.Tensor
    references: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def first(self, size: int | None) -> Subset:
        """Return the first `size` samples, all where it is None."""
        return self if size is None else self.cut(slice(size))

    def cut(self, where: slice) -> Subset:
        """Return a contiguous stretch of the samples."""
        references = None if self.references is None else take(self.references, where)
        assert not isinstance(references, torch.Tensor)
        return Subset(take(self.inputs, where), self.targets[where], references)


def take(samples: Samples, which: slice | torch.Tensor) -> Samples:
    """Return some samples, by a slice or (tensors only) by their numbers (k,)."""
    if isinstance(samples, torch.Tensor):
        return samples[which]
    return {name: values[which] for name, values in samples.items()}


def _moved(samples: Any, device: torch.device) -> Any:
    """Return samples or references with their tensors on `device`."""
    if isinstance(samples, torch.Tensor):
        return samples.to(device)
    return {
        name: values.to(device) if isinstance(values, torch.Tensor) else values
        for name, values in samples.items()
    }


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
