"""A study on a Dask cluster: the same numbers as on this machine, whatever becomes of the workers."""

import dataclasses

import pytest

from tests.studies.recorder import Recorder
from tests.studies.test_run import curves
from tngd_bench.studies.reading import LoadedStudy, make_study
from tngd_bench.studies.records import read_records
from tngd_bench.studies.run import run_study

distributed = pytest.importorskip("distributed")


@pytest.fixture
def clustered(table):
    """The table's study on a cluster of two local processes."""
    table["cost"][0] |= {"parameters": [1000], "processes": 2}
    table["execution"]["engine"] = "dask"
    table["cluster"] = {"kind": "local", "machines": 2, "cores": 1}
    return table


def test_a_cluster_gives_the_same_deterministic_columns_as_this_machine(clustered, tmp_path):
    audience = Recorder()
    run_study(LoadedStudy(make_study(clustered), "shipped"), tmp_path / "cluster", audience)
    here = {**clustered, "execution": {**clustered["execution"], "engine": "local"}}
    run_study(LoadedStudy(make_study(here), "shipped"), tmp_path / "here", Recorder())
    assert curves(tmp_path / "cluster").equals(curves(tmp_path / "here"))
    there, local = (read_records(tmp_path / name) for name in ("cluster", "here"))
    columns = ["key", "kind", "optimizer", "status", "flops", "solver_iterations"]
    assert there.trials[columns].equals(local.trials[columns])
    assert set(there.trials["status"]) == {"ok"}
