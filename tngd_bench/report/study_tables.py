"""Tables about the study itself: what gave no number, the settings, the environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.analysis.setting_names import parameter_name, value_text
from tngd_bench.optimizers import registry
from tngd_bench.report.document.tables import Column, Table, level_text, short_keys, words


def unfinished_table(rows: pd.DataFrame, known: Mapping[str, OptimizerInfo]) -> Table:
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
            else f", {parameter_name(row['sweep_parameter'])} = {level_text(row['sweep_value'])}"
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


def settings_table(trials: pd.DataFrame, known: Mapping[str, OptimizerInfo]) -> Table:
    """Return what each optimizer outside sweeps has set otherwise than by default, one row per distinct set.

    The data behind it hold the complete settings. Of an optimizer that is not registered here all are shown.
    """
    plain = trials[trials["sweep_parameter"].isna()].drop_duplicates(["group", "optimizer", "settings"])
    rows, data = [], []
    for label in known:
        for settings, part in plain[plain["optimizer"] == label].groupby("settings", sort=True):
            usual = _defaults(known[label].method)
            given = json.loads(str(settings)).items()
            text = _listed({name: value for name, value in given if usual.get(name, _UNSET) != value})
            sections = ", ".join(dict.fromkeys(part["group"]))
            rows.append((known[label].title, text or "none", sections))
            data.append({"optimizer": label, "settings": settings, "sections": sections})
    columns = words("optimizer", "settings other than the default", "sections")
    frame = pd.DataFrame(data, columns=["optimizer", "settings", "sections"])
    caption = (
        "What each optimizer has set otherwise than by default; the defaults are below. TNGD's settings are those of "
        "the simulated device and of its use; what is not set is the device's own, in the table of devices."
    )
    return Table("optimizer-settings", caption, columns, tuple(rows), frame)


def defaults_table(known: Mapping[str, OptimizerInfo]) -> Table:
    """Return the defaults of every optimizer that ran and is registered here, without those that have no value."""
    rows, data = [], []
    for method in dict.fromkeys(kind.method for kind in known.values()):
        usual = {name: value for name, value in _defaults(method).items() if value is not None}
        if usual:
            rows.append((registry.get(method).title, _listed(usual)))
            data.append({"optimizer": method, "defaults": json.dumps(usual)})
    caption = "Defaults of the optimizers, of this version of tngd-bench."
    frame = pd.DataFrame(data, columns=["optimizer", "defaults"])
    return Table("optimizer-defaults", caption, words("optimizer", "defaults"), tuple(rows), frame)


_UNSET = object()


def _defaults(method: str) -> dict[str, Any]:
    """Return the settings of `method` by default; none where it is not registered here."""
    return dict(registry.get(method).defaults) if method in registry.names() else {}


def _listed(settings: Mapping[str, Any]) -> str:
    """Return settings in words, a device by its name."""
    return ", ".join(
        f"{parameter_name(name)} = {value_text(name, value.get('name') if isinstance(value, Mapping) else value)}"
        for name, value in settings.items()
    )


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
