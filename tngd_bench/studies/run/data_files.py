"""Load data once, verify it, and hand it to worker processes in a file that they map."""

import dataclasses
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

import torch

from tngd_bench import plugins
from tngd_bench.atomic_write import replacing
from tngd_bench.datasets.splits import DataSplits, hold_out, with_content_checksum
from tngd_bench.problems import registry as problems
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.plan.inputs import LoadedSize
from tngd_bench.studies.plan.trials import DataRequest


def load_request(request: DataRequest) -> DataSplits:
    """Return the data asked for; the problem's own errors where it cannot be had."""
    problem = problems.get(request.problem, dict(request.options))
    data = problem.load(request.train_size, request.test_size, request.dtype, request.outputs)
    if problems.origin(request.problem) is not None:
        data = with_content_checksum(data)
    return data if request.validation_share is None else hold_out(data, request.validation_share)


def load_for(study: Study, request: DataRequest) -> DataSplits:
    """Return the data that a study asks for; StudyError where the problem refuses the request."""
    try:
        return load_request(request)
    except ValueError as error:
        raise StudyError(f"{study.name}: {request.problem}: {error}") from None
    except (Exception, SystemExit) as error:  # whatever outside code does when it reads its data
        if problems.origin(request.problem) is None:
            raise
        raise StudyError(f"{study.name}: {request.problem}: {plugins.said(error)}") from error


def write_data_in_worker(request: DataRequest, checksum: str, path: Path, connection: Connection) -> None:
    """Write the data to `path` and send ("done", None); ("failed", reason) where they are others or cannot be had."""
    try:
        data = load_request(request)
        if data.checksum != checksum:
            raise ValueError(
                f"{request.problem} has checksum {data.checksum[:12]}…, expected {checksum[:12]}…"
            )
        with replacing(path) as file:
            write_splits(data, file)
    except Exception as error:  # the process boundary
        connection.send(("failed", str(error)))
    else:
        connection.send(("done", None))


def size_of(data: DataSplits) -> LoadedSize:
    """Return the facts on the data that planning needs."""
    return LoadedSize(len(data.train_targets), data.checksum, len(data.test_targets))


def write_splits(data: DataSplits, file: Path | BinaryIO) -> None:
    """Write the data to a path or an open file."""
    torch.save({item.name: getattr(data, item.name) for item in dataclasses.fields(data)}, file)


def read_splits(path: Path) -> DataSplits:
    """Return the data in `path`, its tensors mapped from the file."""
    return DataSplits(**torch.load(path, mmap=True, weights_only=True))
