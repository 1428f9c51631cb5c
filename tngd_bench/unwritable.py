"""Reason why something cannot be written, in one sentence, and files in the way that somebody else wrote."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def refused_as(kind: Callable[[str], Exception], path: Path, what: str = "") -> Iterator[None]:
    """Raise an error of `kind` in place of an OSError of the block, which writes to `path`; see `cannot_be_written`."""
    try:
        yield
    except OSError as error:
        raise kind(cannot_be_written(what or str(path), path, error)) from None


def cannot_be_written(what: str, path: Path, error: OSError) -> str:
    """Return e.g. "output reports/x cannot be written: reports is a file, not a folder"; `what` names `path`."""
    return f"{what} cannot be written: {_reason(path, error)}"


def is_foreign(path: Path, mark: str) -> bool:
    """Return whether somebody else wrote the file at `path`: it has content, and not the `mark` that ours have."""
    return path.is_file() and bool(content := path.read_bytes()) and mark.encode() not in content


def _reason(path: Path, error: OSError) -> str:
    """Return what is in the way on `path`; what the system says where that tells it better."""
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            return f"{place} is a link to {place.readlink()}, which does not exist"
    if isinstance(error, FileExistsError | NotADirectoryError):
        for place in (path, *path.parents):
            if place.is_file():
                return f"{place} is a file, not a folder"
    return error.strerror or str(error)
