"""The data of one problem as tensors, with the checksum of what was loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
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
        return DataSplits(**{each.name: _moved(getattr(self, each.name), device) for each in fields(self)})

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


def _moved(value: Any, device: torch.device) -> Any:
    """Return samples or references with their tensors on `device`, anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _moved(part, device) for name, part in value.items()}
    return value


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
    digest = hashlib.sha256()
    tensors = []
    for part in (train, test):
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels).data)
        grey = torch.from_numpy(part.images.reshape(-1, *shape).copy())
        tensors.append(grey.to(getattr(torch, dtype)).div_(full_scale))
        tensors.append(torch.from_numpy(part.labels.astype(np.int64)))
    x, y, test_x, test_y = tensors
    return DataSplits(x, y, test_x, test_y, digest.hexdigest(), source)


def with_content_checksum(data: DataSplits) -> DataSplits:
    """Return `data` with a checksum of all that they hold and of their own one, which need not cover it."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, Mapping):
            for name, part in value.items():
                digest.update(f"{name}:".encode())
                add(part)
        else:
            digest.update(repr(value).encode())

    for each in fields(data):
        if each.name != "source":
            add(getattr(data, each.name))
    return replace(data, checksum=digest.hexdigest())


def hold_out(data: DataSplits, share: float) -> DataSplits:
    """Return `data` with the last `share` of the training samples in the place of the test part.

    The test data are dropped. At least one sample lands on either side; ValueError where there are fewer than two,
    or for a share outside (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"validation_share must be a number > 0 and < 1, not {share!r}")
    size = len(data.train_targets)
    if size < 2:
        raise ValueError(f"a validation part needs at least 2 training samples, not {size}")
    kept = size - min(max(1, round(share * size)), size - 1)
    train, held = data.train(kept), data.train().cut(slice(kept, None))
    return replace(
        data,
        train_inputs=train.inputs,
        train_targets=train.targets,
        train_references=train.references,
        test_inputs=held.inputs,
        test_targets=held.targets,
        test_references=held.references,
    )
