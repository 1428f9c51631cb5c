"""What a search found, from its records: every try with its score, and each optimizer's best."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.studies.records import Records
from tngd_bench.studies.selection import read_label

TRIED = ("ok", "diverged", "timed-out", "out-of-memory")
"""Statuses of a run that was a try; a skipped or failed one is none."""
COLUMNS = {
    "optimizer": "str",
    "number": "int64",
    "label": "str",
    "default": "bool",
    "status": "str",
    "runs": "int64",
    "finished": "int64",
    "score": "float64",
    "seconds": "float64",
    "settings": "str",
    "reason": "object",
    "keys": "object",
}
"""Columns of `tuning_trials` with their dtypes."""
_VALIDATION, _HELD_OUT = "validation_", "test_"


def is_search(study: Mapping[str, Any]) -> bool:
    """Return whether a store's study is a search for settings, as `tngd-bench tune` runs it."""
    sections = study.get("training") or ()
    return bool(study.get("tuning")) and all(section.get("validation_share") for section in sections)


def larger_is_better(study: Mapping[str, Any]) -> bool:
    """Return whether the metric of a search is one to maximise: all but the loss are."""
    return not str(study["tuning"]["metric"]).endswith("loss")


def tuning_trials(records: Records) -> pd.DataFrame:
    """Return one row per optimizer and try of a search, the study's own settings (number 0) first.

    `score` is the median over the runs of the metric at their end, a run without a finite end counting as worst; NaN
    where that median is no number. `status` is "ok" where there is a score, else that of the first run without an
    end. `seconds` is the wall time of all runs, evaluation and start included; `settings` all settings as JSON;
    `keys` the runs' keys in the store.
    """
    order = {
        label: number
        for section in records.study["training"]
        for number, label in enumerate(section["optimizers"])
    }
    column = _HELD_OUT + str(records.study["tuning"]["metric"]).removeprefix(_VALIDATION)
    ends = records.curves.sort_values("iteration", kind="stable").groupby("key")[column].last()
    worst = -np.inf if larger_is_better(records.study) else np.inf
    first: dict[str, int] = {}
    for label, number in order.items():
        first.setdefault(read_label(label).name, number)
    rows = []
    for _, runs in records.trials.groupby(["method", "optimizer"], sort=False):
        method, label = str(runs["method"].iloc[0]), str(runs["optimizer"].iloc[0])
        finished = runs["status"].eq("ok") & runs["key"].map(ends).notna()
        scores = runs["key"].map(ends).where(finished, worst).astype(float)
        score = float(np.median(scores))
        other = runs[~finished]
        rows.append(
            {
                "optimizer": method,
                "number": order[label] - first[method],
                "label": label,
                "default": order[label] == first[method],
                "status": "ok" if np.isfinite(score) else str(other["status"].iloc[0]),
                "runs": int(runs["status"].isin(TRIED).sum()),
                "finished": int(finished.sum()),
                "score": score if np.isfinite(score) else np.nan,
                "seconds": float(runs["elapsed_s"].sum()),
                "settings": runs["settings"].iloc[0],
                "reason": other["reason"].iloc[0] if len(other) else None,
                "keys": tuple(runs["key"]),
            }
        )
    rows.sort(key=lambda row: (first[row["optimizer"]], row["number"]))
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in COLUMNS.items()}
    )


def best_tries(tries: pd.DataFrame, larger: bool) -> pd.DataFrame:
    """Return the row of each optimizer's best score, the earlier of equal ones; optimizers without one are left out."""
    scored = tries[tries["score"].notna()]
    ordered = scored.sort_values(["score", "number"], ascending=[not larger, True], kind="stable")
    best = ordered.groupby("optimizer", sort=False).head(1)
    return best.sort_index()


def settings_of(text: str, names: Iterable[str]) -> dict[str, Any]:
    """Return those settings of a try, as `tuning_trials` has them in JSON, that are called `names`."""
    complete = json.loads(text)
    return {name: complete[name] for name in names}
