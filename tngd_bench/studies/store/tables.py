"""Cache of a store's data frames as Parquet in its folder tables/, for quick reading, by other programs too.

They hold nothing that the trials' files do not; each carries a fingerprint of those files, and is made again when it no
longer fits. A store that cannot be written is read from the trials each time.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tngd_bench import source
from tngd_bench.atomic_write import replacing
from tngd_bench.studies.store.columns import typed
from tngd_bench.studies.store.documents import COMPRESSED
from tngd_bench.studies.store.reader import StoreReader
from tngd_bench.studies.store.store import TABLES_FOLDER, Store

FrameDtypes = Mapping[str, Mapping[str, str]]
_STATE = b"tngd-bench"


@dataclass(frozen=True)
class Tables:
    """Frames by name, and the files left out of them, by name, with the reason."""

    frames: Mapping[str, pd.DataFrame]
    ignored: Mapping[str, str]


def kept_or_made(store: StoreReader, columns: FrameDtypes, make: Callable[[], Tables]) -> Tables:
    """Return the frames kept in a store if they are up to date, else those that `make` makes, which are then kept.

    A packed store keeps none.
    """
    if not isinstance(store, Store):
        return make()
    state = _fingerprint(store, columns)
    tables = _kept(store, state, columns)
    if tables is None:
        tables = make()
        _keep(store, state, tables)
    return tables


def _fingerprint(store: Store, columns: FrameDtypes) -> str:
    """Return a hash of names, sizes and times of change of the store's files, and of the code that makes the frames."""
    digest = hashlib.sha256(f"{source.own_folder('studies/store')} {json.dumps(columns)}".encode())
    for folder in (store.path, store.trials_folder):
        with os.scandir(folder) as items:
            files = [item for item in items if item.name.endswith((".json", f".json{COMPRESSED}"))]
        for item in sorted(files, key=lambda item: item.name):
            status = item.stat()
            digest.update(f"{item.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _kept(store: Store, state: str, columns: FrameDtypes) -> Tables | None:
    """Return the kept frames if they are those of the fingerprint `state`, with the dtypes of `columns`; else None."""
    frames = {}
    ignored: dict[str, str] = {}
    for name, dtypes in columns.items():
        try:
            with _path(store, name).open("rb") as file:
                table = pq.read_table(file)
        except (OSError, pa.ArrowException):  # missing or damaged: made again
            return None
        stated = json.loads((table.schema.metadata or {}).get(_STATE, b"{}"))
        if stated.get("state") != state:
            return None
        frames[name] = _as_made(table.to_pandas(), dtypes)
        ignored = stated["ignored"]
    return Tables(frames, ignored)


def _keep(store: Store, state: str, tables: Tables) -> None:
    """Keep frames; where the store cannot be written, nothing is kept."""
    stated = json.dumps({"state": state, "ignored": dict(tables.ignored)}).encode()
    with contextlib.suppress(OSError):
        (store.path / TABLES_FOLDER).mkdir(exist_ok=True)
        for name, frame in tables.frames.items():
            table = pa.Table.from_pandas(frame, preserve_index=False)
            table = table.replace_schema_metadata({**table.schema.metadata, _STATE: stated})
            # An open file: pyarrow takes no path that is not UTF-8.
            with replacing(_path(store, name)) as file:
                pq.write_table(table, file)


def _path(store: Store, name: str) -> Path:
    return store.path / TABLES_FOLDER / f"{name}.parquet"


def _as_made(frame: pd.DataFrame, dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame read from Parquet with the dtypes it was made with; what is missing among objects is None."""
    made = typed(frame, dtypes)
    objects = [name for name, dtype in dtypes.items() if dtype == "object"]
    return made.assign(**{name: made[name].where(made[name].notna(), None) for name in objects})
