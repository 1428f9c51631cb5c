"""Results of a search from its records: every try with its score, and each optimizer's best."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import CurveMetric
from tngd_bench.studies.file.optimizer_label import read_label
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records

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
    "final_runs": "int64",
    "final_finished": "int64",
    "final_score": "float64",
    "final_seconds": "float64",
    "final_keys": "object",
}
"""Columns of `tuning_trials` with their dtypes."""
_VALIDATION, _HELD_OUT = "validation_", "test_"


def is_search(study: Mapping[str, Any]) -> bool:
    """Return whether a store's study is a search for settings, as `tngd-bench tune` runs it."""
    sections = study.get("training") or ()
    return bool(study.get("tuning")) and all(section.get("validation_share") for section in sections)


def searched_metric(name: str) -> CurveMetric:
    """Return the metric that a search calls `name`, such as "validation_loss"."""
    return registered_metrics.of_column(_HELD_OUT + name.removeprefix(_VALIDATION))


def larger_is_better(study: Mapping[str, Any]) -> bool:
    """Return whether the metric of a search is one to maximise."""
    return searched_metric(study["tuning"]["metric"]).metric.larger_is_better


def tuning_trials(records: Records) -> pd.DataFrame:
    """Return one row per optimizer and try of a search, the study's own settings (number 0) first.

    `score` is the median over the runs of the metric at their end, a run without a finite end counting as worst; NaN
    where that median is no number. `status` is "ok" where there is a score, else that of the first run without an
    end. `seconds` is the wall time of all runs, evaluation and start included; `settings` all settings as JSON;
    `keys` the runs' keys in the store.

    The columns `final_…` are those of a finalist's further runs (`final_runs` is 0 for the others): `final_score` is
    the mean over those with a finite end, of which there are `final_finished`; NaN where there are none. A mean, as a
    setting that fails once in three runs is no good one.
    """
    section, *others = records.study["training"]
    order = {label: number for number, label in enumerate(section["optimizers"])}
    column = searched_metric(records.study["tuning"]["metric"]).column
    ends = records.curves.sort_values("iteration", kind="stable").groupby("key")[column].last()
    worst = -np.inf if larger_is_better(records.study) else np.inf
    group = records.trials["group"]
    further = records.trials[group.isin([one["name"] for one in others])]
    first: dict[str, int] = {}
    for label, number in order.items():
        first.setdefault(read_label(label).name, number)
    rows = []
    for _, runs in records.trials[group == section["name"]].groupby(["method", "optimizer"], sort=False):
        method, label = str(runs["method"].iloc[0]), str(runs["optimizer"].iloc[0])
        finals = further[further["optimizer"] == label]
        finished = runs["status"].eq("ok") & runs["key"].map(ends).notna()
        score = float(np.median(runs["key"].map(ends).where(finished, worst).astype(float)))
        other = runs[~finished]
        row = {
            "optimizer": method,
            "number": order[label] - first[method],
            "label": label,
            "default": order[label] == first[method],
            "status": "ok" if np.isfinite(score) else str(other["status"].iloc[0]),
            "score": score if np.isfinite(score) else np.nan,
            "settings": runs["settings"].iloc[0],
            "reason": other["reason"].iloc[0] if len(other) else None,
            "final_score": float(finals.loc[finals["status"] == "ok", "key"].map(ends).astype(float).mean()),
        }
        rows.append(row | _numbers("", runs, ends) | _numbers("final_", finals, ends))
    rows.sort(key=lambda row: (first[row["optimizer"]], row["number"]))
    return c.typed({name: [row[name] for row in rows] for name in COLUMNS}, COLUMNS)


def _numbers(mark: str, runs: pd.DataFrame, ends: pd.Series) -> dict[str, Any]:
    """Return the number of runs, of those that ended, their seconds and their keys; names begin with `mark`."""
    return {
        f"{mark}runs": int(runs["status"].isin(c.TRIED).sum()),
        f"{mark}finished": int((runs["status"].eq("ok") & runs["key"].map(ends).notna()).sum()),
        f"{mark}seconds": float(runs["elapsed_s"].sum()),
        f"{mark}keys": tuple(runs["key"]),
    }


def finalists(tries: pd.DataFrame, count: int, larger: bool) -> pd.DataFrame:
    """Return the `count` best-scored tries of each optimizer, best first, the earlier of equal ones before."""
    scored = tries[tries["score"].notna()]
    ordered = scored.sort_values(["score", "number"], ascending=[not larger, True], kind="stable")
    return ordered.groupby("optimizer", sort=False).head(count)


def best_tries(tries: pd.DataFrame, larger: bool) -> pd.DataFrame:
    """Return the row of each optimizer's best try; optimizers without a score are left out.

    That is the finalist with the fewest runs that failed, of these the one with the best final score; without finals
    the try with the best score. Of equal ones it is the earlier.
    """
    scored = tries[tries["score"].notna()]
    ordered = scored.assign(final_failed=scored["final_runs"] - scored["final_finished"]).sort_values(
        ["final_failed", "final_score", "score", "number"],
        ascending=[True, not larger, not larger, True],
        na_position="last",
        kind="stable",
    )
    # those that ran in finals before those that did not, whatever the order within either
    ordered = ordered.sort_values("final_runs", key=lambda runs: runs == 0, kind="stable")
    best = ordered.groupby("optimizer", sort=False).head(1)
    return best.sort_index()


def settings_of(text: str, names: Iterable[str]) -> dict[str, Any]:
    """Return those settings of a try, as `tuning_trials` has them in JSON, that are called `names`."""
    complete = json.loads(text)
    return {name: complete[name] for name in names}
