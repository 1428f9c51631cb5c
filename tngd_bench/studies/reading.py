"""From a study's name or file to a checked `Study`; everything wrong with it is said in one line."""

from __future__ import annotations

import dataclasses
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from tngd_bench import arguments
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry as problems
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.schema import CostSection, Study, TrainingSection
from tngd_bench.studies.selection import as_setting, parse_selection, read_value, resolve

SHIPPED = "shipped"
_LISTS = ("cost", "training")


@dataclasses.dataclass(frozen=True)
class LoadedStudy:
    """A study, where it was read from ("shipped" or a path) and the overrides given with it."""

    study: Study
    source: str
    overrides: tuple[str, ...] = ()


def shipped_studies() -> tuple[str, ...]:
    """Return the names of the studies that come with the package."""
    found = files("tngd_bench.studies").joinpath("shipped").iterdir()
    return tuple(sorted(item.name.removesuffix(".toml") for item in found if item.name.endswith(".toml")))


def load_study(reference: str, overrides: Sequence[str] = ()) -> LoadedStudy:
    """Return the shipped study called `reference`, or the one in the file of that name.

    `overrides` are "path.to.key=value"; sections of `cost` and `training` are addressed by name. Raises StudyError.
    """
    name, text, source = _find(reference)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{name}: not valid TOML: {error}") from None
    for override in overrides:
        _override(table, override)
    return LoadedStudy(make_study(table, name), source, tuple(overrides))


def make_study(table: Mapping[str, Any], name: str = "study") -> Study:
    """Return the checked study of a parsed file; StudyError with `name`, key path, value and what is accepted."""
    try:
        study = TypeAdapter(Study).validate_python(dict(table))
    except ValidationError as error:
        raise StudyError(f"{name}: {_first_complaint(error, table)}") from None
    try:
        _check_sections(study)
    except StudyError as error:
        raise StudyError(f"{name}: {error}") from None
    return study


def _find(reference: str) -> tuple[str, str, str]:
    """Return what to call the study in messages, its text and its source."""
    known = shipped_studies()
    if reference in known:
        text = files("tngd_bench.studies").joinpath(f"shipped/{reference}.toml").read_text(encoding="utf-8")
        return f"{reference}.toml", text, SHIPPED
    path = Path(reference)
    if path.suffix != ".toml" and not path.exists():
        hint = arguments.suggestion(reference, known)
        raise StudyError(
            f"no study {reference!r}{hint}; accepted: {', '.join(known)}, or the path of a .toml file"
        )
    try:
        return path.name, path.read_text(encoding="utf-8"), str(path)
    except UnicodeDecodeError:
        raise StudyError(f"{reference}: not a text file in UTF-8") from None
    except OSError as error:
        raise StudyError(f"study file {reference!r} cannot be read: {error.strerror or error}") from None


def _override(table: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys) or not text.strip():
        raise StudyError(f"--set {override!r} cannot be read; accepted: path.to.key=value")
    place: Any = table
    for depth, key in enumerate(keys[:-1]):
        where = ".".join(keys[: depth + 1])
        if isinstance(place, list):
            names = [str(section.get("name")) for section in place if isinstance(section, dict)]
            if key not in names:
                hint = arguments.suggestion(key, names)
                raise StudyError(
                    f"--set {override!r}: no section {where!r}{hint}; there are: {', '.join(names)}"
                )
            place = place[names.index(key)]
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            raise StudyError(f"--set {override!r}: {where!r} is not inside a table")
    if not isinstance(place, dict):
        raise StudyError(f"--set {override!r}: name the section and its key, as in cost.NAME.repetitions=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = read_value(text.strip())
    place[keys[-1]] = value


def _first_complaint(error: ValidationError, table: Mapping[str, Any]) -> str:
    """Return pydantic's first error as one line: key path, value, what is accepted."""
    found = error.errors(include_url=False)
    first = next((e for e in found if e["type"] == "unexpected_keyword_argument"), found[0])
    location = [
        part for part in first["loc"] if part in _keys_of(table) or not str(part).startswith(_UNION_TAGS)
    ]
    path = _path(location, table)
    others = len({e["loc"][: len(location)] for e in found}) - 1
    more = f" (and {others} more)" if others > 0 else ""
    kind = first["type"]
    if kind == "unexpected_keyword_argument":
        known = _known_keys(location[:-1])
        hint = arguments.suggestion(location[-1], known)
        return f"unknown key {path}{hint}; accepted here: {', '.join(known)}{more}"
    if kind in ("missing", "missing_argument"):
        return f"{path} is missing{more}"
    value = first["input"]
    shown = repr(value) if len(repr(value)) < 60 else f"a {type(value).__name__}"
    alternatives = [e for e in found if e["loc"][: len(location)] == tuple(location)]
    accepted = " or ".join(dict.fromkeys(_accepted(e["type"], e["msg"]) for e in alternatives))
    return f"{path} = {shown} is refused; accepted: {accepted}{more}"


def _accepted(kind: str, message: str) -> str:
    """Return what would be accepted, from one of pydantic's error types and its message."""
    if kind in _ACCEPTED:
        return _ACCEPTED[kind]
    text = message.removeprefix("Input should be ").removeprefix("String should ").removesuffix(".")
    return text.removeprefix("a valid ").replace("have at least", "at least")


_ACCEPTED = {
    "tuple_type": "a list",
    "mapping_type": "a table",
    "dict_type": "a table",
    "dataclass_type": "a table",
    "dataclass_exact_type": "a table",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_pattern_mismatch": "letters, digits, _ . -",
    "too_short": "at least one entry",
    "string_too_short": "at least one character",
}


_UNION_TAGS = ("bool", "int", "float", "str", "constrained-", "function-")


def _keys_of(value: Any) -> set[Any]:
    """Return all keys anywhere inside a parsed table."""
    if isinstance(value, Mapping):
        return set(value) | {key for part in value.values() for key in _keys_of(part)}
    if isinstance(value, list):
        return {key for part in value for key in _keys_of(part)}
    return set()


def _path(location: Sequence[Any], table: Mapping[str, Any]) -> str:
    """Return "training[mnist].epochs" for ("training", 1, "epochs")."""
    text, place = "", table
    for part in location:
        try:
            place = place[part]
        except (KeyError, IndexError, TypeError):
            place = {}
        if isinstance(part, int):
            label = place.get("name", part) if isinstance(place, Mapping) else part
            text += f"[{label}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def _known_keys(location: Sequence[Any]) -> tuple[str, ...]:
    """Return the keys accepted at a place in a study file."""
    kind: Any = Study
    for part in location:
        if isinstance(part, int):
            kind = next(inner for inner in get_args(kind) if dataclasses.is_dataclass(inner))
            continue
        kind = get_type_hints(kind)[part]
        inner = [option for option in get_args(kind) if dataclasses.is_dataclass(option)]
        if len(inner) == 1 and part not in _LISTS:
            kind = inner[0]
    return tuple(item.name for item in dataclasses.fields(kind))


def _check_sections(study: Study) -> None:
    sections: tuple[CostSection | TrainingSection, ...] = (*study.cost, *study.training)
    if not sections:
        raise StudyError("nothing to do: no [[cost]] and no [[training]] section")
    _refuse_repeats("section", (section.name for section in sections))
    for name in study.optimizer:
        with _at(f"optimizer.{name}"):
            entry = optimizers.get(name)
            entry.check({key: as_setting(value) for key, value in study.optimizer[name].items()})
    for name, options in study.problem.items():
        with _at(f"problem.{name}"):
            problems.get(name, options)
    for section in sections:
        kind = "cost" if isinstance(section, CostSection) else "training"
        where = f"{kind}[{section.name}]"
        with _at(f"{where}.problem"):
            problem = problems.get(section.problem, study.problem.get(section.problem))
        sizes = section.parameters if isinstance(section.parameters, tuple) else (section.parameters,)
        for size in sizes:
            with _at(f"{where}.parameters"):
                problem.widths(size, section.outputs)
        _refuse_repeats(f"{where}.optimizers:", section.optimizers)
        _refuse_repeats(f"{where}.parameters:", map(str, sizes))
        for label in section.optimizers:
            with _at(f"{where}.optimizers"):
                resolve(label, study.optimizer)
        if isinstance(section, TrainingSection) and section.sweep is not None:
            _refuse_repeats(f"{where}.sweep.values:", map(repr, section.sweep.values))
            for label in section.optimizers:
                for value in section.sweep.values:
                    with _at(f"{where}.sweep"):
                        _check_swept(label, section.sweep.parameter)
                        resolve(label, study.optimizer, {section.sweep.parameter: as_setting(value)})


def _check_swept(label: str, parameter: str) -> None:
    if parameter in parse_selection(label)[1]:
        raise StudyError(f"{parameter!r} is swept and set in {label!r} as well")


class _at:  # noqa: N801  # reads as a phrase: with _at("cost[size].problem")
    """Put a key path before the message of a refused value."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError | TypeError):
            raise StudyError(f"{self._path}: {error}") from None


def _refuse_repeats(what: str, names: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise StudyError(f"{what} {repeated[0]!r} appears more than once")
