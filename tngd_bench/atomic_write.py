"""Atomic writes: a file is on the disk whole or not at all."""

import contextlib
import errno
import itertools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PART = ".part"
"""Ends the names of files that are being written."""
NOT_SUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What a file system answers to a call that it does not have (NFS, SMB, Lustre, FUSE)."""


@contextlib.contextmanager
def replacing(path: Path, *, sync: bool = False) -> Iterator[BinaryIO]:
    """Yield a new file beside `path` that takes its place at the end of the block, and is removed if the block fails.

    With `sync` the content and the name are on the disk by then, and survive a power cut, where the file system can.
    """
    part = path.with_name(f".{uuid.uuid4().hex}{PART}")
    try:
        # Mode 0666 less the umask: results are for others too, whom the modes of `tempfile` would keep out.
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            yield file
            if sync:
                file.flush()
                _sync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if sync:
        _sync_folder(path.parent)


def write(path: Path, content: bytes, *, sync: bool = False) -> Path:
    """Write a whole file, see `replacing`; its folder is made where it is missing. Return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, sync=sync) as file:
        file.write(content)
    return path


def free_name(path: Path) -> Path:
    """Return `path`, or with a number at its stem where there is something: nothing is written over."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return path if not os.path.lexists(path) else next(p for p in numbered if not os.path.lexists(p))


def _sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
