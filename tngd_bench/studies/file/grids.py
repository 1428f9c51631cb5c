"""Expand lists of sizes in a training section: a section of its own for every combination."""

import copy
import itertools
import math
from typing import Any, TypeGuard

from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.toml_lines import KeyPath

_MOST_SECTIONS = 1_000
_MARKS = (("parameters", "N"), ("batch_size", "b"))


def expand_training(table: dict[str, Any], origins: dict[KeyPath, str]) -> None:
    """Make a section of every combination where a training section has lists of `parameters` or `batch_size`.

    They are named after their values, as in "mnist-N1000-b32". Changes `table`, and `origins` with it. Raises
    StudyError where there would be too many.
    """
    sections = table.get("training", [])
    if not is_sections(sections):
        return
    expanded: list[dict[str, Any]] = []
    moved: dict[KeyPath, str] = {}
    for number, section in enumerate(sections):
        marks = {key: mark for key, mark in _MARKS if _is_grid(section.get(key))}
        combinations = math.prod(len(section[key]) for key in marks)
        if combinations > _MOST_SECTIONS:
            where = f"{origins.get(('training', number), 'training')}: {section['name']!r}"
            raise StudyError(f"{where} stands for {combinations} sections; accepted: {_MOST_SECTIONS}")
        for values in itertools.product(*(section[key] for key in marks)):
            copied = copy.deepcopy(section) | dict(zip(marks, values, strict=True))
            suffix = "".join(f"-{mark}{value}" for mark, value in zip(marks.values(), values, strict=True))
            copied["name"] = f"{section['name']}{suffix}" if marks else section["name"]
            for path, where in origins.items():
                if path[:2] == ("training", number):
                    moved[("training", len(expanded), *path[2:])] = where
            expanded.append(copied)
    table["training"] = expanded
    for path in [path for path in origins if len(path) > 1 and path[0] == "training"]:
        del origins[path]
    origins |= moved


def _is_grid(value: object) -> bool:
    """Return whether `value` is a list of sizes; anything else is for the checks to accept or refuse."""
    items = value if isinstance(value, list) else []
    return bool(items) and all(type(item) is int and item >= 1 for item in items)  # True is no size


def is_sections(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """Return whether `value` is a list of sections, each with a name."""
    items = value if isinstance(value, list) else []
    return bool(items) and all(isinstance(item, dict) and "name" in item for item in items)
