"""Sourced figures: tables in TOML whose numbers each have a grade and a source."""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from tngd_bench import arguments
from tngd_bench.spu.field_info import field_infos, in_words

GRADES = MappingProxyType(
    {"S": "read in the source", "S2": "secondary source", "C": "computed", "U": "judgement"}
)
"""How well founded a number is, in words: C is computed from sourced numbers, U the judgement of an engineer."""


@dataclass(frozen=True)
class Sourced:
    """Where a number comes from: a grade of `GRADES`, and the source."""

    grade: str
    source: str

    @property
    def words(self) -> str:
        """The source, and how well founded the number is: "NVIDIA datasheet, read in the source"."""
        return f"{self.source}, {GRADES[self.grade]}"


def shipped_tables(folder: str) -> dict[str, dict[str, Any]]:
    """Return the content of the TOML files in a `folder` of this package by their names, sorted."""
    found = sorted(files("tngd_bench.spu").joinpath(folder).iterdir(), key=lambda item: item.name)
    return {
        item.name.removesuffix(".toml"): tomllib.loads(item.read_text(encoding="utf-8"))
        for item in found
        if item.name.endswith(".toml")
    }


def separated(owner: str, table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Sourced]]:
    """Return the values and the sources of a table of `{value, grade, source}`; text stands for itself.

    `owner` names the table in the ValueError for an entry that is not complete.
    """
    values, sources = {}, {}
    for key, entry in table.items():
        if isinstance(entry, str):
            values[key] = entry
            continue
        missing = {"value", "grade", "source"} - set(entry)
        if missing:
            raise ValueError(f"{owner}, {key}: missing {', '.join(sorted(missing))}")
        values[key] = entry["value"]
        sources[key] = Sourced(
            arguments.choice(f"{owner}, {key}: grade", entry["grade"], GRADES), entry["source"]
        )
    return values, sources


def sourced_parameters(device: Any) -> dict[str, dict[str, Any]]:
    """What a device has a source for, or differs by from an ideal one: {parameter: {value, grade, source}}.

    Without a source there is a value alone; an infinite one is in a word. Prices that an ideal device has too, no time
    at all, need no source.
    """
    free = (None, 0.0, math.inf)
    described: type = type(device)
    differs = (
        name
        for name in field_infos(described)
        if (value := getattr(device, name)) != (default := getattr(described, name))
        and not (default is None and value in free)
    )
    return {
        name: {"value": in_words(getattr(device, name)), **(dataclasses.asdict(origin) if origin else {})}
        for name in dict.fromkeys((*device.sources, *differs))
        for origin in (device.sources.get(name),)
    }
