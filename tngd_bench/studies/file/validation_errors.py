"""Translate pydantic's validation errors into one line each: key, value, what is accepted."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from tngd_bench import arguments
from tngd_bench.studies.file.schema import Study
from tngd_bench.studies.file.study_table import READ_BEFORE, shown_path, shown_value
from tngd_bench.studies.file.toml_lines import KeyPath

_MISSING = ("missing", "missing_argument")

_ACCEPTED = {
    "tuple_type": "a list",
    **dict.fromkeys(("mapping_type", "dict_type", "dataclass_type", "dataclass_exact_type"), "a table"),
    **dict.fromkeys(("int_type", "int_from_float"), "an integer"),
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_pattern_mismatch": "letters, digits, _ . -",
    "too_short": "at least one entry",
    "string_too_short": "at least one character",
}


def first_error(error: ValidationError, table: Mapping[str, Any]) -> tuple[KeyPath, str]:
    """Return the place of pydantic's first error, and one line: key, value, what is accepted."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "unexpected_keyword_argument"), errors[0])
    places = [_place(e, table) for e in errors]
    path = places[errors.index(first)]
    name = shown_path(path, table)
    kind, value = first["type"], first["input"]
    missing = dict.fromkeys(p for e, p in zip(errors, places, strict=True) if e["type"] in _MISSING)
    others = len(set(places) - (set(missing) if kind in _MISSING else {path}))
    more = f" (and {others} more)" if others > 0 else ""
    if kind == "unexpected_keyword_argument":
        accepted_keys = _known_keys(path[:-1])
        hint = arguments.suggestion(path[-1], accepted_keys)
        return (
            path,
            f"unknown key {name}{hint}; accepted here: {arguments.accepted(path[-1], accepted_keys)}{more}",
        )
    if kind in _MISSING:
        named = [shown_path(each, table) for each in missing]
        return path, f"{' and '.join(named)} {'is' if len(named) == 1 else 'are'} missing{more}"
    if kind == "value_error":
        return path, f"{name}: {first['msg'].removeprefix('Value error, ')}{more}"
    alternatives = [e for e, place in zip(errors, places, strict=True) if place == path]
    accepted = " or ".join(dict.fromkeys(_accepted(e["type"], e["msg"]) for e in alternatives))
    return path, f"{name} = {shown_value(value)} is refused; accepted: {accepted}{more}"


def _place(error: Any, table: Mapping[str, Any]) -> KeyPath:
    """Return the place of an error in the table: pydantic's, without its additions for unions and lists of one."""
    place: Any = table
    path: list[str | int] = []
    *_, last = error["loc"] or ("",)
    for part in error["loc"]:
        inside = (isinstance(place, dict) and part in place) or (
            isinstance(place, list | tuple) and isinstance(part, int) and 0 <= part < len(place)
        )
        if inside:
            place = place[part]
            path.append(part)
    if error["type"] in _MISSING:
        path.append(last)
    return tuple(path)


def _accepted(kind: str, message: str) -> str:
    """Return the values that are accepted, from one of pydantic's error types and its message."""
    if kind in _ACCEPTED:
        return _ACCEPTED[kind]
    text = message.removeprefix("Input should be ").removeprefix("String should ").removesuffix(".")
    return re.sub("have (?=at (?:least|most))", "", text.removeprefix("a valid "))


def _known_keys(path: Sequence[str | int]) -> tuple[str, ...]:
    """Return the keys accepted at a place in a study file."""
    kind: Any = Study
    for part in path:
        if isinstance(part, int):
            continue
        kind = get_args(kind)[1] if _is_mapping(kind) else get_type_hints(_dataclass_in(kind))[part]
    keys = tuple(item.name for item in dataclasses.fields(_dataclass_in(kind)))
    return keys if path else (*keys, *READ_BEFORE)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _dataclass_in(kind: Any) -> Any:
    """Return the dataclass that a type is, or is a list of, or may be."""
    if dataclasses.is_dataclass(kind):
        return kind
    return next((inner for inner in map(_dataclass_in, get_args(kind)) if inner is not None), None)
