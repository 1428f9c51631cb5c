"""A study as one table, merged from its files, profile and options, with the place where each key was set."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tngd_bench import arguments
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.toml_lines import KeyPath

READ_BEFORE = INCLUDE, PLUGINS, PROFILES = "include", "plugins", "profiles"
"""Keys of a study file that are no part of a study: they are taken out when the file is read."""


@dataclasses.dataclass
class StudyTable:
    """A study's merged table; `name` is the file's, for messages, `source` a path or "shipped".

    `origins`: key path → "FILE, line N" or "FILE, --set …". `included` are the files that the study includes, as
    written; `profiles` are those it has, by name.
    """

    name: str
    source: str
    table: dict[str, Any]
    origins: dict[KeyPath, str]
    profiles: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    included: tuple[str, ...] = ()

    def where(self, path: Sequence[Any]) -> str:
        """Return the source of `path`, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if tuple(path[:length]) in self.origins:
                return self.origins[tuple(path[:length])]
        return self.name

    def error(self, path: Sequence[Any], message: str) -> StudyError:
        """Return an error that says where and what."""
        return StudyError(f"{self.where(path)}: {message}")

    @contextmanager
    def at(self, *path: str | int, named: KeyPath | None = None) -> Iterator[None]:
        """Put file, line and key before the message of a refused value; `named` is the key told instead of `path`."""
        try:
            yield
        except (ValueError, TypeError) as error:
            key = shown_path(path if named is None else named, self.table)
            raise self.error(path, f"{key}: {error}") from None

    def refuse_repeats(self, path: KeyPath, what: str, names: Iterable[object]) -> None:
        """Raise StudyError where a name appears more than once; `what` precedes it in the message."""
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise self.error(path, f"{what} {repeated[0]!r} appears more than once")

    def override(self, keys: Sequence[str], value: Any, origin: str, called: str) -> None:
        """Set the value at `keys`; sections of `cost` and `training` are addressed by name. `called`: in messages."""
        if keys[0] in READ_BEFORE:
            option = ", and --plugin FILE.py on the command line" if keys[0] == PLUGINS else ""
            raise StudyError(
                f"{origin}: {keys[0]} is read before this; accepted: in the study's file{option}"
            )
        place: Any = self.table
        path: list[Any] = []
        for depth, key in enumerate(keys[:-1]):
            where = ".".join(keys[: depth + 1])
            if isinstance(place, list):
                names = [str(section.get("name")) for section in place if isinstance(section, dict)]
                if key not in names:
                    hint = arguments.suggestion(key, names)
                    there = arguments.accepted(key, names)
                    raise StudyError(f"{called}: no section {where!r}{hint}; there are: {there}")
                path.append(names.index(key))
                place = place[path[-1]]
            elif isinstance(place, dict):
                place = place.setdefault(key, {})
                path.append(key)
            else:
                raise StudyError(f"{called}: {where!r} is not inside a table")
        if not isinstance(place, dict):
            raise StudyError(f"{called}: name the section and its key, as in cost.NAME.repetitions=5")
        place[keys[-1]] = value
        path.append(keys[-1])
        self._forget_origins(tuple(path))
        self.origins[tuple(path)] = origin
        for length in range(1, len(path)):
            self.origins.setdefault(tuple(path[:length]), origin)

    def move_origins(self, source: StudyTable, to: KeyPath, at: KeyPath) -> None:
        """Say of everything at `to` what `source` says of what is at `at`."""
        self._forget_origins(to)
        self.origins |= {
            (*to, *path[len(at) :]): where for path, where in source.origins.items() if path[: len(at)] == at
        }

    def _forget_origins(self, path: KeyPath) -> None:
        for below in [other for other in self.origins if other[: len(path)] == path]:
            del self.origins[below]


def shown_path(path: Sequence[str | int], table: Mapping[str, Any]) -> str:
    """Return "training[mnist].epochs" for ("training", 1, "epochs")."""
    text, place = "", table
    for part in path:
        try:
            place = place[part]  # type: ignore[index]  # what cannot be indexed is caught
        except (KeyError, IndexError, TypeError):
            place = {}
        if isinstance(part, int):
            label = place.get("name", part) if isinstance(place, Mapping) else part
            text += f"[{label}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def shown_value(value: object) -> str:
    """Return a value as messages quote it: long ones by their type alone."""
    text = repr(value)
    return text if len(text) < 60 else f"a {type(value).__name__}"
