"""The content of a store as data frames: trials, timed iterations, curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tngd_bench.studies.store import Store

_SETTING = {
    "key": "str",
    "group": "str",
    "problem": "str",
    "parameters": "int64",
    "batch_size": "int64",
    "optimizer": "str",
    "method": "str",
}
_SWEEP = {
    "sweep_label": "object",
    "sweep_parameter_2": "object",
    "sweep_value_2": "float64",
    "sweep_label_2": "object",
}
TRIAL_COLUMNS = {
    "key": "str",
    "kind": "str",
    "group": "str",
    "problem": "str",
    "parameters_requested": "int64",
    "parameters": "int64",
    "batch_size": "int64",
    "outputs": "int64",
    "rows": "int64",
    "width": "str",
    "optimizer": "str",
    "method": "str",
    "settings": "str",
    "device": "object",
    "seed": "Int64",
    "process": "Int64",
    "sweep_parameter": "object",
    "sweep_value": "float64",
    "threads": "int64",
    "status": "str",
    "reason": "object",
    "estimate_seconds": "float64",
    "estimate_bytes": "float64",
    "flops": "float64",
    "peak_bytes": "float64",
    "solver_iterations": "Int64",
    "elapsed_s": "float64",
    "validation_share": "float64",
    **_SWEEP,
}
"""Columns of `Records.trials` with their dtypes; `seed`, `process` and `solver_iterations` may be missing.

`sweep_value` is missing for an ideal device and for values that are no numbers; `sweep_label` says which. The columns
ending in `_2` are those of a second swept setting. With a `validation_share`, what curves call test data is that
share of the training samples, held out of training.
"""

_INSPECTED = ("group", "parameters_requested", "batch_size", "outputs", "optimizer")
_TIMES = ("step_s", "digital_s", "write_s", "relax_s", "read_s")
COST_COLUMNS = {
    **_SETTING,
    "outputs": "int64",
    "rows": "int64",
    "device": "object",
    "process": "int64",
    "repetition": "int64",
    **dict.fromkeys((*_TIMES, "total_s"), "float64"),
}
CURVE_COLUMNS = {
    **_SETTING,
    "seed": "int64",
    "sweep_parameter": "object",
    "sweep_value": "float64",
    "iteration": "int64",
    **dict.fromkeys(
        (
            "epoch",
            "loss",
            "train_loss",
            "train_accuracy",
            "test_loss",
            "test_accuracy",
            "measured_s",
            "modelled_s",
        ),
        "float64",
    ),
}


@dataclass(frozen=True)
class Records:
    """A study's results.

    `trials`: one row per cost section × size × optimizer × process and per training run; `key` is "FILE#ENTRY" in
    the store. `costs`: one row per timed iteration. `curves`: one row per training iteration. Times are in seconds,
    memory in bytes. `flops` and `peak_bytes` come from a process of their own and stand on the cost rows of that
    optimizer and size. `ignored`: files left out, by name, with the reason.
    """

    study: dict[str, Any]
    environment: dict[str, Any]
    trials: pd.DataFrame
    costs: pd.DataFrame
    curves: pd.DataFrame
    ignored: dict[str, str] = field(default_factory=dict)


def read_records(place: Path) -> Records:
    """Return the records of the store in `place`; StoreError when there is none or it is damaged.

    Files that belong to no trial of the study, and torn or edited ones, are left out and named in `ignored`.
    """
    store = Store.find(Path(place))
    study, environment = store.study() or {}, store.environment() or {}
    trials: list[dict[str, Any]] = []
    costs: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    inspected: dict[tuple[Any, ...], dict[str, Any]] = {}
    for file, content in store.trials(study.get("trials", [])):
        for number, entry in enumerate(content["entries"]):
            row = {"key": f"{file}#{number}", **entry}
            if entry["kind"] == "inspection":
                inspected[tuple(entry[name] for name in _INSPECTED)] = entry
                continue
            iterations, curve = row.pop("iterations", []), row.pop("curve", [])
            trials.append(row)
            costs += (row | iteration for iteration in iterations)
            curves += (row | point for point in curve)
    for row in trials:
        if row["kind"] == "cost":
            found = inspected.get(tuple(row[name] for name in _INSPECTED), {})
            row |= {"flops": found.get("flops"), "peak_bytes": found.get("peak_bytes")}
    timed = _frame(costs, COST_COLUMNS)
    timed["total_s"] = timed["digital_s"] + timed["write_s"] + timed["relax_s"] + timed["read_s"]
    study.pop("trials", None)
    return Records(
        study,
        environment,
        _frame(trials, TRIAL_COLUMNS),
        timed,
        _frame(curves, CURVE_COLUMNS),
        dict(store.ignored),
    )


def _frame(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    """Return rows as a frame with exactly these columns; what a row lacks is missing."""
    return pd.DataFrame({name: _column(rows, name, dtype) for name, dtype in columns.items()})


def _column(rows: list[dict[str, Any]], name: str, dtype: str) -> pd.Series[Any]:
    return pd.Series([row.get(name) for row in rows], dtype=dtype)
