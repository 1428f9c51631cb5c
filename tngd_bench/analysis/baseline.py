"""What a check compares with: a file of metrics with the history of its changes, or a results store."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tngd_bench.analysis.metric_kinds import make_metric
from tngd_bench.analysis.regression import Kind, Metric
from tngd_bench.studies.errors import StoreError

SCHEMA = 1
_MACHINE = ("cpu", "cores", "threads")


class BaselineError(StoreError):
    """A baseline that is missing, damaged or not comparable; nothing was compared."""


@dataclass(frozen=True)
class Baseline:
    """Metrics by name, the `environment` they were measured in, and why they changed over time, oldest first."""

    metrics: Mapping[str, Metric]
    environment: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...] = field(default=())


def incomparable(kind: Kind, base: Mapping[str, Any], head: Mapping[str, Any]) -> str | None:
    """Return why figures of `kind` from two environments cannot be compared, or None.

    Exact ones need the same torch, which decides how an operation is dispatched; times the same machine too. What one
    of the environments does not state is taken to agree only for exact figures.
    """
    before, after = _public(base.get("torch")), _public(head.get("torch"))
    if before != after:
        return f"other torch: {before} there, {after} here"
    if kind == "time":
        for name in _MACHINE:
            if base.get(name) != head.get(name) or base.get(name) is None:
                return f"other machine: {name} = {base.get(name)!r} there, {head.get(name)!r} here"
    return None


def _public(version: object) -> str:
    return str(version).partition("+")[0]


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in a file; BaselineError when there is none or it is not one."""
    if not path.is_file():
        raise BaselineError(
            f"baseline {path} does not exist; `tngd-bench baseline update --file {path} --reason WHY` makes it"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise BaselineError(f"baseline {path} has schema {content['schema']!r}, not {SCHEMA}")
        metrics = [_metric(row) for row in content["metrics"]]
        return Baseline(
            {metric.name: metric for metric in metrics}, content["environment"], tuple(content["history"])
        )
    except OSError as error:
        raise BaselineError(f"baseline {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(
            f"{path} is no baseline: {type(error).__name__}: {error}; accepted: a file that "
            "`tngd-bench baseline update` wrote, a folder with a store, or a git revision"
        ) from None


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline, a metric a line, so that a change of one is a change of one line."""
    rows = [
        json.dumps(_row(metric), ensure_ascii=False, allow_nan=False) for metric in baseline.metrics.values()
    ]
    history = [json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in baseline.history]
    environment = json.dumps(dict(baseline.environment), ensure_ascii=False)
    text = (
        f'{{"schema": {SCHEMA},\n "environment": {environment},\n "metrics": [\n  '
        + ",\n  ".join(rows)
        + '\n ],\n "history": [\n  '
        + ",\n  ".join(history)
        + "\n ]}\n"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BaselineError(f"baseline {path} cannot be written: {error.strerror or error}") from None


def updated(
    old: Baseline | None, new: Baseline, *, reason: str, date: str, revision: str | None
) -> Baseline | None:
    """Return the new baseline with the old one's history and an entry for this change; None if nothing changed.

    The entry lists every figure that changed as [before, after], null where there was or is none; the first lists
    none. ValueError for a reason without a word.
    """
    if not reason.strip():
        raise ValueError("reason must say why the baseline changes; it is kept in the file")
    before = new.metrics if old is None else old.metrics
    changed = {
        name: [_stated(before.get(name)), _stated(new.metrics.get(name))]
        for name in dict.fromkeys([*before, *new.metrics])
        if before.get(name) != new.metrics.get(name)
    }
    if old is not None and not changed and incomparable("exact", old.environment, new.environment) is None:
        return None
    entry = {"date": date, "revision": revision, "reason": reason.strip(), "changed": changed}
    return dataclasses.replace(new, history=(*(() if old is None else old.history), entry))


def _stated(metric: Metric | None) -> float | None:
    return metric.value if metric is not None and math.isfinite(metric.value) else None


def _row(metric: Metric) -> dict[str, Any]:
    values = [value if math.isfinite(value) else str(value) for value in metric.values]
    return {"name": metric.name, "values": values, "unit": metric.unit}


def _metric(row: Mapping[str, Any]) -> Metric:
    return make_metric(row["name"], [float(value) for value in row["values"]])
