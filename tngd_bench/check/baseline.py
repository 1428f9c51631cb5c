"""Baselines: the metrics that a check compares with, in a file with the history of their changes beside it.

A metric is a line of the file, sorted by name, with an empty line between two: branches that change different figures
merge without a conflict. The history is a file of its own, an entry a line, sorted by metric, oldest first. Each entry
has a digest of the metric as it became, its reason and the entry before, so a figure changed by hand is noticed.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tngd_bench.arguments import suggestion
from tngd_bench.atomic_write import write
from tngd_bench.check.metrics import PAGE_WORK, TIME, is_at_a_seed, is_known, is_time, make_metric
from tngd_bench.check.regression import CheckedMetric, Kind, compare
from tngd_bench.measure.seeds import unlike_seeds
from tngd_bench.studies.errors import StoreError
from tngd_bench.unwritable import refused_as

SCHEMA = 2
ALL = "*"
"""Name of entries of the first schema, which were of the whole file."""
STUDY = "study"
"""The entry of an environment with the name of the study, of metrics of a store."""
_MACHINE = ("cpu", "cores", "threads")
_HOW_TO_MEND = (
    "figures change by `tngd-bench baseline update --reason WHY` alone; after a merge, take either side of the file and"
    " of its history (`git checkout --ours -- FILES`), then update"
)


class BaselineError(StoreError):
    """A baseline that is missing, damaged or not comparable; nothing was compared."""


@dataclass(frozen=True)
class Baseline:
    """Metrics by name, the `environment` they were measured in, and why they changed: by metric, oldest first."""

    metrics: Mapping[str, CheckedMetric]
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


def unpaired(name: str, base: Mapping[str, Any], head: Mapping[str, Any]) -> str | None:
    """Return why the metric `name` of two stores is no pair at one seed, or None."""
    first, second = base.get(STUDY), head.get(STUDY)
    if not is_at_a_seed(name) or first is None or second is None:
        return None
    return unlike_seeds(first, second) or None


def _public(version: object) -> str:
    return str(version).partition("+")[0]


def history_file(path: Path) -> Path:
    """Return the file with the history of a baseline file: beside it."""
    return path.with_name(f"{path.stem}.history.jsonl")


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in a file; BaselineError when there is none, it is not one, or it was changed by hand."""
    if not path.is_file():
        how = f"`tngd-bench baseline update --file {path} --reason WHY` makes it"
        raise BaselineError(f"baseline {path} does not exist; {how}")
    text = _read(path)
    try:
        content = json.loads(text)
        schema = content["schema"]
        if schema not in (1, SCHEMA):
            newer = isinstance(schema, int) and schema > SCHEMA
            hint = "; a newer tngd-bench wrote it" if newer else ""
            raise BaselineError(f"baseline {path} has schema {schema!r}, not {SCHEMA}{hint}")
        environment = dict(content["environment"])
        metrics = [_metric(row) for row in content["metrics"]]
        if schema == 1 and history_file(path).is_file():
            beside = f"{history_file(path)} beside it has not"
            raise BaselineError(f"baseline {path} has schema 1, and {beside}; {_HOW_TO_MEND}")
        history = _first_history(content["history"]) if schema == 1 else _history(path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BaselineError(
            f"{path} is no baseline: {type(error).__name__}: {error}; accepted: a file that "
            "`tngd-bench baseline update` wrote, a folder with a store, or a git revision"
        ) from None
    found: dict[str, CheckedMetric] = {}
    for metric in metrics:
        if metric.name in found:
            raise BaselineError(f"{path} has {metric.name!r} twice; keep the line that its history leads to")
        found[metric.name] = metric
    baseline = Baseline(found, environment, history)
    if schema == SCHEMA:
        _verify(path, baseline)
    return baseline


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BaselineError(f"baseline {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BaselineError(f"{path} is no baseline: it is not text in UTF-8") from None
    if any(line.startswith(("<<<<<<< ", ">>>>>>> ", "=======")) for line in text.splitlines()):
        raise BaselineError(f"{path} has the marks of a merge that git left open; {_HOW_TO_MEND}")
    return text


def _history(path: Path) -> tuple[Mapping[str, Any], ...]:
    place = history_file(path)
    if not place.is_file():
        raise BaselineError(f"baseline {path} lacks its history, {place}: both files belong together")
    lines = enumerate(_read(place).splitlines(), 1)
    return tuple(_entry(line, f"{place}, line {number}") for number, line in lines if line.strip())


def _entry(line: str, where: str) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    named = ("name", "reason", "digest")
    if isinstance(entry, dict) and "to" in entry and all(isinstance(entry.get(key), str) for key in named):
        return entry
    raise BaselineError(f"{where} is no entry of a history; {_HOW_TO_MEND}")


def _first_history(entries: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the history of schema 1, which was of the file as a whole, under the name of all metrics."""
    told = {"name": ALL, "from": None, "to": None, "digest": ""}
    return tuple({key: entry.get(key) for key in ("date", "revision", "reason")} | told for entry in entries)


def last_entries(baseline: Baseline) -> dict[str, Mapping[str, Any]]:
    """Return the last entry of each metric's history."""
    return {entry["name"]: entry for entry in baseline.history if entry["name"] != ALL}


def _verify(path: Path, baseline: Baseline) -> None:
    last: dict[str, Mapping[str, Any]] = {}
    before: dict[str, str] = {}
    for entry in baseline.history:
        name = entry["name"]
        before[name] = last[name]["digest"] if name in last else ""
        last[name] = entry
    for name, metric in baseline.metrics.items():
        found = last.get(name)
        if found is None:
            raise BaselineError(f"{path}: {name} has no entry in {history_file(path)}; {_HOW_TO_MEND}")
        if found["digest"] != _digest(before[name], metric, found):
            raise BaselineError(
                f"{path}: {name} = {metric.value:g} is not what the last entry of its history leads to"
                f" ({found['to']}, {found.get('date')}); {_HOW_TO_MEND}"
            )
    for name, entry in last.items():
        if entry["to"] is not None and name not in baseline.metrics:
            raise BaselineError(
                f"{path}: {name} was taken out, and its history does not say so; {_HOW_TO_MEND}"
            )


def _digest(before: str, metric: CheckedMetric | None, entry: Mapping[str, Any]) -> str:
    told = (entry.get(key) for key in ("date", "revision", "reason"))
    content = [before, None if metric is None else _row(metric), *told]
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline and its history, a line each, sorted by metric."""
    ordered = sorted(baseline.metrics.values(), key=lambda metric: metric.name)
    rows = [json.dumps(_row(metric), ensure_ascii=False, allow_nan=False) for metric in ordered]
    environment = json.dumps(dict(baseline.environment), ensure_ascii=False)
    lines = ",\n\n  ".join(rows)
    text = f'{{"schema": {SCHEMA},\n "environment": {environment},\n "metrics": [\n  {lines}\n ]}}\n'
    # sorted() keeps the order of the entries of one metric
    history = sorted(baseline.history, key=lambda entry: str(entry["name"]))
    entries = [json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n" for entry in history]
    with refused_as(BaselineError, path, f"baseline {path}"):
        write(history_file(path), "".join(entries).encode())
        write(path, text.encode())


def refuse_unknown(names: Sequence[str], *baselines: Baseline | None) -> None:
    """Raise BaselineError for one of `names` that is no metric, step time or page of the `baselines`."""
    figures = dict.fromkeys(name for one in baselines if one is not None for name in one.metrics)
    steps = [f"{TIME}/{subject}" for subject in dict.fromkeys(name.partition("/")[2] for name in figures)]
    known = [*figures, *steps, PAGE_WORK]
    for name in names:
        if name not in known:
            near = (
                suggestion(name, known) or f"; accepted: a metric of `tngd-bench check`, such as {steps[0]!r}"
            )
            raise BaselineError(f"{name!r} is no metric{near}")


def updated(
    old: Baseline | None,
    new: Baseline,
    *,
    reason: str,
    date: str,
    revision: str | None,
    intended: Sequence[str] = (),
    processor: str | None = None,
) -> Baseline | None:
    """Return the new baseline with the old one's history and an entry for every change; None if nothing changed.

    A result that depends on rounding keeps its old figure while it is within tolerance: another processor changes no
    line, and small changes do not add up. `intended` names metrics whose change is meant though the file holds no
    figure of them: step times. `processor` is noted with each change, since some figures depend on it a little.
    ValueError for a reason without a word.
    """
    if not reason.strip():
        raise ValueError("reason must say why the baseline changes; it is kept in the file")
    held = {} if old is None else old.metrics
    metrics = {name: _kept(held.get(name), metric) for name, metric in new.metrics.items()}
    last = {} if old is None else last_entries(old)
    changed = [
        name
        for name in dict.fromkeys([*held, *metrics, *intended])
        if held.get(name) != metrics.get(name) or name in intended or (name in metrics and name not in last)
    ]
    if old is not None and not changed and incomparable("exact", old.environment, new.environment) is None:
        return None
    entries = []
    told = {"date": date, "revision": revision, "reason": reason.strip(), "processor": processor}
    for name in changed:
        entry = {"name": name, **told, "from": _stated(held.get(name)), "to": _stated(metrics.get(name))}
        before = last[name]["digest"] if name in last else ""
        entries.append({**entry, "digest": _digest(before, metrics.get(name), entry)})
    history = (*(() if old is None else old.history), *entries)
    return dataclasses.replace(new, metrics=metrics, history=history)


def _kept(old: CheckedMetric | None, new: CheckedMetric) -> CheckedMetric:
    if old is None or not new.two_sided or dataclasses.replace(old, values=new.values) != new:
        return new
    return old if compare(old, new).verdict == "ok" else new


def _stated(metric: CheckedMetric | None) -> float | str | None:
    if metric is None:
        return None
    return metric.value if math.isfinite(metric.value) else str(metric.value)


def _row(metric: CheckedMetric) -> dict[str, Any]:
    values = [value if math.isfinite(value) else str(value) for value in metric.values]
    row = {"name": metric.name, "values": values, "unit": metric.unit, "tolerance": metric.tolerance}
    if metric.slack:
        row["slack"] = metric.slack
    if metric.two_sided:
        row["two_sided"] = True
    return row


def _metric(row: Mapping[str, Any]) -> CheckedMetric:
    name, values = str(row["name"]), tuple(_number(value) for value in row["values"])
    if not values or any(math.isnan(value) for value in values):
        raise ValueError(f"{name} has no number")
    if "tolerance" not in row and is_known(name):
        return make_metric(name, values)
    tolerance, slack = (_number(row.get(key, 0.0)) for key in ("tolerance", "slack"))
    if not (0.0 <= tolerance < 1.0 and 0.0 <= slack < math.inf):
        raise ValueError(f"{name} allows any change: tolerance {tolerance:g}, slack {slack:g}")
    kind: Kind = "time" if is_time(name) else "exact"
    two_sided = bool(row.get("two_sided", False))
    return CheckedMetric(name, str(row.get("unit", "")), kind, values, tolerance, slack, two_sided)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is no number")
    return float(value)
