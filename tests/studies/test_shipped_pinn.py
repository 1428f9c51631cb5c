"""The shipped study of a physics-informed network: every optimizer that applies, tuned by one budget."""

import pytest

from tests.studies.recorder import Recorder
from tngd_bench.optimizers import registry
from tngd_bench.studies.file.optimizer_label import read_label
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records

SAME_STEPS = {"ngd", "ngd-woodbury"}
"""In exact arithmetic those of NGD (Gram): timed, and not trained."""
REGISTERED = set(registry.names()) - {"tkfac", "ngd-cg-device"}
"""These two have studies of their own, beyond-kfac and refinement."""


def test_all_optimizers_are_timed_and_all_but_those_of_the_same_steps_are_trained_with_settings_found():
    study = load_study("pinn").study
    (cost,), (training,) = study.cost, study.training
    assert {read_label(label).name for label in cost.optimizers} == REGISTERED
    trained = [label.removesuffix("[tuned]") for label in training.optimizers]
    assert set(trained) == REGISTERED - SAME_STEPS == set(study.tuned)
    assert all(label.endswith("[tuned]") for label in training.optimizers)
    assert training.parameters == cost.parameters[0]
    assert (training.batch_size,) == cost.batch_size
    assert study.execution.dtype == "float64"


@pytest.mark.slow(reason="some sixty processes")
def test_the_smoke_profile_runs_to_the_end(tmp_path):
    run_study(load_study("pinn", (), "smoke"), tmp_path, Recorder())
    records = read_records(tmp_path)
    assert set(records.trials["status"]) <= {"ok", "skipped"}
    assert records.curves["test_l2_error"].notna().any()
    assert (records.trials.query("kind == 'cost' and status == 'ok'")["flops"] > 0).all()
