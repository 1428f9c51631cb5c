"""Merge what a study includes, the file itself, a profile and --set options into one table; the later wins."""

import copy
import dataclasses
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from tngd_bench import arguments
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file import tuned_sets
from tngd_bench.studies.file.grids import is_sections
from tngd_bench.studies.file.optimizer_label import read_value
from tngd_bench.studies.file.study_table import INCLUDE, PLUGINS, PROFILES, StudyTable, shown_value
from tngd_bench.studies.file.toml_lines import KeyPath, line_numbers
from tngd_bench.studies.plugin import use_plugin

SHIPPED = "shipped"
TUNED_FILE = "tuned.toml"
"""The file that a search for settings writes, for studies to include."""
_MOST_INCLUDED = 100


def shipped_studies() -> tuple[str, ...]:
    """Return the names of the studies that come with the package, without the files that `tngd-bench tune` wrote."""
    return tuple(name for name in _shipped_files() if not name.startswith("tuned-"))


def _shipped_files() -> tuple[str, ...]:
    """Return the names of all that comes with the package: studies, and settings for studies to include."""
    items = files("tngd_bench.studies").joinpath(SHIPPED).iterdir()
    return tuple(sorted(item.name.removesuffix(".toml") for item in items if item.name.endswith(".toml")))


def read_table(
    reference: str, profile: str | None = None, overrides: Sequence[str] = (), *, unwritten: str = ""
) -> StudyTable:
    """Return the merged table of the shipped study or file `reference`. Raises StudyError.

    Included files called `unwritten` may be absent: they are what is going to be written.
    """
    study = _read(reference, None, (), unwritten)
    if profile is not None:
        _apply_profile(study, profile)
    paths = [override.partition("=")[0].strip() for override in overrides]
    for override, path in zip(overrides, paths, strict=True):
        if paths.count(path) > 1:
            raise StudyError(f"--set {path} is given {paths.count(path)} times; accepted: once")
        _apply_override(study, override)
    return study


def _read(reference: str, folder: Path | None, chain: tuple[str, ...], unwritten: str) -> StudyTable:
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
    study = StudyTable(name, SHIPPED if home is None else reference, table, origins)
    below = _take_list(study, INCLUDE)
    for place in _take_list(study, PLUGINS):
        try:
            use_plugin(Path(place) if home is None else home / place)
        except ValueError as error:
            raise study.error((PLUGINS,), str(error)) from None
    study.profiles = _take_profiles(study)
    merged: StudyTable | None = None
    for item in below:
        if home is not None and Path(item).name == TUNED_FILE and not _exists(home / item):
            if unwritten == TUNED_FILE:
                continue
            said = f"include: there is no file {item!r} beside this one"
            raise study.error((INCLUDE,), f"{said}; {_where_tuned_files_are(home)}")
        try:
            included = _read(item, home, (*chain, source), unwritten)
        except StudyError as error:
            raise study.error((INCLUDE,), f"include: {error}") from None
        if merged is not None:
            tuned_sets.keep_apart(merged, included)
        merged = included if merged is None else _merge(merged, included)
    if merged is not None:
        study = _merge(merged, study)
    return dataclasses.replace(study, included=tuple(below))


def as_included(file: Path, home: Path | None) -> str:
    """Return the path by which a study in the folder `home` includes `file`; None: by which any study does."""
    return (
        file.resolve().as_posix()
        if home is None
        else Path(os.path.relpath(file.resolve(), home.resolve())).as_posix()
    )


def _where_tuned_files_are(home: Path) -> str:
    """Return the command that writes a tuned file, and the tuned files near the study or the current folder."""
    told = f"`tngd-bench tune STUDY` writes such a file into its --output, by default reports/STUDY-tuning/{TUNED_FILE}"
    patterns = (TUNED_FILE, f"*/{TUNED_FILE}", f"reports/*/{TUNED_FILE}")
    found = {
        as_included(file, home) for root in (home, Path()) for each in patterns for file in root.glob(each)
    }
    return told + (f"; there are: {', '.join(sorted(found))}" if found else "")


def _find(reference: str, folder: Path | None) -> tuple[str, str, str, Path | None]:
    """Return a study's name in messages, its text, its identity and its folder (None: the package)."""
    shipped = shipped_studies()
    if reference in _shipped_files():
        text = files("tngd_bench.studies").joinpath(f"shipped/{reference}.toml").read_text(encoding="utf-8")
        return f"{reference}.toml", text, f"{SHIPPED}:{reference}", None
    path = Path(reference) if folder is None else folder / reference
    if path.suffix != ".toml" and not _exists(path):
        hint = arguments.suggestion(reference, shipped)
        accepted = arguments.accepted(reference, shipped, "tngd-bench list studies")
        raise StudyError(f"no study {reference!r}{hint}; accepted: the path of a .toml file, or {accepted}")
    try:
        return path.name, path.read_text(encoding="utf-8-sig"), str(path.resolve()), path.parent
    except UnicodeDecodeError:
        raise StudyError(f"{reference}: not a text file in UTF-8") from None
    except (OSError, ValueError) as error:  # a ValueError: a NUL character in the name
        said = getattr(error, "strerror", None) or error
        raise StudyError(f"study file {reference!r} cannot be read: {said}") from None


def _not_toml(name: str, message: str) -> str:
    """Return the parser's complaint with its line in the place where ours have it."""
    parts = re.fullmatch(r"(.*) \(at line (\d+), (column \d+)\)", message, re.DOTALL)
    if parts is None:
        return f"{name}: not valid TOML: {message}"
    what, line, column = parts.groups()
    return f"{name}, line {line}: not valid TOML: {what}, {column}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _take_list(study: StudyTable, key: str) -> list[str]:
    value = study.table.pop(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise study.error((key,), f"{key} = {shown_value(value)} is refused; accepted: a list of file names")
    return value


def _take_profiles(study: StudyTable) -> dict[str, dict[str, Any]]:
    value = study.table.pop(PROFILES, {})
    if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
        raise study.error((PROFILES,), f"{PROFILES} is refused; accepted: tables [profiles.NAME]")
    return value


def _merge(below: StudyTable, above: StudyTable) -> StudyTable:
    """Return the table of `above` over that of `below`: tables key by key, named sections one by one, else replaced."""
    origins = dict(below.origins)
    merged = StudyTable(above.name, above.source, copy.deepcopy(below.table), origins, dict(below.profiles))
    _Merge(merged, above).tables(merged.table, above.table, (), ())
    for name, profile in above.profiles.items():
        merged.profiles[name] = {**merged.profiles.get(name, {}), **profile}
        origins |= {path: where for path, where in above.origins.items() if path[:2] == (PROFILES, name)}
    return merged


@dataclasses.dataclass(frozen=True)
class _Merge:
    """Takes over what stands in `above`, `at` a path there, `into` a place of `merged`, with where it was set."""

    merged: StudyTable
    above: StudyTable

    def tables(self, into: dict[str, Any], table: dict[str, Any], to: KeyPath, at: KeyPath) -> None:
        for key, value in table.items():
            paths = (*to, key), (*at, key)
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                self.tables(into[key], value, *paths)
            elif is_sections(value) and is_sections(into.get(key)):
                self._sections(into[key], value, *paths)
            else:
                into[key] = copy.deepcopy(value)
                self.merged.move_origins(self.above, *paths)

    def _sections(self, into: list[Any], sections: list[Any], to: KeyPath, at: KeyPath) -> None:
        places = {str(section.get("name")): number for number, section in enumerate(into)}
        for number, section in enumerate(sections):
            place = places.get(str(section.get("name")))
            if place is None:
                into.append(copy.deepcopy(section))
                self.merged.move_origins(self.above, (*to, len(into) - 1), (*at, number))
            else:
                self.tables(into[place], section, (*to, place), (*at, number))


def _apply_profile(study: StudyTable, profile: str) -> None:
    if profile not in study.profiles:
        hint = arguments.suggestion(profile, study.profiles)
        there = f"it has: {', '.join(study.profiles)}" if study.profiles else "it has none"
        raise StudyError(f"{study.name}: no profile {profile!r}{hint}; {there}")
    for written, keys, value in _leaves(study.profiles[profile], (), ()):
        origin = study.where((PROFILES, profile, *written))
        called = f"{origin}: profiles.{profile}: {'.'.join(keys)}"
        if not all(keys):
            raise StudyError(f"{called} cannot be read; accepted: path.to.key = value")
        study.override(keys, value, origin, called)


def _keys(path: str) -> list[str]:
    """Return the keys of a path with dots, where a key that has dots itself stands in quotes, as in TOML."""
    return [key.strip('"') for key in re.split(r'\.(?=(?:[^"]*"[^"]*")*[^"]*$)', path)]


def _leaves(
    table: Mapping[str, Any], written: KeyPath, keys: tuple[str, ...]
) -> Iterator[tuple[KeyPath, tuple[str, ...], Any]]:
    """Yield the path as written, the keys it means, and the value, of all that a profile sets."""
    for key, value in table.items():
        here, way = (*written, key), (*keys, *_keys(key))
        if isinstance(value, dict) and value:
            yield from _leaves(value, here, way)
        else:
            yield here, way, copy.deepcopy(value)


def _apply_override(study: StudyTable, override: str) -> None:
    path, equals, text = override.partition("=")
    keys = _keys(path.strip())
    if not equals or not all(keys) or not text.strip():
        raise StudyError(f"--set {override!r} cannot be read; accepted: path.to.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        value = read_value(text.strip())
    study.override(keys, value, f"{study.name}, --set {path.strip()}", f"--set {override!r}")
