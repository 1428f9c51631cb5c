"""The results of a study on disk: one JSON file per trial, written aside, synced and renamed.

    store/study.json          the study with every default, and the keys of its trials
    store/environment.json    the machine and software it was measured with
    store/trials/KEY.json     one finished trial

Every file carries a digest of its content, so a torn or edited one is noticed, named and left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tngd_bench.studies.errors import StoreError, StoreWriteError

SCHEMA = 1
STORE_FOLDER = "store"
_STUDY, _ENVIRONMENT, _TRIALS, _LOCK = "study.json", "environment.json", "trials", ".lock"
_RETRIED = "failed"


@dataclass
class Store:
    """A results store in the folder `path`; nothing is made before `create`."""

    path: Path
    ignored: dict[str, str] = field(default_factory=dict)  # file name → why it was left alone

    @staticmethod
    def find(place: Path) -> Store:
        """Return the store in `place` or in its subfolder "store"; StoreError when neither is one."""
        for path in (place, place / STORE_FOLDER):
            if (path / _STUDY).is_file():
                return Store(path)
        what = "has no results store in it" if place.is_dir() else "does not exist"
        raise StoreError(
            f"{place} {what}; run a study first, or name the folder that `tngd-bench run` reported"
        )

    def create(self) -> None:
        """Make the folders; StoreError where that cannot be written, with nothing left behind."""
        missing = self._missing_folders()
        try:
            self._trials.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._trials):
                pass
        except OSError as error:
            _remove_empty(missing)
            raise StoreError(
                f"output {self.path.parent} cannot be written: {error.strerror or error}"
            ) from None

    def check_writable(self) -> None:
        """Raise StoreError where `create` would; leaves everything as it was."""
        missing = self._missing_folders()
        self.create()
        _remove_empty(missing)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of this store; StoreError when one is at work in it."""
        with (self.path / _LOCK).open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StoreError(
                    f"another run is writing to {self.path}; wait for it or choose another --output"
                ) from None
            yield

    def clear(self) -> None:
        """Remove the results written here, and no other file."""
        for path in (*self._trial_files(), self.path / _STUDY, self.path / _ENVIRONMENT):
            path.unlink(missing_ok=True)

    def write_study(self, content: Mapping[str, Any]) -> None:
        """Write the study."""
        self._write(self.path / _STUDY, content)

    def write_environment(self, content: Mapping[str, Any]) -> None:
        """Write the environment."""
        self._write(self.path / _ENVIRONMENT, content)

    def write_trial(self, key: str, content: Mapping[str, Any]) -> None:
        """Write one trial; when this returns it is on the disk."""
        self._write(self._trials / f"{key}.json", {"key": key, **content})

    def study(self) -> dict[str, Any] | None:
        """Return the study, None when there is none; StoreError when the file is damaged."""
        return self._read_required(self.path / _STUDY)

    def environment(self) -> dict[str, Any] | None:
        """Return the environment, None when there is none; StoreError when the file is damaged."""
        return self._read_required(self.path / _ENVIRONMENT)

    def trials(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the stored trials among `keys`, in that order; what cannot be used goes into `ignored`."""
        wanted = dict.fromkeys(keys)
        for path in self._trial_files():
            if path.stem not in wanted:
                self.ignored[path.name] = "belongs to no trial of this study"
        for key in wanted:
            path = self._trials / f"{key}.json"
            if not path.exists():
                continue
            content, complaint = _read(path)
            if content is not None and content.get("key") != key:
                complaint = f"holds the trial {content.get('key')!r}"
            if complaint is not None:
                self.ignored[path.name] = complaint
            elif content is not None:
                yield key, content

    def finished(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that need not be run again: stored, intact, and not failed for an unforeseen reason."""
        return {
            key
            for key, content in self.trials(keys)
            if all(entry["status"] != _RETRIED for entry in content["entries"])
        }

    def _missing_folders(self) -> list[Path]:
        """Return the folders that `create` would make, innermost first."""
        return [path for path in (self._trials, *self._trials.parents) if not path.exists()]

    @property
    def _trials(self) -> Path:
        return self.path / _TRIALS

    def _trial_files(self) -> list[Path]:
        return sorted(self._trials.glob("*.json")) if self._trials.is_dir() else []

    def _read_required(self, path: Path) -> dict[str, Any] | None:
        if not path.exists():
            return None
        content, complaint = _read(path)
        if complaint is not None:
            raise StoreError(f"{path} cannot be used: it {complaint}; --fresh measures everything again")
        return content

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        body = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
        document = f'{{"schema": {SCHEMA}, "digest": "{_digest(body)}", "content": {body}}}\n'
        try:
            handle, aside = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(document)
                    file.flush()
                    os.fsync(file.fileno())
                Path(aside).replace(path)
            except BaseException:
                Path(aside).unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)
        except OSError as error:
            raise StoreWriteError(
                f"{path} cannot be written: {error.strerror or error}; what was stored before is intact"
            ) from None


def _remove_empty(folders: Iterable[Path]) -> None:
    for path in folders:
        with contextlib.suppress(OSError):  # what was never made, or has been filled by somebody else, stays
            path.rmdir()


def _sync_folder(folder: Path) -> None:
    # The rename itself is durable only once the folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _read(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Return a file's content, or what is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return None, "is torn or not JSON"
    if not isinstance(document, dict) or not {"schema", "digest", "content"} <= set(document):
        return None, "was not written by tngd-bench"
    if document["schema"] != SCHEMA:
        return None, f"has schema {document['schema']!r}, not {SCHEMA}"
    content = document["content"]
    body = json.dumps(content, sort_keys=True, ensure_ascii=False)
    if not isinstance(content, dict) or _digest(body) != document["digest"]:
        return None, "was changed after it was written"
    return content, None
