"""Store of a study's results in a folder, as `tngd-bench run` writes it.

    store/study.json          the study with every default, and the keys of its trials
    store/environment.json    the machine and software it was measured with
    store/trials/KEY.json     one finished trial (see `documents` for what a file is)
    store/artefacts/KEY/      files kept of a run on request: weights.pt, curve.csv
    store/tables/             everything as Parquet, made from the above, and again when stale (see `tables`)
    store/earlier/            results of the study's trials by other code, which `run` has measured again
    store/set-aside/          files found in trials/ that are torn, edited or not ours

KEY is a hash of the trial's settings, the code, the data and the class of machine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import re
import shutil
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tngd_bench.atomic_write import NOT_SUPPORTED, PART, free_name
from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.store import documents
from tngd_bench.studies.store.documents import COMPRESSED, SCHEMA, Document, write_document, write_durably
from tngd_bench.studies.store.reader import ARTEFACTS, ENVIRONMENT, STUDY, TRIALS, StoreReader, key_of
from tngd_bench.unwritable import cannot_be_written, refused_as

STORE_FOLDER = "store"
TABLES_FOLDER = "tables"
EARLIER_FOLDER = "earlier"
_LOCK, _SET_ASIDE = ".lock", "set-aside"
_TRIAL_ENDS = (f".json{COMPRESSED}", ".json")
_KEY = re.compile("[0-9a-f]{20}")
_BYTES_PER_TRIAL = 20_000


class Store(StoreReader):
    """A results store in the folder `path`; nothing is made before `create`."""

    @staticmethod
    def is_in(place: Path) -> bool:
        """Return whether `place` or its subfolder "store" is a store."""
        return any((path / STUDY).is_file() for path in (place, place / STORE_FOLDER))

    @staticmethod
    def find(place: Path) -> Store:
        """Return the store in `place` or in its subfolder "store"; StoreError when neither is one."""
        if Store.is_in(place):
            return Store(place if (place / STUDY).is_file() else place / STORE_FOLDER)
        missing = "is no folder" if place.exists() else "does not exist"
        what = "has no results store in it" if place.is_dir() else missing
        raise StoreError(
            f"{place} {what}; run a study first, or name the folder that `tngd-bench run` reported"
        )

    def document(self, name: str) -> Document | None:
        """Return the document called `name`; None where there is none."""
        path = self.path / name
        return documents.read_document(path) if path.exists() else None

    def trial_names(self) -> Mapping[str, str]:
        """Return by key the names of the trials' files: of two the plain one, which a run has written since."""
        files = sorted(self.trial_files(), key=lambda path: path.suffix == ".json")
        return {key_of(path.name): f"{TRIALS}/{path.name}" for path in files}

    def file_of(self, name: str) -> Path:
        """Return the file called `name`."""
        return self.path / name

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
        free = documents.free_bytes(place)
        needed = documents.RESERVE_BYTES + trials * _BYTES_PER_TRIAL
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
        with refused_as(StoreError, self.path):
            handle = (self.path / _LOCK).open("w")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"another run is writing to {self.path}; wait for it or choose another --output"
                ) from None
            except OSError as error:
                if error.errno not in NOT_SUPPORTED | {errno.ENOLCK}:
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
        for name in (ENVIRONMENT, STUDY):
            document = self.document(name)
            if document is not None and not (document.complaint and document.schema > SCHEMA):
                self._settle(self.path / name, document)
        environment = self.environment() or {}
        for path in self.trial_files():
            self._settle(path, self.trial(f"{TRIALS}/{path.name}", environment))

    def clear(self) -> None:
        """Remove the results written here, and no other file: what is torn or not ours is set aside."""
        described = (path for path in (self.path / STUDY, self.path / ENVIRONMENT) if path.exists())
        for path in (*self.trial_files(), *self._files_in(self.path / EARLIER_FOLDER), *described):
            document = documents.read_document(path)
            if document.schema == 0:
                self._set_aside(path, str(document.complaint))
            else:
                path.unlink(missing_ok=True)
        for folder in (self.path / ARTEFACTS).glob("*"):
            if _KEY.fullmatch(folder.name) and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)
        for path in (self.path / TABLES_FOLDER).glob("*.parquet"):
            path.unlink(missing_ok=True)
        _remove_empty([self.path / folder for folder in (TABLES_FOLDER, ARTEFACTS, EARLIER_FOLDER)])

    def write_study(self, content: Mapping[str, Any]) -> None:
        """Write the study."""
        write_document(self.path / STUDY, content)

    def write_environment(self, content: Mapping[str, Any]) -> None:
        """Write the environment."""
        write_document(self.path / ENVIRONMENT, content)

    def write_trial(self, key: str, content: Mapping[str, Any]) -> None:
        """Write one trial; when this returns it is on the disk."""
        write_document(self.trials_folder / f"{key}.json", {"key": key, **content})

    def write_artefacts(self, key: str, files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
        """Write files kept of the trial `key` by name; return what its record says of each: place, size, SHA-256."""
        written = {}
        for name, raw in files.items():
            path = self.path / ARTEFACTS / key / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, raw, "the trial is not stored, and the same command runs it again")
            place = path.relative_to(self.path).as_posix()
            written[name] = {"file": place, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
        return written

    def take_artefacts(self, key: str, other: StoreReader) -> None:
        """Copy the files kept of a trial from another store, which has some where it is a folder.

        A link that leads out of that store is not followed: it is named in the other's `ignored`.
        """
        root = other.path.resolve()

        def led_out(folder: str, names: Iterable[str]) -> set[str]:
            out = {name for name in names if not (Path(folder) / name).resolve().is_relative_to(root)}
            place = Path(folder).relative_to(root)
            other.ignored |= {str(place / name): "is a link out of the store" for name in out}
            return out

        if (root / ARTEFACTS / key).is_dir() and not led_out(str(root / ARTEFACTS), [key]):
            shutil.copytree(
                root / ARTEFACTS / key, self.path / ARTEFACTS / key, ignore=led_out, dirs_exist_ok=True
            )

    def trials_beside(
        self, keys: Collection[str], environment: Mapping[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the key and content of stored trials that are not among `keys`, those in earlier/ too."""
        for path in (*self.trial_files(), *self._files_in(self.path / EARLIER_FOLDER)):
            if key_of(path.name) not in keys:
                content = self.trial(f"{path.parent.name}/{path.name}", environment).content
                if content is not None:
                    yield key_of(path.name), content

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
        return {key_of(path.name) for path in self._files_in(self.path / EARLIER_FOLDER)} & set(keys)

    @property
    def trials_folder(self) -> Path:
        """The folder of the trials' files."""
        return self.path / TRIALS

    def trial_files(self) -> list[Path]:
        """Return all trial files by name, including foreign ones."""
        return self._files_in(self.trials_folder)

    @staticmethod
    def _files_in(folder: Path) -> list[Path]:
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if path.name.endswith(_TRIAL_ENDS))

    def _move(self, keys: Iterable[str], source: Path, target: Path) -> None:
        wanted = set(keys)
        for path in self._files_in(source):
            if key_of(path.name) in wanted and not (target / path.name).exists():
                try:
                    target.mkdir(exist_ok=True)
                    path.rename(target / path.name)
                except OSError as error:
                    raise StoreError(f"{path} cannot be moved: {error.strerror or error}") from None

    def _settle(self, path: Path, document: Document) -> None:
        """Set a file aside that cannot be used, and rewrite one of an older layout."""
        content, schema, complaint = document
        if complaint is not None:
            self._set_aside(path, complaint)
        elif content is not None and schema < SCHEMA:
            write_document(path, content)

    def _set_aside(self, path: Path, complaint: str) -> None:
        folder = self.path / _SET_ASIDE
        target = free_name(folder / path.name)
        try:
            folder.mkdir(exist_ok=True)
            path.rename(target)
        except OSError as error:
            raise StoreError(f"{path} {complaint}, and cannot be moved: {error.strerror or error}") from None
        self.ignored[path.name] = f"{complaint}; moved to {_SET_ASIDE}/{target.name}"

    def _missing_folders(self) -> list[Path]:
        """Return the folders that `create` would make, innermost first."""
        folders = (self.trials_folder, *self.trials_folder.parents)
        return [path for path in folders if not path.exists()]


def _remove_empty(folders: Iterable[Path]) -> None:
    for path in folders:
        with contextlib.suppress(OSError):  # what was never made, or has been filled by somebody else, stays
            path.rmdir()
