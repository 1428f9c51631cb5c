"""Checks of an engine."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tngd_bench.check.conformance.small_run import GROUND, NotApplicable, require
from tngd_bench.studies import engines

_STUDY: Mapping[str, Any] = {
    "name": "conformance",
    "title": "Conformance",
    "training": [
        {
            "name": "digits",
            "problem": GROUND,
            "parameters": 500,
            "train_size": 64,
            "test_size": 16,
            "epochs": 0.5,
            "evaluations": 1,
            "seeds": 2,
            "optimizers": ["sgd", "ngd-gram"],
        }
    ],
}


def engine_results(name: str) -> str:
    """A study on it gives the curves that it gives on this machine, bit for bit."""
    curves = []
    for engine in ("local", name):
        with tempfile.TemporaryDirectory(prefix="tngd-bench-") as folder:
            curves.append(_curves(engine, Path(folder)))
    require(curves[0] == curves[1], "the curves differ from those of the local engine")
    return f"{len(curves[0])} points"


def _curves(engine: str, folder: Path) -> list[tuple[object, ...]]:
    from tngd_bench.studies.file.reading import LoadedStudy, make_study
    from tngd_bench.studies.run.audience import PlainAudience
    from tngd_bench.studies.run.run_study import run_study
    from tngd_bench.studies.store.records import read_records

    if engine == "dask":
        raise NotApplicable("needs a cluster; a study's [cluster] table names one")
    study = make_study({**_STUDY, "execution": {"engine": engines.get(engine).name, "workers": 1}})
    run_study(LoadedStudy(study, "conformance"), folder, PlainAudience(lambda text: None))
    records = read_records(folder)
    require(
        set(records.trials["status"]) == {"ok"}, f"trials ended as {', '.join(set(records.trials['status']))}"
    )
    columns = ["optimizer", "seed", "iteration", "train_loss", "test_loss"]
    joined = records.curves.merge(
        records.trials[["key", "optimizer", "seed"]], on="key", suffixes=("", "_of_trial")
    )
    rows = joined[columns].fillna(-1.0).sort_values(columns)
    return list(rows.itertuples(index=False, name=None))
