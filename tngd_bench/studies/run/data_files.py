"""Load data once, verify it, and hand it to worker processes in a file that they map."""

import dataclasses
from pathlib import Path
from typing import BinaryIO

import torch

from tngd_bench.datasets.splits import DataSplits, hold_out
from tngd_bench.problems import registry as problems
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.plan.inputs import LoadedSize
from tngd_bench.studies.plan.trials import DataRequest


def load_request(request: DataRequest) -> DataSplits:
    """Return the data asked for; the problem's own errors where it cannot be had."""
    problem = problems.get(request.problem, dict(request.options))
    data = problem.load(request.train_size, request.test_size, request.dtype, request.outputs)
    return data if request.validation_share is None else hold_out(data, request.validation_share)


def load_for(study: Study, request: DataRequest) -> DataSplits:
    """Return the data that a study asks for; StudyError where the problem refuses the request."""
    try:
        return load_request(request)
    except ValueError as error:
        raise StudyError(f"{study.name}: {request.problem}: {error}") from None


def size_of(data: DataSplits) -> LoadedSize:
    """Return what planning needs to know of the data."""
    return LoadedSize(len(data.train_targets), data.checksum, len(data.test_targets))


def write_splits(data: DataSplits, file: Path | BinaryIO) -> None:
    """Write the data to a path or an open file."""
    torch.save({item.name: getattr(data, item.name) for item in dataclasses.fields(data)}, file)


def read_splits(path: Path) -> DataSplits:
    """Return the data in `path`, its tensors mapped from the file."""
    return DataSplits(**torch.load(path, mmap=True, weights_only=True))
