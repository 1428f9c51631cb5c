"""Cost and result of a search for settings: budget, spending and best of each optimizer, best-of-k curves."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis.training.best_of_k import COLUMNS, best_of_k
from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records
from tngd_bench.studies.tuning.results import best_tries, larger_is_better, tuning_trials
from tngd_bench.studies.tuning.spaces import space_of

_EDGE = 0.02
_SUMMARY = [c.OPTIMIZER, "tries", "ok", "diverged", "no_result", "not_tried", "own_score", "best_score"]
_SUMMARY += [
    "final_score",
    "final_failed",
    "best_number",
    c.SETTINGS,
    "at_edge",
    "seconds",
    "share_of_seconds",
]


def tuning_summary(records: Records) -> pd.DataFrame:
    """Return one row per optimizer of a search, best final score first (best score without finals), those without last.

    Columns: optimizer; `tries` (settings tried), of these `ok`, `diverged` and otherwise without a result
    (`no_result`: out of time or memory); `not_tried` (skipped or failed: no try, and the budgets are then not equal);
    `own_score` of the study's settings and `best_score` of those taken (NaN where there is none; the study's
    `tuning.metric`); `final_score` of those taken (NaN without finals) and `final_failed`, how many of their runs in
    the finals had no finite end; `best_number` (0 = the study's settings); `settings` (dict of those tuned); `at_edge`
    (tuned settings within 2 % of an end of their range on its scale: the range may be too narrow); `seconds` (wall time
    of all its runs) and `share_of_seconds`.
    """
    tries = tuning_trials(records)
    larger = larger_is_better(records.study)
    sign = -1 if larger else 1
    best = best_tries(tries, larger).set_index(c.OPTIMIZER)
    spent = tries["seconds"] + tries["final_seconds"]
    total = float(spent.sum())
    spaces = records.study["tuning"].get("spaces") or {}
    rows: list[dict[str, Any]] = []
    for name, own in tries.groupby(c.OPTIMIZER, sort=False):
        method = str(name)
        tried = own[c.STATUS].isin(c.TRIED)
        default = own.loc[own["default"], "score"]
        share = float(spent[own.index].sum())
        row: dict[str, Any] = dict.fromkeys(_SUMMARY, None) | {
            c.OPTIMIZER: method,
            "tries": int(tried.sum()),
            "ok": int((own[c.STATUS] == "ok").sum()),
            "diverged": int((own[c.STATUS] == "diverged").sum()),
            "no_result": int((tried & ~own[c.STATUS].isin(("ok", "diverged"))).sum()),
            "not_tried": int((~tried).sum()),
            "own_score": float(default.iloc[0]) if len(default) else np.nan,
            "best_score": np.nan,
            "final_score": np.nan,
            "final_failed": 0,
            "seconds": share,
            "share_of_seconds": share / total if total else np.nan,
        }
        if method in best.index:
            found = best.loc[method]
            complete = json.loads(str(found[c.SETTINGS]))
            asked = {key: Axis(**axis) for key, axis in (spaces.get(method) or {}).items()}
            axes = space_of(method, asked).axes
            row |= {
                "best_score": found["score"],
                "final_score": found["final_score"],
                "final_failed": found["final_runs"] - found["final_finished"],
                "best_number": found["number"],
                c.SETTINGS: {key: complete[key] for key in axes},
                "at_edge": tuple(key for key, axis in axes.items() if _at_edge(axis, complete[key])),
            }
        rows.append(row)
    decided_by = "final_score" if (tries["final_runs"] > 0).any() else "best_score"
    rows.sort(key=lambda row: math.inf if math.isnan(row[decided_by]) else sign * row[decided_by])
    return pd.DataFrame(rows, columns=_SUMMARY)


def best_of_k_curves(records: Records) -> pd.DataFrame:
    """Return the best-of-k curve of every optimizer of a search: `optimizer`, the columns of `best_of_k`, `budget_s`.

    Over the drawn settings alone, as the study's own were not drawn; a diverged one counts as worst; a skipped or
    failed one is left out. `budget_s` is k times the mean wall time of a try, in seconds.
    """
    tries = tuning_trials(records)
    larger = larger_is_better(records.study)
    drawn = tries[~tries["default"] & tries[c.STATUS].isin(c.TRIED)]
    curves = []
    for name, own in drawn.groupby(c.OPTIMIZER, sort=False):
        values = own["score"].fillna(-np.inf if larger else np.inf)
        curve = best_of_k(values.tolist(), larger_is_better=larger)
        curve.insert(0, c.OPTIMIZER, str(name))
        curve["budget_s"] = curve["k"] * float(own["seconds"].mean())
        curves.append(curve)
    return c.joined(curves, [c.OPTIMIZER, *COLUMNS, "budget_s"])


def _at_edge(axis: Axis, value: float) -> bool:
    """Return whether `value` lies beyond, or within 2 % of, an end of the axis on its scale."""
    low, high, here = (_on_scale(axis.scale, float(x)) for x in (axis.low, axis.high, value))
    return not _EDGE < (here - low) / (high - low) < 1 - _EDGE


def _on_scale(scale: str, value: float) -> float:
    if scale == "log":
        return math.log(value) if value > 0 else -math.inf
    if scale == "log-complement":
        return -math.log1p(-value) if value < 1 else math.inf
    return value
