"""The content of a store as data frames: trials, timed iterations, curves."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tngd_bench.studies.file.optimizer_label import usual_form
from tngd_bench.studies.store.columnar import Columns, column, count
from tngd_bench.studies.store.packed import find_store
from tngd_bench.studies.store.reader import StoreReader
from tngd_bench.studies.store.tables import Tables, kept_or_made

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
    "inspection_key": "object",
    "machine": "object",
    "finished": "object",
    "code": "object",
    "not_stated": "object",
    "stated_s": "float64",
    "stability_margin": "float64",
}
"""Columns of `Records.trials` with their dtypes; `seed`, `process` and `solver_iterations` may be missing.

`sweep_value` is missing for an ideal device and for values that are no numbers; `sweep_label` says which. The columns
ending in `_2` are those of a second swept setting. With a `validation_share`, what curves call test data is that
share of the training samples, held out of training. `inspection_key` is where `flops` and `peak_bytes` of a cost row
come from, as "FILE#ENTRY"; `machine` is the processor that the trial ran on, `finished` when it ended (UTC, ISO 8601).
`code` are the digests of the code that measured it, by part, as JSON; missing in stores older than that.
`not_stated` names the items of the device's bill without a stated time, where there are any; the others take `stated_s`
per iteration. `stability_margin`, in 1/τ, is the least over a training's iterations, where the simulation computes one.
"""

_INSPECTED = ("group", "parameters_requested", "batch_size", "outputs", "optimizer")
_TIMES = ("step_s", "digital_s", "write_s", "relax_s", "read_s")
_ITERATION = ("repetition", *_TIMES, "overlap_s")
COST_COLUMNS = {
    **_SETTING,
    "outputs": "int64",
    "rows": "int64",
    "device": "object",
    "process": "int64",
    "repetition": "int64",
    **dict.fromkeys((*_TIMES, "total_s", "overlap_s"), "float64"),
}
"""Columns of `Records.costs`: total_s = digital_s + write_s + relax_s + read_s − overlap_s, what runs at once."""
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
            "train_exact_match",
            "train_f1",
            "test_exact_match",
            "test_f1",
        ),
        "float64",
    ),
}
"""Columns of `Records.curves`.

Losses are means in nats, the other scores shares between 0 and 1. A problem has the scores among its metrics
(`ProblemEntry.metrics`): accuracy for classes; exact match and F1, over questions and by SQuAD's normalisation, for
extracted answers. What it lacks is missing, as all of them are between evaluations. Where hundreds of outputs make the
device's rows too many to form at once, the digital share of `modelled_s`, and `digital_s` and `flops` of a cost row,
are extrapolated from the first 16 of their columns (`tngd_bench.measure.host_time`).
"""


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


def read_records(place: Path | StoreReader) -> Records:
    """Return the records of a store, or of the one in `place`; StoreError when there is none or it is damaged.

    Files that belong to no trial of the study, and torn or edited ones, are left out and named in `ignored`. The frames
    are kept in a store's folder as Parquet, and taken from there as long as no file has changed.
    """
    store = place if isinstance(place, StoreReader) else find_store(Path(place))
    study, environment = store.study() or {}, store.environment() or {}
    keys = study.pop("trials", [])
    tables = kept_or_made(store, _COLUMNS, lambda: _read_trials(store, keys))
    frames = {name: _in_usual_form(frame) for name, frame in tables.frames.items()}
    return Records(study, environment, **frames, ignored=dict(tables.ignored))


def _in_usual_form(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose labels differ only where their settings do: a study may write them without blanks."""
    forms = {label: usual_form(label) for label in frame["optimizer"].unique()}
    if all(label == form for label, form in forms.items()):
        return frame
    return frame.assign(optimizer=frame["optimizer"].map(forms).astype(frame["optimizer"].dtype))


_COLUMNS = {"trials": TRIAL_COLUMNS, "costs": COST_COLUMNS, "curves": CURVE_COLUMNS}
_POINT = tuple(name for name in CURVE_COLUMNS if name not in TRIAL_COLUMNS)


def _read_trials(store: StoreReader, keys: Iterable[str]) -> Tables:
    """Return the frames made from the trials' own files."""
    trials: list[dict[str, Any]] = []
    costs = _Rows(COST_COLUMNS, _ITERATION)
    curves = _Rows(CURVE_COLUMNS, _POINT)
    inspected: dict[tuple[Any, ...], dict[str, Any]] = {}
    for file, content in store.trials(keys):
        about = {"machine": _computed_on(content["machine"]), "finished": content["finished"]}
        about["code"] = json.dumps(content["code"], sort_keys=True) if "code" in content else None
        for number, entry in enumerate(content["entries"]):
            row = {"key": f"{file}#{number}", **entry, **about}
            if entry["kind"] == "inspection":
                inspected[tuple(entry[name] for name in _INSPECTED)] = row
                continue
            costs.add(row, row.pop("iterations", {}))
            curves.add(row, row.pop("curve", {}))
            trials.append(row)
    for row in trials:
        if row["kind"] == "cost":
            found = inspected.get(tuple(row[name] for name in _INSPECTED), {})
            row["inspection_key"] = found.get("key")
            row |= {"flops": found.get("flops"), "peak_bytes": found.get("peak_bytes")}
    timed = costs.frame()
    timed["overlap_s"] = timed["overlap_s"].fillna(0.0)  # not noted before layout 2
    parts = timed["digital_s"] + timed["write_s"] + timed["relax_s"] + timed["read_s"]
    timed["total_s"] = parts - timed["overlap_s"]
    every = pd.DataFrame(
        {
            name: pd.Series([row.get(name) for row in trials], dtype=dtype)
            for name, dtype in TRIAL_COLUMNS.items()
        }
    )
    return Tables({"trials": every, "costs": timed, "curves": curves.frame()}, dict(store.ignored))


def _computed_on(machine: Mapping[str, str | None]) -> str | None:
    """The GPU where there was one, else the CPU."""
    return machine.get("gpu") or machine.get("cpu")


class _Rows:
    """Columns that grow by the points of one trial at a time; `of_point` are those that differ within a trial."""

    def __init__(self, columns: Mapping[str, str], of_point: Collection[str]) -> None:
        self._dtypes = columns
        self._of_point = tuple(name for name in columns if name in of_point)
        self._of_trial = tuple(name for name in columns if name not in of_point)
        self._values: dict[str, list[Any]] = {name: [] for name in columns}

    def add(self, trial: Mapping[str, Any], points: Columns) -> None:
        """Add a row for each point; what neither it nor the trial says is missing."""
        number = count(points)
        for name in self._of_trial:
            self._values[name] += [trial.get(name)] * number
        for name in self._of_point:
            self._values[name] += column(points, name)

    def frame(self) -> pd.DataFrame:
        """Return the rows added."""
        return pd.DataFrame(
            {name: pd.Series(self._values[name], dtype=dtype) for name, dtype in self._dtypes.items()}
        )
