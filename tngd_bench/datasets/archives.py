"""Unpacking of compressed files in memory, up to a size: nothing is written, and no archive names a path to write."""

import gzip
import io
import zipfile
from typing import IO

MOST_BYTES = 1_000_000_000
"""What one file may take unpacked, several times the largest that is used: a small file can unpack to any size."""


def gunzip(packed: bytes, most: int = MOST_BYTES) -> bytes:
    """Return the content of a gzip file; OSError where it is none or has more than `most` bytes, EOFError if torn."""
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(f"it unpacks to more than {most:,} bytes")
    return content


def member(archive: zipfile.ZipFile, name: str, most: int = MOST_BYTES) -> IO[bytes]:
    """Open the file `name` in an archive, of which no more than its stated size is ever read.

    Raises KeyError where there is none, BadZipFile where it states more than `most` bytes.
    """
    size = archive.getinfo(name).file_size
    if size > most:
        raise zipfile.BadZipFile(f"{name} would take {size:,} bytes; accepted: up to {most:,}")
    return archive.open(name)
