"""Read the results of a study from a folder (`store`) or from one file (`packed`)."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.store.columnar import by_column
from tngd_bench.studies.store.documents import COMPRESSED, SCHEMA, Document

STUDY, ENVIRONMENT, TRIALS = "study.json", "environment.json", "trials"
_KEY = re.compile(r"[\w-]+", re.ASCII)
"""Pattern of a key: a file's name, never a path."""
OF_NO_TRIAL = "belongs to no trial of this study"
"""Reason for leaving out a result of an earlier version of the study."""
ARTEFACTS = "artefacts"
"""The folder of files kept of runs, and the key of an entry that names those of its run."""


class StoreReader(ABC):
    """The results in the folder or file `path`; `ignored`: files left out, by name, with the reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ignored: dict[str, str] = {}

    @abstractmethod
    def document(self, name: str) -> Document | None:
        """Return the document called `name`, as in "trials/KEY.json"; None where there is none."""

    @abstractmethod
    def trial_names(self) -> Mapping[str, str]:
        """Return by key the names of the trials' documents."""

    @abstractmethod
    def file_of(self, name: str) -> Path:
        """Return the file that holds the document called `name`."""

    def study(self, *, damaged_is_none: bool = False) -> dict[str, Any] | None:
        """Return the study, None when there is none; StoreError when it is damaged, unless that is none too."""
        return self._required(STUDY, damaged_is_none)

    def environment(self, *, damaged_is_none: bool = False) -> dict[str, Any] | None:
        """Return the environment; None and errors as of `study`."""
        return self._required(ENVIRONMENT, damaged_is_none)

    def trials(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the stored trials among `keys`, in that order; what cannot be used goes into `ignored`."""
        wanted, names = dict.fromkeys(keys), self.trial_names()
        for key, name in names.items():
            if key not in wanted:
                self.ignored[PurePosixPath(name).name] = OF_NO_TRIAL
        environment = self.environment() or {}
        for key in wanted:
            if key not in names:
                continue
            content, _, complaint = self.trial(names[key], environment)
            if complaint is not None:
                self.ignored[PurePosixPath(names[key]).name] = complaint
            elif content is not None:
                yield key, content

    def trial(self, name: str, environment: Mapping[str, Any]) -> Document:
        """Return a trial in today's layout, with its schema on disk; `environment` is that of the store."""
        document = self.document(name) or Document(None, 0, "is missing")
        content, schema, _ = document
        if content is None:
            return document
        if _KEY.fullmatch(key_of(name)) is None:
            return Document(None, schema, "was not written by tngd-bench")
        if content.get("key") != key_of(name):
            return Document(None, schema, f"holds the trial {content.get('key')!r}")
        if not isinstance(content.get("entries"), list):
            return Document(None, schema, "was not written by tngd-bench")
        return Document(upgraded(content, schema, environment), schema, None)

    def finished(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that need not be run again: stored, intact, and not failed for an unforeseen reason."""
        return {key for key, content in self.trials(keys) if is_finished(content)}

    def files_by_key(self) -> dict[str, Path]:
        """Return the file that holds each trial."""
        return {key: self.file_of(name) for key, name in self.trial_names().items()}

    def _required(self, name: str, damaged_is_none: bool) -> dict[str, Any] | None:
        content, schema, complaint = self.document(name) or Document(None, 0, None)
        if complaint is None or (damaged_is_none and schema <= SCHEMA):
            return content
        way_out = (
            "`tngd-bench run` of the same study into this folder puts it right and keeps the trials"
            if schema <= SCHEMA
            else "use that version, or measure everything again with --fresh"
        )
        raise StoreError(f"{self.file_of(name)} cannot be used: it {complaint}; {way_out}")


def key_of(name: str) -> str:
    """Return the key of the trial in a document called `name`."""
    return PurePosixPath(name).name.removesuffix(COMPRESSED).removesuffix(".json")


def is_finished(content: Mapping[str, Any]) -> bool:
    """Return whether a stored trial need not be run again: none of its entries failed for an unforeseen reason."""
    return all(entry["status"] != "failed" for entry in content["entries"])


def upgraded(content: dict[str, Any], schema: int, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's content in today's layout; `environment` is that of its store.

    1 → 2: a trial says itself which machine, version and data it is of; before, the store's environment said it for
    all. `data` and `finished` were not kept and are None.
    2 → 3: timed iterations and curves are kept by column (see `columnar`), to nine digits.

    Keys stay as they are: results of an older layout can be read, reported and merged, but a trial that is run again is
    measured again, since its key has since come to hold the class of machine.
    """
    if schema <= 1:
        machine = {name: environment.get(name) for name in ("cpu", "torch")}  # all that this layout knew
        about = {"machine": machine, "version": environment.get("version"), "data": None, "finished": None}
        content = about | content
    if schema <= 2:
        entries = [
            entry | {name: by_column(entry[name]) for name in ("iterations", "curve") if name in entry}
            for entry in content["entries"]
        ]
        content = content | {"entries": entries}
    return content
