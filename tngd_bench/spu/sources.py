"""Sourced figures: tables in TOML whose numbers each have a grade and a source."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tngd_bench import arguments

GRADES = ("S", "S2", "C", "U")
"""Read in the source, secondary source, computed from sourced figures, engineering judgement."""


@dataclass(frozen=True)
class Sourced:
    """Where a number comes from: a grade of `GRADES`, and the source."""

    grade: str
    source: str


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
