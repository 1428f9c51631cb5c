"""Tables about the study itself: what gave no number, the settings, the environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Kind
from tngd_bench.report.tables import Column, Table, level_text, short_keys, words


def unfinished_table(rows: pd.DataFrame, known: Mapping[str, Kind]) -> Table:
    """Return the trials that gave no number, one row per setting with equal status and reason."""
    by = ["kind", "group", "problem", "parameters_requested", "optimizer", "sweep_parameter", "sweep_value"]
    cells, data = [], []
    for values, part in rows.groupby([*by, "status", "reason"], dropna=False, sort=True):
        row: dict[str, Any] = dict(zip([*by, "status", "reason"], values, strict=True))
        seconds, size = (
            part["estimate_seconds"].astype(float).max(),
            part["estimate_bytes"].astype(float).max(),
        )
        level = (
            ""
            if pd.isna(row["sweep_parameter"])
            else f", {row['sweep_parameter']} = {level_text(row['sweep_value'])}"
        )
        cells.append(
            (
                known[row["optimizer"]].title,
                f"{row['kind']}: {row['group']}{level}",
                quantities.count(row["parameters_requested"]),
                str(row["status"]),
                "" if pd.isna(row["reason"]) else str(row["reason"]),
                quantities.seconds(seconds),
                quantities.memory(size),
                str(len(part)),
                short_keys(part["key"]),
            )
        )
        keys = tuple(sorted(part["key"]))
        data.append(
            row | {"estimate_seconds": seconds, "estimate_bytes": size, "trials": len(part), "keys": keys}
        )
    columns = (
        *words("optimizer", "section"),
        Column("N asked for"),
        *words("status", "reason"),
        Column("estimated time per iteration", clock="estimated"),
        Column("estimated memory", clock="estimated"),
        Column("trials"),
        Column("records", numeric=False),
    )
    names = [*by, "status", "reason", "estimate_seconds", "estimate_bytes", "trials", "keys"]
    caption = "Trials that gave no number. Skipped ones were left out beforehand, by the estimate shown."
    return Table("not-finished", caption, columns, tuple(cells), pd.DataFrame(data, columns=names))


def settings_table(trials: pd.DataFrame, known: Mapping[str, Kind]) -> Table:
    """Return the complete settings of every optimizer outside sweeps, one row per distinct set."""
    plain = trials[trials["sweep_parameter"].isna()].drop_duplicates(["group", "optimizer", "settings"])
    rows, data = [], []
    for label in known:
        for settings, part in plain[plain["optimizer"] == label].groupby("settings", sort=True):
            text = ", ".join(
                f"{name} = {_setting(value)}" for name, value in json.loads(str(settings)).items()
            )
            sections = ", ".join(dict.fromkeys(part["group"]))
            rows.append((known[label].title, text or "none", sections))
            data.append({"optimizer": label, "settings": settings, "sections": sections})
    columns = words("optimizer", "settings", "sections")
    frame = pd.DataFrame(data, columns=["optimizer", "settings", "sections"])
    caption = "Settings of every optimizer, defaults included. TNGD's are those of the simulated device and of its use."
    return Table("optimizer-settings", caption, columns, tuple(rows), frame)


def _setting(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def pairs_table(name: str, caption: str, content: Mapping[str, object]) -> Table:
    """Return nested settings as two columns, inner names joined by dots."""
    pairs = tuple(_flat(content))
    columns = words("name", "value")
    return Table(name, caption, columns, pairs, pd.DataFrame(pairs, columns=["name", "value"]))


def _flat(content: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            for place, item in enumerate(value, start=1):
                yield from _flat({f"{place}": item}, f"{name}.")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(str(item) for item in value) or "none"
        else:
            yield name, "none" if value is None else str(value)
