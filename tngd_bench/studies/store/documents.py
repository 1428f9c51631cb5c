"""JSON documents on disk, each with the digest of its content.

    {"schema": 3, "digest": SHA-256 of the content's text, "content": {…}}

Documents whose names end in .gz, as earlier versions wrote them on request, are read too.
"""

import hashlib
import json
import math
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tngd_bench.atomic_write import NOT_SUPPORTED, replacing
from tngd_bench.datasets.archives import gunzip
from tngd_bench.studies.errors import StoreWriteError
from tngd_bench.unwritable import cannot_be_written

SCHEMA = 3
OLDEST_SCHEMA = 1
COMPRESSED = ".gz"
RESERVE_BYTES = 16_000_000
"""Free space below which nothing more is written: a study stops in order before others find the disk full."""

_TAIL = "}\n"


class Document(NamedTuple):
    """A document as read: its content (None when it cannot be used), its schema (0: unknown), what is wrong with it."""

    content: dict[str, Any] | None
    schema: int
    complaint: str | None


def as_document(content: Mapping[str, Any]) -> bytes:
    """Return the document of `content`; ValueError for NaN and infinities, which JSON does not have."""
    body = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{_head(_digest(body.encode()))}{body}{_TAIL}".encode()


def parse_document(raw: bytes) -> Document:
    """Return the document whose text is `raw`."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return Document(None, 0, "is torn or not JSON")
    parts = ("schema", "digest", "content")
    if (
        not isinstance(document, dict)
        or set(document) != set(parts)
        or not isinstance(document["schema"], int)
    ):
        return Document(None, 0, "was not written by tngd-bench")
    schema, digest, content = (document[part] for part in parts)
    if not OLDEST_SCHEMA <= schema <= SCHEMA:
        complaint = f"has schema {schema!r}, not {SCHEMA}: it is of another version of tngd-bench"
        return Document(None, schema, complaint)
    head = _head(digest, schema).encode()
    # The text itself is digested, not what it parses to: quicker, and every edit shows.
    intact = raw.startswith(head) and _digest(raw[len(head) : -len(_TAIL)]) == digest
    if not intact or not isinstance(content, dict):
        return Document(None, schema, "was changed after it was written")
    return Document(content, schema, None)


def read_document(path: Path) -> Document:
    """Return the document in a file."""
    try:
        raw = path.read_bytes()
        return parse_document(gunzip(raw) if path.suffix == COMPRESSED else raw)
    except (OSError, EOFError, zlib.error):
        return Document(None, 0, "is torn or not JSON")


def write_document(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path`, durably; StoreWriteError where that fails, the former file as it was."""
    afterwards = "what was stored before is intact, and the same command goes on from there"
    write_durably(path, as_document(content), afterwards)


def free_bytes(folder: Path) -> float:
    """Return the free bytes of a folder's disk; infinity where its file system does not tell (FUSE)."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        return math.inf
    return usage.free if usage.total else math.inf


def write_durably(path: Path, raw: bytes, afterwards: str) -> None:
    """Write a whole file that survives a power cut; StoreWriteError, with `afterwards` told, where that fails."""
    try:
        free = free_bytes(path.parent)
        if free < RESERVE_BYTES + len(raw):
            raise OSError(f"only {free / 1e6:.3g} MB are free on its disk")
        with replacing(path, sync=True) as file:
            file.write(raw)
    except OSError as error:
        raise StoreWriteError(f"{cannot_be_written(str(path), path, error)}; {afterwards}") from None


def _head(digest: object, schema: int = SCHEMA) -> str:
    return f'{{"schema": {schema}, "digest": "{digest}", "content": '


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
