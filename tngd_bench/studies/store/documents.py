"""One JSON document on disk: whole or absent, and known to be as it was written.

    {"schema": 3, "digest": SHA-256 of the content's text, "content": {…}}

A document is written aside, synced, renamed, and its folder synced: what is reported as written survives a power cut.
One whose name ends in .gz is compressed by gzip.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tngd_bench.atomic_write import replacing
from tngd_bench.studies.errors import StoreWriteError
from tngd_bench.unwritable import cannot_be_written

SCHEMA = 3
OLDEST_SCHEMA = 1
COMPRESSED = ".gz"
RESERVE_BYTES = 16_000_000
"""Free space below which nothing more is written: a study stops in order before others find the disk full."""

_TAIL = "}\n"


def write_document(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path`, durably; StoreWriteError where that fails, the former file as it was.

    ValueError for NaN and infinities, which JSON does not have.
    """
    body = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    document = f"{_head(_digest(body.encode()))}{body}{_TAIL}".encode()
    if path.suffix == COMPRESSED:
        document = gzip.compress(document, mtime=0)  # the same content gives the same bytes
    try:
        free = shutil.disk_usage(path.parent).free
        if free < RESERVE_BYTES + len(document):
            raise OSError(f"only {free / 1e6:.3g} MB are free on its disk")
        with replacing(path, sync=True) as file:
            file.write(document)
    except OSError as error:
        raise StoreWriteError(
            f"{cannot_be_written(str(path), path, error)}; what was stored before is intact,"
            " and the same command goes on from there"
        ) from None


def read_document(path: Path) -> tuple[dict[str, Any] | None, int, str | None]:
    """Return a file's content (None when it cannot be used), its schema (0 where unknown) and what is wrong with it."""
    try:
        raw = path.read_bytes()
        if path.suffix == COMPRESSED:
            raw = gzip.decompress(raw)
        document = json.loads(raw)
    except (ValueError, OSError, EOFError, zlib.error, RecursionError):
        return None, 0, "is torn or not JSON"
    if not isinstance(document, dict) or set(document) != {"schema", "digest", "content"}:
        return None, 0, "was not written by tngd-bench"
    schema, digest, content = document["schema"], document["digest"], document["content"]
    if not isinstance(schema, int):
        return None, 0, "was not written by tngd-bench"
    if not OLDEST_SCHEMA <= schema <= SCHEMA:
        return None, schema, f"has schema {schema!r}, not {SCHEMA}: it is of another version of tngd-bench"
    head = _head(digest, schema).encode()
    # The text itself is digested, not what it parses to: quicker, and every edit shows.
    intact = raw.startswith(head) and _digest(raw[len(head) : -len(_TAIL)]) == digest
    if not intact or not isinstance(content, dict):
        return None, schema, "was changed after it was written"
    return content, schema, None


def _head(digest: object, schema: int = SCHEMA) -> str:
    return f'{{"schema": {schema}, "digest": "{digest}", "content": '


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
