"""Export of a store's cost trials as a pyperf suite: a benchmark per optimizer and size, a run per process."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tngd_bench.measure.environment import torch_blas
from tngd_bench.studies.errors import StoreError, StudyError
from tngd_bench.studies.store.records import Records
from tngd_bench.unwritable import refused_as

_CELL = ["group", "optimizer", "parameters", "batch_size", "outputs"]


def export_pyperf(records: Records, file: Path) -> int:
    """Write the measured step times into `file`, which `pyperf show|stats|hist|check|compare_to` read.

    Every process has as many values, the least of any: pyperf calls unequal sample sizes significant by themselves.
    Returns the number of benchmarks; StoreError where there is none.
    """
    try:
        from pyperf import Benchmark, BenchmarkSuite, Run
    except ImportError:
        raise StudyError("writing a pyperf suite needs pyperf: pip install 'tngd-bench[bench]'") from None
    common = pyperf_metadata(records.environment)
    benchmarks = []
    for _, rows in records.costs.groupby(_CELL, sort=False):
        cell = rows.iloc[0]
        where = f"N={cell['parameters']}, b={cell['batch_size']}, d={cell['outputs']}"
        metadata = common | {
            "name": f"{cell['group']}/{cell['optimizer']}/{where}",
            "unit": "second",
            "loops": 1,
            "problem": str(cell["problem"]),
        }
        processes = [part["step_s"].dropna().tolist() for _, part in rows.groupby("process", sort=True)]
        count = min(map(len, processes))
        runs = [
            Run(values[:count], metadata=metadata, collect_metadata=False) for values in processes if count
        ]
        if runs:
            benchmarks.append(Benchmark(runs))
    if not benchmarks:
        raise StoreError(f"the study {records.study.get('name')!r} holds no timed iteration")
    with refused_as(StoreError, file):
        BenchmarkSuite(benchmarks).dump(str(file), replace=True)
    return len(benchmarks)


def pyperf_metadata(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return an environment under pyperf's own names where it has one; what is not known is left out."""
    names = {
        "cpu": "cpu_model_name",
        "cores": "cpu_count",
        "platform": "platform",
        "python": "python_version",
        "affinity": "cpu_affinity",
        "torch": "torch",
        "torch_build": "torch_build",
        "dtype": "dtype",
        "git_revision": "commit_id",
        "started": "date",
        "version": "tngd_bench_version",
    }
    metadata = {name: environment.get(ours) for ours, name in names.items()}
    # what torch computes with; stores of older versions hold the libraries of other packages as "blas"
    metadata["blas"] = torch_blas(str(environment.get("torch_build"))) or environment.get("blas")
    metadata["threads"] = environment.get("threads_cost", environment.get("threads"))
    known = {name: value for name, value in metadata.items() if value is not None}
    return {
        name: value if isinstance(value, int | float) and math.isfinite(value) else str(value)
        for name, value in known.items()
    }
