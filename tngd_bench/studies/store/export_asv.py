"""Export of a store to asv: one run of a study, many metrics, kept under the commit it was measured at."""

import hashlib
import itertools
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from tngd_bench.measure.git import GitError, run_git
from tngd_bench.studies.errors import StoreError, StudyError
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records
from tngd_bench.unwritable import refused_as

VERSION = "1"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CELL = ("optimizer", "parameters", "batch_size", "outputs")
_RUN = (*_CELL[:3], "sweep_parameter", "sweep_value", "sweep_parameter_2", "sweep_value_2")
Series = dict[tuple[Any, ...], list[float]]
"""Samples by the values of a metric's parameters."""


class _Metric(NamedTuple):
    """A benchmark of asv for each section: a column of one of the frames of `_frames`, by `parameters`."""

    name: str
    frame: str
    column: str
    unit: str
    description: str
    parameters: tuple[str, ...] = _CELL


_METRICS = (
    _Metric("step_time", "iterations", "step_s", "seconds", "Seconds of one step, simulation included."),
    _Metric("iteration_time", "iterations", "total_s", "seconds", "Measured plus modelled seconds."),
    _Metric("operations", "sizes", "flops", "FLOP", "Operations of one step, counted from shapes."),
    _Metric("peak_memory", "sizes", "peak_bytes", "bytes", "Peak memory of one step above that before it."),
    _Metric("final_train_loss", "runs", "train_loss", "loss", "Training loss at the end of a run.", _RUN),
)


def export_asv(
    records: Records, folder: Path, commit: str | None = None, machine: str | None = None
) -> tuple[Path, int]:
    """Write the records into `folder`, a results folder of asv; return the file and how many benchmarks it holds.

    Benchmarks are called study.NAME.SECTION.METRIC; times are samples, hence distributions to asv. What is in the
    folder stays, benchmarks of the same name apart. `commit` (40 hexadecimal digits) overrides the store's own,
    `machine` the name of the machine, which is that of the same processor in the folder where there is one.
    Raises StudyError where there is no commit to file the results under, StoreError where nothing can be exported.
    """
    try:
        from asv.machine import Machine
        from asv.results import Results
    except ImportError:
        raise StudyError("writing asv results needs asv: pip install 'tngd-bench[bench]'") from None
    revision = _commit(records, commit)
    benchmarks = {benchmark["name"]: (benchmark, series) for benchmark, series in _benchmarks(records)}
    if not benchmarks:
        raise StoreError(f"the study {records.study.get('name')!r} holds no result that asv could keep")
    described = _machine(records.environment, folder, machine)
    python = ".".join(str(records.environment.get("python", "")).split(".")[:2])
    torch = str(records.environment.get("torch", "")).partition("+")[0]
    when, made_with = _date(revision, records.environment), f"study-py{python}-torch{torch}"
    parameters = {**described, "python": python, "torch": torch}
    results = Results(parameters, {"torch": torch}, revision, when, python, made_with, {})
    for benchmark, series in benchmarks.values():
        results.add_result(benchmark, _result(benchmark, series), record_samples=True)
    place = folder / described["machine"]
    with refused_as(StoreError, folder):
        place.mkdir(parents=True, exist_ok=True)
        results.save(str(folder))
        if not (place / "machine.json").exists():
            _write_json(place / "machine.json", described, Machine.api_version)
        _merge_benchmarks(folder, {name: benchmark for name, (benchmark, _) in benchmarks.items()})
    return folder / str(results._filename), len(benchmarks)


def _frames(records: Records) -> dict[str, pd.DataFrame]:
    """Return timed iterations, sizes (once per cell of a section) and runs (their last evaluation), if finished."""
    finished = c.only(records.trials, status="ok")
    sizes = c.only(finished, kind="cost").drop_duplicates(["group", *_CELL])
    levels = c.completed(records.trials, c.SWEEP).set_index("key")[c.SWEEP].astype(object)
    for mark in ("", "_2"):  # words and flags are told apart by their labels alone
        value = levels[f"sweep_value{mark}"]
        levels[f"sweep_value{mark}"] = value.where(value.notna(), levels[f"sweep_label{mark}"])
    iterations, runs = (
        frame[frame["key"].isin(finished["key"])] for frame in (records.costs, records.curves)
    )
    runs = runs.dropna(subset=["train_loss"]).groupby("key", sort=False).tail(1)
    runs = runs.drop(columns=c.SWEEP, errors="ignore").join(levels, on="key")
    return {"iterations": iterations, "sizes": sizes, "runs": runs}


def _benchmarks(records: Records) -> list[tuple[dict[str, Any], Series]]:
    study = _own_word(str(records.study.get("name", "study")))
    frames = _frames(records)
    benchmarks = []
    for metric in _METRICS:
        for group, rows in frames[metric.frame].groupby("group", sort=False):
            series = _samples(rows, metric)
            if series:
                name = f"study.{study}.{_own_word(str(group))}.{metric.name}"
                benchmarks.append(_benchmark(name, metric, series))
    return benchmarks


def _samples(rows: pd.DataFrame, metric: _Metric) -> Series:
    series: Series = {}
    for row in rows.dropna(subset=[metric.column]).to_dict("records"):
        if math.isfinite(row[metric.column]):
            key = tuple(None if pd.isna(row[name]) else row[name] for name in metric.parameters)
            series.setdefault(key, []).append(float(row[metric.column]))
    return series


def _benchmark(name: str, metric: _Metric, series: Series) -> tuple[dict[str, Any], Series]:
    """Return asv's description of a benchmark, parameters that never vary left out, and its samples."""
    levels = [list(dict.fromkeys(values)) for values in zip(*series, strict=True)]
    kept = [place for place, values in enumerate(levels) if len(values) > 1] or [0]
    shortened = {tuple(repr(key[place]) for place in kept): values for key, values in series.items()}
    benchmark = {
        "code": metric.description,
        "name": name,
        "param_names": [metric.parameters[place] for place in kept],
        "params": [[repr(value) for value in levels[place]] for place in kept],
        "timeout": 60.0,
        "type": "track",
        "unit": metric.unit,
        "version": VERSION,
    }
    return benchmark, shortened


def _result(benchmark: Mapping[str, Any], series: Series) -> Any:
    from asv.runner import BenchmarkResult

    cells = [series.get(cell) for cell in itertools.product(*benchmark["params"])]
    # one value is a number to asv, several are a distribution
    several = [values if values is not None and len(values) > 1 else None for values in cells]
    return BenchmarkResult(
        # NaN is how asv says "not applicable": skipped, or never asked for
        result=[math.nan if values is None else values[0] for values in cells],
        samples=several,
        number=[None if values is None else 1 for values in several],
        errcode=0,
        stderr="",
        profile=None,
    )


def _commit(records: Records, commit: str | None) -> str:
    recorded = records.environment.get("git_revision") if commit is None else commit
    if isinstance(recorded, str) and _COMMIT.fullmatch(recorded):
        return recorded
    if commit is not None:
        raise StudyError(
            f"commit must be 40 hexadecimal digits, not {commit!r}; `git rev-parse HEAD` prints them"
        )
    what = "from no git commit" if not recorded else f"from {recorded}, a changed tree"
    raise StudyError(
        f"the store was measured {what}, and asv files results by commit; name one with --commit"
    )


def _date(commit: str, environment: Mapping[str, Any]) -> int:
    """Return the commit's date as asv keeps it, in milliseconds; the run's own where git does not know the commit."""
    with suppress(GitError):
        shown = run_git(Path(__file__).parent, "show", "-s", "--format=%ct", commit)
        if shown.returncode == 0:
            return int(shown.stdout.split()[-1]) * 1000
    started = environment.get("started")
    if not isinstance(started, str):
        unknown = f"git does not know the commit {commit}, and the store does not say when it was measured"
        raise StudyError(unknown)
    return round(datetime.fromisoformat(started).timestamp() * 1000)


def _machine(environment: Mapping[str, Any], folder: Path, name: str | None) -> dict[str, Any]:
    """Return asv's description of the machine: that in the folder, so that no second series begins, or a new one.

    A store keeps no host name: what the folder has is found by `name` or by the processor, and a new one is named
    `name` or after the processor. StudyError where several machines of the folder have this processor.
    """
    cpu, cores = str(environment.get("cpu") or "unknown"), environment.get("cores")
    machines = _machines(folder)
    if name is not None and not re.fullmatch(r"[\w.-]+", name):
        raise StudyError(f"machine must be a word that can name a folder, not {name!r}")
    alike = [one for one in machines if (one.get("cpu") == cpu if name is None else one["machine"] == name)]
    if len(alike) > 1:
        alike = [one for one in alike if str(one.get("num_cpu")) == str(cores)] or alike
    if len(alike) > 1:
        names = ", ".join(sorted(str(one["machine"]) for one in alike))
        several = f"{folder} has several machines with the processor {cpu}"
        raise StudyError(f"{several}; name one with --machine: {names}")
    if alike:
        return alike[0]
    return {
        "machine": name or f"{_word(cpu)}-{cores}",
        "os": str(environment.get("platform", "")),
        "arch": "",
        "cpu": cpu,
        "num_cpu": str(cores),
        "ram": str(environment.get("memory_bytes", "")),
        "version": 1,
    }


def _machines(folder: Path) -> list[dict[str, Any]]:
    """Return asv's descriptions of the machines in a folder of results."""
    from asv.machine import Machine
    from asv.util import load_json

    return [
        {**load_json(str(file), Machine.api_version), "machine": file.parent.name}
        for file in sorted(folder.glob("*/machine.json"))
    ]


def _merge_benchmarks(folder: Path, new: Mapping[str, Any]) -> None:
    from asv.benchmarks import Benchmarks
    from asv.util import load_json

    path = folder / "benchmarks.json"
    kept = load_json(str(path), Benchmarks.api_version) if path.exists() else {}
    _write_json(path, {**kept, **new}, Benchmarks.api_version)


def _write_json(path: Path, content: Mapping[str, Any], version: int) -> None:
    from asv.util import write_json

    write_json(str(path), {**content, "version": version}, version)


def _word(text: object) -> str:
    return re.sub(r"\W+", "_", str(text)).strip("_")


def _own_word(name: str) -> str:
    """Return a word for a study's or section's name; all but single hyphens between words gets a digest.

    So no two names have the same word: a-b is a_b, and a_b and a.b are not.
    """
    if re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", name):
        return name.replace("-", "_")
    return f"{_word(name)}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
