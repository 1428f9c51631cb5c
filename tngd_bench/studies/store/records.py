"""The content of a store as data frames: trials, timed iterations, curves."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tngd_bench.problems import registered_metrics
from tngd_bench.studies.file.optimizer_label import usual_form
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.columnar import Columns, column, count
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS, typed
from tngd_bench.studies.store.packed import find_store
from tngd_bench.studies.store.reader import StoreReader
from tngd_bench.studies.store.tables import Tables, kept_or_made

_INSPECTED = (c.GROUP, c.PARAMETERS_REQUESTED, c.BATCH_SIZE, c.OUTPUTS, c.OPTIMIZER)
_ITERATION = (c.REPETITION, *c.TIMES, c.OVERLAP_S)


@dataclass(frozen=True)
class Records:
    """A study's results, with the tables of its file and the `environment` it was measured in.

    `trials`: one row per cost section × size × optimizer × process and per training run; `key` is "FILE#ENTRY" in
    the store. `costs`: one row per timed iteration. `curves`: one row per training iteration. Times are in seconds,
    memory in bytes. `flops`, `peak_bytes` and `half_products` come from a process of their own and stand on the cost
    rows of that optimizer and size. `ignored`: files left out, by name, with the reason.
    `runs`: processes that the study takes, cost trials of a section and size sharing one; `missing`: how many of them
    have no result yet.
    """

    study: dict[str, Any]
    environment: dict[str, Any]
    trials: pd.DataFrame
    costs: pd.DataFrame
    curves: pd.DataFrame
    ignored: dict[str, str] = field(default_factory=dict)
    runs: int = 0
    missing: int = 0


def read_records(place: Path | StoreReader) -> Records:
    """Return the records of a store; StoreError when there is none or it is damaged.

    Parameters
    ----------
    place : Path or StoreReader
        The store, its folder or its file, or the folder that it lies in.

    Notes
    -----
    Files that belong to no trial of the study, and torn or edited ones, are left out and named in `ignored`. The frames
    are kept in a store's folder as Parquet, and taken from there as long as no file has changed.
    """
    store = place if isinstance(place, StoreReader) else find_store(Path(place))
    study, environment = store.study() or {}, store.environment() or {}
    keys = study.pop("trials", [])
    outside = dict.fromkeys((each.column for each in registered_metrics.curve_metrics()), "float64")
    columns = {"trials": TRIAL_COLUMNS, "costs": COST_COLUMNS, "curves": CURVE_COLUMNS | outside}
    tables = kept_or_made(store, columns, lambda: _read_trials(store, keys, columns["curves"]))
    frames = {name: _in_usual_form(frame) for name, frame in tables.frames.items()}
    there = store.trial_names()
    missing = sum(key not in there for key in keys)
    return Records(
        study, environment, **frames, ignored=dict(tables.ignored), runs=len(keys), missing=missing
    )


def _in_usual_form(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose labels differ only where their settings do: a study may write them without blanks."""
    forms = {label: usual_form(label) for label in frame["optimizer"].unique()}
    if all(label == form for label, form in forms.items()):
        return frame
    return frame.assign(optimizer=frame["optimizer"].map(forms).astype(frame["optimizer"].dtype))


def _read_trials(store: StoreReader, keys: Iterable[str], curve_columns: Mapping[str, str]) -> Tables:
    """Return the frames made from the trials' own files."""
    trials: list[dict[str, Any]] = []
    costs = _Rows(COST_COLUMNS, _ITERATION)
    curves = _Rows(curve_columns, [name for name in curve_columns if name not in TRIAL_COLUMNS])
    undescribed: dict[str, str] = {}
    inspected: dict[tuple[Any, ...], dict[str, Any]] = {}
    for file, content in store.trials(keys):
        computed_on = content["machine"].get("gpu") or content["machine"].get("cpu")
        about = {"machine": computed_on, "finished": content["finished"]}
        about["code"] = json.dumps(content["code"], sort_keys=True) if "code" in content else None
        for number, entry in enumerate(content["entries"]):
            row = {"key": f"{file}#{number}", **entry, **about}
            if "routing" in entry:
                row["routing"] = json.dumps(entry["routing"])
            if c.HALF_PRODUCTS in entry:
                row[c.HALF_PRODUCTS] = json.dumps(entry[c.HALF_PRODUCTS], sort_keys=True)
            if entry["kind"] == "inspection":
                inspected[tuple(entry[name] for name in _INSPECTED)] = row
                continue
            costs.add(row, row.pop("iterations", {}))
            curve = row.pop("curve", {})
            curves.add(row, curve)
            if unknown := ", ".join(name for name in curve if name not in curve_columns):
                undescribed[f"{unknown} in {file}"] = "(no problem installed here has such a metric)"
            trials.append(row)
    for row in trials:
        if row["kind"] == "cost":
            found = inspected.get(tuple(row[name] for name in _INSPECTED), {})
            row["inspection_key"] = found.get("key")
            row |= {name: found.get(name) for name in (c.FLOPS, c.PEAK_BYTES, c.HALF_PRODUCTS)}
    timed = costs.frame()
    timed["overlap_s"] = timed["overlap_s"].fillna(0.0)  # not noted before layout 2
    parts = timed["digital_s"] + timed["write_s"] + timed["relax_s"] + timed["read_s"]
    timed["total_s"] = parts - timed["overlap_s"]
    every = typed({name: [row.get(name) for row in trials] for name in TRIAL_COLUMNS}, TRIAL_COLUMNS)
    return Tables({"trials": every, "costs": timed, "curves": curves.frame()}, store.ignored | undescribed)


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
        return typed(self._values, self._dtypes)
