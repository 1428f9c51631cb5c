"""The layers of a study file: what it includes, the file itself, a profile, and --set; the later wins.

What comes out is one table, and for each of its keys where it was set: a file and a line, or the option.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from tngd_bench import arguments
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.grids import is_sections
from tngd_bench.studies.file.optimizer_label import read_value
from tngd_bench.studies.file.toml_lines import Path as KeyPath
from tngd_bench.studies.file.toml_lines import line_numbers
from tngd_bench.studies.tuning import tuned_sets

SHIPPED = "shipped"
INCLUDE, PROFILES = "include", "profiles"
TUNED_FILE = "tuned.toml"
"""What a search for settings writes, and a study includes."""
_MOST_INCLUDED = 100
_SETTINGS = "tuned-"  # begins the names of shipped files that `tngd-bench tune` wrote, which are no studies


@dataclasses.dataclass
class Layers:
    """A study's table with its layers merged.

    `origins`: key path → "FILE, line N" or "FILE, --set …". `name` is the file's, for messages; `included` are the
    files below it, as written; `profiles` the names of those there are.
    """

    name: str
    source: str
    table: dict[str, Any]
    origins: dict[KeyPath, str]
    profiles: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    included: tuple[str, ...] = ()

    def where(self, path: Sequence[Any]) -> str:
        """Return where `path`, or the nearest table around it, was set."""
        for length in range(len(path), 0, -1):
            if tuple(path[:length]) in self.origins:
                return self.origins[tuple(path[:length])]
        return self.name

    def complaint(self, path: Sequence[Any], message: str) -> StudyError:
        """Return an error that says where and what."""
        return StudyError(f"{self.where(path)}: {message}")

    def override(self, keys: Sequence[str], value: Any, origin: str, called: str) -> None:
        """Set the value at `keys`; sections of `cost` and `training` are addressed by name. `called`: in messages."""
        place: Any = self.table
        path: list[Any] = []
        for depth, key in enumerate(keys[:-1]):
            where = ".".join(keys[: depth + 1])
            if isinstance(place, list):
                names = [str(section.get("name")) for section in place if isinstance(section, dict)]
                if key not in names:
                    hint = arguments.suggestion(key, names)
                    raise StudyError(f"{called}: no section {where!r}{hint}; there are: {', '.join(names)}")
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
        self._set_origin((*path, keys[-1]), origin)

    def _set_origin(self, path: KeyPath, origin: str) -> None:
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]
        self.origins[path] = origin
        for length in range(1, len(path)):
            self.origins.setdefault(path[:length], origin)


def shipped_studies() -> tuple[str, ...]:
    """Return the names of the studies that come with the package."""
    return tuple(name for name in _shipped_files() if not name.startswith(_SETTINGS))


def _shipped_files() -> tuple[str, ...]:
    """Return the names of all that comes with the package: studies, and settings for studies to include."""
    found = files("tngd_bench.studies").joinpath(SHIPPED).iterdir()
    return tuple(sorted(item.name.removesuffix(".toml") for item in found if item.name.endswith(".toml")))


def read_layers(
    reference: str, profile: str | None = None, overrides: Sequence[str] = (), *, unwritten: str = ""
) -> Layers:
    """Return the merged layers of the shipped study or file `reference`. Raises StudyError.

    Included files called `unwritten` may be absent: they are what is going to be written.
    """
    layers = _read(reference, None, (), unwritten)
    if profile is not None:
        _apply_profile(layers, profile)
    paths = [override.partition("=")[0].strip() for override in overrides]
    for override, path in zip(overrides, paths, strict=True):
        if paths.count(path) > 1:
            raise StudyError(f"--set {path} is given {paths.count(path)} times; accepted: once")
        _apply_override(layers, override)
    return layers


def _read(reference: str, folder: Path | None, chain: tuple[str, ...], unwritten: str) -> Layers:
    """Return a file with what it includes below it; `folder` is that of the including file."""
    if chain and chain[-1].startswith(f"{SHIPPED}:"):
        reference = reference.removesuffix(".toml")  # beside it in the package, where names go without
    name, text, source, home = _find(reference, folder)
    if source in chain:
        way = " → ".join(Path(item).name for item in (*chain[chain.index(source) :], source))
        raise StudyError(f"{name}: includes itself: {way}")
    if len(chain) >= _MOST_INCLUDED:
        raise StudyError(f"{name}: included {len(chain)} files deep; accepted: fewer than {_MOST_INCLUDED}")
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise StudyError(_not_toml(name, str(error))) from None
    except RecursionError:
        raise StudyError(f"{name}: not valid TOML: nested too deeply") from None
    origins = {path: f"{name}, line {line}" for path, line in line_numbers(text).items()}
    own = Layers(name, SHIPPED if home is None else reference, table, origins)
    below = _take_list(own, INCLUDE)
    own.profiles = _take_profiles(own)
    merged: Layers | None = None
    for item in below:
        if home is not None and Path(item).name == TUNED_FILE and not _exists(home / item):
            if unwritten == TUNED_FILE:
                continue
            hint = "; `tngd-bench tune STUDY` writes such a file into its --output"
            raise own.complaint((INCLUDE,), f"include: there is no file {item!r} beside this one{hint}")
        try:
            layer = _read(item, home, (*chain, source), unwritten)
        except StudyError as error:
            raise own.complaint((INCLUDE,), f"include: {error}") from None
        if merged is not None:
            tuned_sets.keep_apart((merged, layer))
        merged = layer if merged is None else _merge(merged, layer)
    if merged is not None:
        own = _merge(merged, own)
    return dataclasses.replace(own, included=tuple(below))


def _find(reference: str, folder: Path | None) -> tuple[str, str, str, Path | None]:
    """Return what to call a study in messages, its text, its identity and its folder (None: the package)."""
    known = shipped_studies()
    if reference in _shipped_files():
        text = files("tngd_bench.studies").joinpath(f"shipped/{reference}.toml").read_text(encoding="utf-8")
        return f"{reference}.toml", text, f"{SHIPPED}:{reference}", None
    path = Path(reference) if folder is None else folder / reference
    if path.suffix != ".toml" and not _exists(path):
        hint = arguments.suggestion(reference, known)
        raise StudyError(
            f"no study {reference!r}{hint}; accepted: {', '.join(known)}, or the path of a .toml file"
        )
    try:
        return path.name, path.read_text(encoding="utf-8"), str(path.resolve()), path.parent
    except UnicodeDecodeError:
        raise StudyError(f"{reference}: not a text file in UTF-8") from None
    except OSError as error:
        raise StudyError(f"study file {reference!r} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL character in the name
        raise StudyError(f"study file {reference!r} cannot be read: {error}") from None


def _not_toml(name: str, said: str) -> str:
    """Return the parser's complaint with its line in the place where ours have it."""
    found = re.fullmatch(r"(?P<what>.*) \(at line (?P<line>\d+), (?P<column>column \d+)\)", said, re.DOTALL)
    if found is None:
        return f"{name}: not valid TOML: {said}"
    return f"{name}, line {found['line']}: not valid TOML: {found['what']}, {found['column']}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _take_list(layers: Layers, key: str) -> list[str]:
    value = layers.table.pop(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise layers.complaint((key,), f"{key} = {_shown(value)} is refused; accepted: a list of file names")
    return value


def _take_profiles(layers: Layers) -> dict[str, dict[str, Any]]:
    value = layers.table.pop(PROFILES, {})
    if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
        raise layers.complaint((PROFILES,), f"{PROFILES} is refused; accepted: tables [profiles.NAME]")
    return value


def _shown(value: object) -> str:
    return repr(value) if len(repr(value)) < 60 else f"a {type(value).__name__}"


def _merge(below: Layers, above: Layers) -> Layers:
    """Return the table of `above` over that of `below`: tables key by key, named sections one by one, else replaced."""
    origins = dict(below.origins)
    merged = Layers(above.name, above.source, copy.deepcopy(below.table), origins, dict(below.profiles))
    _merge_tables(merged, above, merged.table, above.table, (), ())
    for name, profile in above.profiles.items():
        merged.profiles[name] = {**merged.profiles.get(name, {}), **profile}
        origins |= {path: where for path, where in above.origins.items() if path[:2] == (PROFILES, name)}
    return merged


def _merge_tables(
    merged: Layers, above: Layers, into: dict[str, Any], table: dict[str, Any], to: KeyPath, at: KeyPath
) -> None:
    for key, value in table.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge_tables(merged, above, into[key], value, (*to, key), (*at, key))
        elif is_sections(value) and is_sections(into.get(key)):
            _merge_sections(merged, above, into[key], value, (*to, key), (*at, key))
        else:
            into[key] = copy.deepcopy(value)
            _move_origins(merged, above, (*to, key), (*at, key))


def _merge_sections(
    merged: Layers, above: Layers, into: list[Any], sections: list[Any], to: KeyPath, at: KeyPath
) -> None:
    places = {str(section.get("name")): number for number, section in enumerate(into)}
    for number, section in enumerate(sections):
        place = places.get(str(section.get("name")))
        if place is None:
            into.append(copy.deepcopy(section))
            _move_origins(merged, above, (*to, len(into) - 1), (*at, number))
        else:
            _merge_tables(merged, above, into[place], section, (*to, place), (*at, number))


def _move_origins(merged: Layers, above: Layers, to: KeyPath, at: KeyPath) -> None:
    """Let `merged` say of everything at `to` what `above` says of what is at `at`."""
    for path in [path for path in merged.origins if path[: len(to)] == to]:
        del merged.origins[path]
    for path, where in above.origins.items():
        if path[: len(at)] == at:
            merged.origins[(*to, *path[len(at) :])] = where


def _apply_profile(layers: Layers, profile: str) -> None:
    if profile not in layers.profiles:
        hint = arguments.suggestion(profile, layers.profiles)
        there = f"it has: {', '.join(layers.profiles)}" if layers.profiles else "it has none"
        raise StudyError(f"{layers.name}: no profile {profile!r}{hint}; {there}")
    for written, keys, value in _leaves(layers.profiles[profile], (), ()):
        origin = layers.where((PROFILES, profile, *written))
        called = f"{origin}: profiles.{profile}: {'.'.join(keys)}"
        if not all(keys):
            raise StudyError(f"{called} cannot be read; accepted: path.to.key = value")
        layers.override(keys, value, origin, called)


def _leaves(
    table: Mapping[str, Any], written: KeyPath, keys: tuple[str, ...]
) -> Iterator[tuple[KeyPath, tuple[str, ...], Any]]:
    """Yield the path as written, the keys it means, and the value, of all that a profile sets."""
    for key, value in table.items():
        here, way = (*written, key), (*keys, *key.split("."))
        if isinstance(value, dict) and value:
            yield from _leaves(value, here, way)
        else:
            yield here, way, copy.deepcopy(value)


def _apply_override(layers: Layers, override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys) or not text.strip():
        raise StudyError(f"--set {override!r} cannot be read; accepted: path.to.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        value = read_value(text.strip())
    layers.override(keys, value, f"{layers.name}, --set {path.strip()}", f"--set {override!r}")
