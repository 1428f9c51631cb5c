"""A suite that pyperf itself reads, with the values of the records."""

import subprocess
import sys

import pyperf
import pytest

from tests.report.conftest import make_records
from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.store.export_pyperf import export_pyperf, pyperf_metadata


@pytest.fixture(scope="module")
def records():
    return make_records(sizes=(1_000, 10_000), optimizers=("sgd", "tngd"), training=False)


@pytest.fixture(scope="module")
def suite_file(records, tmp_path_factory):
    file = tmp_path_factory.mktemp("pyperf") / "suite.json"
    assert export_pyperf(records, file) == 4
    return file


def test_values_and_processes_are_those_of_the_records(records, suite_file):
    benchmark = pyperf.BenchmarkSuite.load(str(suite_file)).get_benchmark("cost/tngd/N=1000, b=32, d=10")
    costs = records.costs[(records.costs["optimizer"] == "tngd") & (records.costs["parameters"] == 1_000)]
    assert benchmark.get_nrun() == costs["process"].nunique()
    assert list(benchmark.get_values()) == list(costs["step_s"])


def test_every_process_has_as_many_values(records, tmp_path):
    costs = records.costs[~((records.costs["process"] == 1) & (records.costs["repetition"] > 3))]
    file = tmp_path / "suite.json"
    export_pyperf(
        type(records)(records.study, records.environment, records.trials, costs, records.curves), file
    )
    for benchmark in pyperf.BenchmarkSuite.load(str(file)):
        assert {len(run.values) for run in benchmark.get_runs()} == {4}


def test_the_environment_is_in_the_metadata(records):
    found = pyperf_metadata({**records.environment, "affinity": "0,1", "blas": "openblas", "threads_cost": 1})
    assert found["cpu_affinity"] == "0,1"
    assert found["threads"] == 1
    assert found["blas"] == "openblas"
    built = "C++ Version: 202002; Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605"
    assert pyperf_metadata({"torch_build": built, "blas": "openblas of numpy"})["blas"] == "mkl 2024.2"
    assert found["torch"] == records.environment["torch"]
    assert "commit_id" not in found  # not known, hence not stated


@pytest.mark.parametrize(
    "command", [["show"], ["stats"], ["hist"], ["check"], ["metadata"], ["compare_to"]], ids=lambda c: c[0]
)
def test_pyperf_reads_it(command, suite_file):
    files = [suite_file] * (2 if command == ["compare_to"] else 1)
    done = subprocess.run(
        [sys.executable, "-m", "pyperf", *command, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cost/tngd" in done.stdout or command == ["metadata"]


def test_nothing_timed_is_refused(records, tmp_path):
    empty = type(records)(
        records.study, records.environment, records.trials, records.costs.iloc[:0], records.curves
    )
    with pytest.raises(StoreError, match="no timed iteration"):
        export_pyperf(empty, tmp_path / "suite.json")
