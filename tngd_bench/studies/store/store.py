"""The results of a study on disk, a folder for programs and people.

    store/study.json          the study with every default, and the keys of its trials
    store/environment.json    the machine and software it was measured with
    store/trials/KEY.json     one finished trial (see `documents` for what a file is), KEY.json.gz in a compressed store
    store/tables/             everything as Parquet, made from the above and made anew when stale (see `tables`)
    store/earlier/            results of the study's trials by other code, which `run` has measured again
    store/set-aside/          files found in trials/ that are torn, edited or not ours

KEY is a hash of the trial's settings, the code, the data and the class of machine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tngd_bench.atomic_write import PART
from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.store.documents import (
    COMPRESSED,
    RESERVE_BYTES,
    SCHEMA,
    read_document,
    write_document,
)
from tngd_bench.studies.store.migration import upgraded
from tngd_bench.unwritable import cannot_be_written

STORE_FOLDER = "store"
TABLES_FOLDER = "tables"
EARLIER_FOLDER = "earlier"
_STUDY, _ENVIRONMENT, _TRIALS, _LOCK, _ASIDE = (
    "study.json",
    "environment.json",
    "trials",
    ".lock",
    "set-aside",
)
_TRIAL_ENDS = (f".json{COMPRESSED}", ".json")
_RETRIED = "failed"
_BYTES_PER_TRIAL = 20_000
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # NFS, Lustre, FUSE
_OTHER_STUDY = "belongs to no trial of this study"


@dataclass
class Store:
    """A results store in the folder `path`; nothing is made before `create`."""

    path: Path
    ignored: dict[str, str] = field(default_factory=dict)  # file name → why it was left out

    @staticmethod
    def find(place: Path) -> Store:
        """Return the store in `place` or in its subfolder "store"; StoreError when neither is one."""
        for path in (place, place / STORE_FOLDER):
            if (path / _STUDY).is_file():
                return Store(path)
        missing = "is no folder" if place.exists() else "does not exist"
        what = "has no results store in it" if place.is_dir() else missing
        raise StoreError(
            f"{place} {what}; run a study first, or name the folder that `tngd-bench run` reported"
        )

    def create(self) -> None:
        """Make the folders; StoreError where that cannot be written, with nothing left behind."""
        missing = self._missing_folders()
        try:
            self.trials_folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.trials_folder):
                pass
        except OSError as error:
            _remove_empty(missing)
            what = f"output {self.path.parent}"
            raise StoreError(cannot_be_written(what, self.trials_folder, error)) from None

    def check_writable(self) -> None:
        """Raise StoreError where `create` would; leaves everything as it was."""
        missing = self._missing_folders()
        self.create()
        _remove_empty(missing)

    def check_space(self, trials: int) -> None:
        """Raise StoreError where the disk has no room for the results of so many trials."""
        place = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        free, needed = shutil.disk_usage(place).free, RESERVE_BYTES + trials * _BYTES_PER_TRIAL
        if free < needed:
            raise StoreError(
                f"output {self.path.parent} has {free / 1e6:.3g} MB free, and {trials} trials need about"
                f" {needed / 1e6:.3g} MB; make room or choose another --output"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of this store; StoreError when one is at work in it.

        Where the file system has no locks, this warns that nothing keeps them out.
        """
        try:
            handle = (self.path / _LOCK).open("w")
        except OSError as error:
            raise StoreError(cannot_be_written(str(self.path), self.path, error)) from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"another run is writing to {self.path}; wait for it or choose another --output"
                ) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise StoreError(f"{self.path} cannot be locked: {error.strerror or error}") from None
                warnings.warn(
                    f"the file system of {self.path} has no locks ({error.strerror}); let no other run write there",
                    UserWarning,
                    stacklevel=3,
                )
            yield

    def tidy(self) -> None:
        """Move what is torn, edited or not ours aside, and bring files of an older layout up to date.

        To be called under `locked`. What was moved is named in `ignored`; nothing is deleted but parts of writes that
        were broken off.
        """
        for part in self.trials_folder.glob(f".*{PART}"):
            part.unlink(missing_ok=True)
        for path in (self.path / _ENVIRONMENT, self.path / _STUDY):
            content, schema, complaint = read_document(path) if path.exists() else (None, SCHEMA, None)
            if complaint is not None and schema <= SCHEMA:
                self._set_aside(path, complaint)
            elif content is not None and schema < SCHEMA:
                write_document(path, content)
        environment = self.environment() or {}
        for path in self.trial_files():
            content, schema, complaint = _read_trial(path, environment)
            if complaint is not None:
                self._set_aside(path, complaint)
            elif content is not None and schema < SCHEMA:
                write_document(path, content)

    def clear(self) -> None:
        """Remove the results written here, and no other file."""
        shutil.rmtree(self.path / TABLES_FOLDER, ignore_errors=True)
        for path in self._files_in(self.path / EARLIER_FOLDER):
            path.unlink(missing_ok=True)
        for path in (*self.trial_files(), self.path / _STUDY, self.path / _ENVIRONMENT):
            path.unlink(missing_ok=True)

    def write_study(self, content: Mapping[str, Any]) -> None:
        """Write the study."""
        write_document(self.path / _STUDY, content)

    def write_environment(self, content: Mapping[str, Any]) -> None:
        """Write the environment."""
        write_document(self.path / _ENVIRONMENT, content)

    def write_trial(self, key: str, content: Mapping[str, Any], *, compressed: bool = False) -> None:
        """Write one trial; when this returns it is on the disk."""
        name = f"{key}{_TRIAL_ENDS[0 if compressed else 1]}"
        write_document(self.trials_folder / name, {"key": key, **content})

    def study(self, *, damaged_is_none: bool = False) -> dict[str, Any] | None:
        """Return the study, None when there is none; StoreError when the file is damaged, unless that is none too."""
        return self._read_required(self.path / _STUDY, damaged_is_none)

    def environment(self, *, damaged_is_none: bool = False) -> dict[str, Any] | None:
        """Return the environment; None and errors as of `study`."""
        return self._read_required(self.path / _ENVIRONMENT, damaged_is_none)

    def trials(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the stored trials among `keys`, in that order; what cannot be used goes into `ignored`."""
        wanted = dict.fromkeys(keys)
        present = self.files_by_key()
        for key, path in present.items():
            if key not in wanted:
                self.ignored[path.name] = _OTHER_STUDY
        environment = self.environment() or {}
        for key in wanted:
            if key not in present:
                continue
            content, _, complaint = _read_trial(present[key], environment)
            if complaint is not None:
                self.ignored[present[key].name] = complaint
            elif content is not None:
                yield key, content

    def finished(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that need not be run again: stored, intact, and not failed for an unforeseen reason."""
        return {key for key, content in self.trials(keys) if is_finished(content)}

    def trials_beside(
        self, keys: Collection[str], environment: Mapping[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the key and content of stored trials that are not among `keys`, those in earlier/ too."""
        for path in (*self.trial_files(), *self._files_in(self.path / EARLIER_FOLDER)):
            if _key(path) not in keys:
                content, _, _ = _read_trial(path, environment)
                if content is not None:
                    yield _key(path), content

    def put_by(self, keys: Iterable[str]) -> None:
        """Move the trials `keys` from trials/ to earlier/, from where `bring_back` takes them."""
        self._move(keys, self.trials_folder, self.path / EARLIER_FOLDER)

    def bring_back(self, keys: Iterable[str]) -> None:
        """Move those of the trials `keys` that are in earlier/ and not in trials/ back to there."""
        self._move(keys, self.path / EARLIER_FOLDER, self.trials_folder)

    def forget_ignored(self, key: str) -> None:
        """Take the file of a trial from `ignored`: what became of it is told elsewhere."""
        for end in _TRIAL_ENDS:
            self.ignored.pop(f"{key}{end}", None)

    def earlier(self, keys: Collection[str]) -> set[str]:
        """Return those of `keys` whose trials are in earlier/, from where a run brings them back."""
        return {_key(path) for path in self._files_in(self.path / EARLIER_FOLDER)} & set(keys)

    def _move(self, keys: Iterable[str], source: Path, target: Path) -> None:
        wanted = set(keys)
        for path in self._files_in(source):
            if _key(path) in wanted and not (target / path.name).exists():
                try:
                    target.mkdir(exist_ok=True)
                    path.rename(target / path.name)
                except OSError as error:
                    raise StoreError(f"{path} cannot be moved: {error.strerror or error}") from None

    @property
    def trials_folder(self) -> Path:
        """The folder of the trials' files."""
        return self.path / _TRIALS

    def trial_files(self) -> list[Path]:
        """Return the files in the trials' folder, whatever wrote them, by name."""
        return self._files_in(self.trials_folder)

    @staticmethod
    def _files_in(folder: Path) -> list[Path]:
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if path.name.endswith(_TRIAL_ENDS))

    def files_by_key(self) -> dict[str, Path]:
        """Return the file of each trial; of two, the plain one, which a run has written since the other was packed."""
        return {
            _key(path): path for path in sorted(self.trial_files(), key=lambda path: path.suffix == ".json")
        }

    def _set_aside(self, path: Path, complaint: str) -> None:
        folder = self.path / _ASIDE
        target = folder / path.name
        number = 1
        while target.exists():
            number += 1
            target = folder / f"{path.stem}-{number}{path.suffix}"
        try:
            folder.mkdir(exist_ok=True)
            path.rename(target)
        except OSError as error:
            raise StoreError(f"{path} {complaint}, and cannot be moved: {error.strerror or error}") from None
        self.ignored[path.name] = f"{complaint}; moved to {_ASIDE}/{target.name}"

    def _missing_folders(self) -> list[Path]:
        """Return the folders that `create` would make, innermost first."""
        folders = (self.trials_folder, *self.trials_folder.parents)
        return [path for path in folders if not path.exists()]

    def _read_required(self, path: Path, damaged_is_none: bool) -> dict[str, Any] | None:
        if not path.exists():
            return None
        content, schema, complaint = read_document(path)
        if complaint is None or (damaged_is_none and schema <= SCHEMA):
            return content
        way_out = (
            "`tngd-bench run` of the same study into this folder puts it right and keeps the trials"
            if schema <= SCHEMA
            else "use that version, or measure everything again with --fresh"
        )
        raise StoreError(f"{path} cannot be used: it {complaint}; {way_out}")


def is_finished(content: Mapping[str, Any]) -> bool:
    """Return whether a stored trial need not be run again: none of its entries failed for an unforeseen reason."""
    return all(entry["status"] != _RETRIED for entry in content["entries"])


def _read_trial(path: Path, environment: Mapping[str, Any]) -> tuple[dict[str, Any] | None, int, str | None]:
    """Return a trial in today's layout, its schema on disk, and what is wrong with it."""
    content, schema, complaint = read_document(path)
    if content is None:
        return None, schema, complaint
    if content.get("key") != _key(path):
        return None, schema, f"holds the trial {content.get('key')!r}"
    if not isinstance(content.get("entries"), list):
        return None, schema, "was not written by tngd-bench"
    return upgraded(content, schema, environment), schema, None


def _key(path: Path) -> str:
    return path.name.removesuffix(COMPRESSED).removesuffix(".json")


def _remove_empty(folders: Iterable[Path]) -> None:
    for path in folders:
        with contextlib.suppress(OSError):  # what was never made, or has been filled by somebody else, stays
            path.rmdir()
