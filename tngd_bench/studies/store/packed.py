"""A store packed into one Parquet file, to be kept or sent: its documents as they are, checked when it is read.

The columns are `file` ("trials/KEY.json") and `document` (its text); the file's metadata hold a SHA-256 of both.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.store.documents import Document, as_document, parse_document, write_durably
from tngd_bench.studies.store.reader import TRIALS, StoreReader, key_of
from tngd_bench.studies.store.store import Store

PACKED = "store.parquet"
_LAYOUT = 1
_METADATA = b"tngd-bench"
_LEVEL = 19
"""Of compression: a third of the size of the same documents packed one by one, in seconds."""


class PackedStore(StoreReader):
    """The results in one file; StoreError, when they are first read, where it was damaged or changed."""

    def document(self, name: str) -> Document | None:
        """Return the document called `name`; None where there is none."""
        text = self._texts.get(name)
        return None if text is None else parse_document(text.encode())

    def trial_names(self) -> Mapping[str, str]:
        """Return by key the names of the trials' documents."""
        return {key_of(name): name for name in self._texts if name.startswith(f"{TRIALS}/")}

    def file_of(self, name: str) -> Path:
        """Return the packed file."""
        return self.path

    @cached_property
    def _texts(self) -> dict[str, str]:
        try:
            with self.path.open("rb") as file:  # pyarrow takes no path that is not UTF-8
                table = pq.read_table(file)
            stated = json.loads((table.schema.metadata or {})[_METADATA])
            texts = dict(zip(table["file"].to_pylist(), table["document"].to_pylist(), strict=True))
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            # pyarrow raises an OSError without a number for damaged content
            system = getattr(error, "errno", None)
            what = "cannot be read" if system else "is no packed store of tngd-bench, or is damaged"
            raise StoreError(f"{self.path} {what}" + (f": {os.strerror(system)}" if system else "")) from None
        if stated.get("layout") != _LAYOUT:
            raise StoreError(f"{self.path} was packed by another version of tngd-bench; use that version")
        if stated.get("sha256") != _digest(texts):
            raise StoreError(f"{self.path} was changed after it was packed: its checksum differs")
        return texts


def pack(path: Path, contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the documents with these `contents`, by name, into one file; StoreWriteError where that fails."""
    texts = {name: as_document(content).decode() for name, content in contents.items()}
    stated = json.dumps({"layout": _LAYOUT, "sha256": _digest(texts)})
    table = pa.table({"file": list(texts), "document": list(texts.values())}, metadata={_METADATA: stated})
    packed = io.BytesIO()
    pq.write_table(table, packed, compression="zstd", compression_level=_LEVEL, use_dictionary=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, packed.getvalue(), "nothing was packed")


def store_at(path: Path) -> StoreReader:
    """Return the store at `path`, a folder or a packed file, whether it is there or not."""
    return PackedStore(path) if path.is_file() else Store(path)


def find_store(place: Path) -> StoreReader:
    """Return the store in `place`: a store's folder, a packed file, or the folder that holds either.

    StoreError where there is none. Where there are both, the folder wins: a run may have gone on in it.
    """
    packed = place if place.is_file() else place / PACKED
    return PackedStore(packed) if packed.is_file() and not Store.is_in(place) else Store.find(place)


def _digest(texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, text in texts.items():
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()
