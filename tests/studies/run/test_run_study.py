"""Whole runs of small studies: every trial once, resumed where it stopped, failures recorded as what they are."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.studies.recorder import Recorder, run_with_killer, study_text
from tngd_bench.optimizers.costs import PredictedCost
from tngd_bench.problems import registered_metrics
from tngd_bench.studies.errors import StoreError, StudyError
from tngd_bench.studies.file.reading import LoadedStudy, load_study, make_study
from tngd_bench.studies.run import local_engine
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store import run_spread
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS
from tngd_bench.studies.store.records import read_records

DETERMINISTIC = [
    "group",
    "optimizer",
    "seed",
    "sweep_value",
    "iteration",
    "loss",
    "train_loss",
    "test_accuracy",
]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smoke study, run once."""
    output = tmp_path_factory.mktemp("smoke")
    audience = Recorder()
    result = run_study(load_study("smoke"), output, audience, command="tngd-bench run smoke")
    return output, audience, result


def trained(table):
    """The study's training half, which is deterministic."""
    return LoadedStudy(make_study({**table, "cost": []}), "shipped")


def curves(output):
    return read_records(output).curves[DETERMINISTIC]


def test_every_trial_ends_once_and_is_stored(smoke):
    output, audience, result = smoke
    ended = [trial.describe() for trial, _ in audience.ended]
    assert sorted(ended) == sorted(trial.describe() for trial in audience.plan.trials.values())
    assert len(list((output / "store" / "trials").glob("*.json"))) == result.ran == len(ended)
    assert (result.resumed, result.ignored) == (0, {})


def test_records_have_the_columns_that_reports_read(smoke):
    records = read_records(smoke[0])
    metrics = dict.fromkeys((metric.column for metric in registered_metrics.curve_metrics()), "float64")
    for frame, columns in (
        (records.trials, TRIAL_COLUMNS),
        (records.costs, COST_COLUMNS),
        (records.curves, CURVE_COLUMNS | metrics),  # of every problem there is
    ):
        assert list(frame.columns) == list(columns)
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == columns
        assert len(frame)
    assert records.study["name"] == "smoke"
    assert records.study["command"] == "tngd-bench run smoke"
    assert records.environment["threads_cost"] == 1


def test_rows_hang_together_by_their_keys(smoke):
    records = read_records(smoke[0])
    assert records.trials["key"].is_unique
    assert set(records.costs["key"]) == set(records.trials.query("kind == 'cost' and status == 'ok'")["key"])
    assert set(records.curves["key"]) == set(
        records.trials.query("kind == 'training' and status == 'ok'")["key"]
    )
    for key in records.trials["key"]:
        file, number = key.split("#")
        document = json.loads((smoke[0] / "store" / "trials" / f"{file}.json").read_text())
        entry = document["content"]["entries"][int(number)]
        row = records.trials.set_index("key").loc[key]
        assert (entry["optimizer"], entry["parameters"]) == (row["optimizer"], row["parameters"])


def test_dense_is_skipped_where_it_cannot_fit_and_says_why(smoke):
    trials = read_records(smoke[0]).trials
    large = trials[(trials["kind"] == "cost") & (trials["parameters_requested"] == 10_000)]
    dense = large[large["optimizer"] == "ngd"]
    assert set(dense["status"]) == {"skipped"}
    assert dense["reason"].str.contains("FLOP").all()
    assert (dense["estimate_seconds"] > 0.5).all()
    assert set(large[large["optimizer"] != "ngd"]["status"]) == {"ok"}


def test_operations_and_memory_stand_on_the_cost_rows(smoke):
    trials = read_records(smoke[0]).trials
    finished = trials.query("kind == 'cost' and status == 'ok'")
    assert (finished["flops"] > 0).all()
    assert finished.groupby(["parameters", "optimizer"])["flops"].nunique().eq(1).all()
    if Path("/proc/self/clear_refs").exists():
        dense = finished.query("optimizer == 'ngd'").iloc[0]
        assert dense["peak_bytes"] > 4 * dense["parameters"] ** 2
    assert trials.query("kind == 'training'")["flops"].isna().all()


def test_totals_add_measured_digital_and_modelled_device_time(smoke):
    costs = read_records(smoke[0]).costs
    parts = costs[["digital_s", "write_s", "relax_s", "read_s"]].sum(axis=1)
    assert np.allclose(costs["total_s"], parts, rtol=1e-12)
    digital = costs[costs["device"].isna()]
    assert (digital["total_s"] == digital["step_s"]).all()
    analog = costs[costs["device"] == "paper"]
    assert (analog[["write_s", "relax_s", "read_s"]] > 0).all().all()


def test_optimizers_and_sweep_values_start_from_the_same_point(smoke):
    first = read_records(smoke[0]).curves.query("iteration == 0")
    assert first.groupby(["group", "seed"])["train_loss"].nunique().eq(1).all()
    assert first.groupby(["group"])["train_loss"].nunique().eq(2).all()


def test_a_second_run_repeats_nothing_and_fresh_repeats_all(table, tmp_path, recorder, cache):
    first = run_study(trained(table), tmp_path, recorder)
    before = curves(tmp_path)
    environment = first.store.environment()
    left = {"value": 0.02, "runs": 3, "measured": "2026-11-29"}  # by null runs, since the first run
    run_spread.keep(environment, left)
    again = run_study(trained(table), tmp_path, recorder)
    assert (first.ran, first.resumed) == (len(first.plan.trials), 0)
    assert (again.ran, again.resumed) == (0, first.ran)
    assert again.store.environment() == environment | {"run_spread": left}
    assert again.store.study()["numbers_changed"] == []
    # as if the store's results had been those of one seed, looked at before the second
    held = again.store.study()
    held["training"][0]["seeds"] = 1
    again.store.write_study(held)
    (told,) = run_study(trained(table), tmp_path, recorder).store.study()["numbers_changed"]
    assert told["numbers"] == [1, 2]
    anew = run_study(trained(table), tmp_path, recorder, fresh=True)
    assert (anew.ran, anew.resumed) == (first.ran, 0)
    assert anew.store.study()["numbers_changed"] == []
    assert curves(tmp_path).equals(before)


def test_workers_side_by_side_change_no_deterministic_number(table, tmp_path, recorder):
    for workers in (1, 2):
        table["execution"]["workers"] = workers
        run_study(trained(table), tmp_path / str(workers), recorder)
    assert curves(tmp_path / "1").equals(curves(tmp_path / "2"))


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        signal.SIGINT,
        pytest.param(
            signal.SIGTERM, marks=pytest.mark.slow(reason="a third way to end a run, some seconds more")
        ),
    ],
    ids=lambda s: s.name,
)
def test_a_stopped_run_goes_on_and_nothing_is_lost_or_run_twice(table, tmp_path, recorder, how):
    study = tmp_path / "tiny.toml"
    study.write_text(study_text({**table, "cost": []}))
    output = tmp_path / "out"
    code = "import sys; from tngd_bench.cli.main import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", str(study), "--output", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("[2/"):
            # Ctrl-C on a terminal reaches the workers too; a killed parent leaves them alone.
            send = os.killpg if how == signal.SIGINT else os.kill
            send(process.pid, how)
            break
    _, errors = process.communicate(timeout=60)
    if how == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 2
        assert len(errors.splitlines()) == 1, errors
        assert "interrupted" in errors
        assert "to go on" in errors
    kept = {path.stem: path.stat().st_mtime_ns for path in (output / "store" / "trials").glob("*.json")}
    assert len(kept) >= 2
    result = run_study(load_study(str(study)), output, recorder)
    assert set(kept) <= set(result.plan.trials)
    assert result.resumed == len(kept)
    assert result.ran == len(result.plan.trials) - len(kept) > 0
    after = {path.stem: path.stat().st_mtime_ns for path in (output / "store" / "trials").glob("*.json")}
    assert {key: after[key] for key in kept} == kept
    run_study(load_study(str(study)), tmp_path / "undisturbed", recorder)
    assert curves(output).equals(curves(tmp_path / "undisturbed"))


def test_no_worker_outlives_a_killed_run(table, tmp_path):
    table["training"][0] |= {"epochs": 3000, "seeds": 1}
    study = tmp_path / "long.toml"
    study.write_text(study_text({**table, "cost": []}))
    code = "import sys; from tngd_bench.cli.main import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", str(study), "--output", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    for line in process.stdout:
        if "trials" in line:
            break
    time.sleep(1.0)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while (left := _in_session(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def _in_session(session):
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


def test_a_diverging_run_is_diverged_and_has_its_curve(table, tmp_path, recorder):
    table["training"] = [{**table["training"][0], "optimizers": ["sgd[lr=1e9]"], "seeds": 1, "epochs": 3}]
    run_study(trained(table), tmp_path, recorder)
    records = read_records(tmp_path)
    (trial,) = records.trials.itertuples()
    assert trial.status == "diverged"
    assert "not finite" in trial.reason
    assert 0 < records.curves["iteration"].max() < 6
    assert run_study(trained(table), tmp_path, recorder).resumed == 1


def test_a_trial_beyond_its_limit_is_killed_and_timed_out(table, tmp_path, recorder, monkeypatch):
    monkeypatch.setattr(PredictedCost, "seconds", lambda *_: 0.0)  # or the plan would skip it
    table["execution"]["trial_seconds_limit"] = 1.0
    section = {**table["training"][0], "seeds": 1, "optimizers": ["sgd"]}
    table["training"] = [{**section, "name": "long", "epochs": 100_000}, {**section, "name": "short"}]
    run_study(trained(table), tmp_path, recorder)
    trials = read_records(tmp_path).trials.set_index("group")
    assert trials.loc["long", "status"] == "timed-out"
    assert "stopped after 1 s" in trials.loc["long", "reason"]
    assert trials.loc["short", "status"] == "ok"


def test_an_optimizer_that_takes_its_process_down_is_failed_and_the_others_are_timed(
    table, tmp_path, recorder, monkeypatch
):
    monkeypatch.setattr(local_engine, "run_in_worker", run_with_killer)
    table["cost"][0] |= {"parameters": [1000], "processes": 1}
    run_study(LoadedStudy(make_study({**table, "training": []}), "shipped"), tmp_path, recorder)
    trials = read_records(tmp_path).trials.set_index("optimizer")
    assert trials.loc["ngd", "status"] == "failed"
    assert "SIGKILL" in trials.loc["ngd", "reason"]
    assert list(trials.loc[["sgd", "tngd"], "status"]) == ["ok", "ok"]
    monkeypatch.undo()
    result = run_study(LoadedStudy(make_study({**table, "training": []}), "shipped"), tmp_path, recorder)
    assert result.ran >= 1  # what failed is tried again
    assert set(read_records(tmp_path).trials["status"]) == {"ok"}


def test_an_unreachable_output_is_refused_before_any_work(table, tmp_path, recorder):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="cannot be written"):
        run_study(trained(table), tmp_path / "file" / "out", recorder)
    assert recorder.prepared == []


def test_data_that_does_not_suffice_is_a_study_error_and_writes_nothing(table, tmp_path, recorder):
    table["training"][0]["train_size"] = 10**6
    with pytest.raises(StudyError, match="train_size"):
        run_study(trained(table), tmp_path / "out", recorder)
    assert not (tmp_path / "out").exists()


def test_a_store_of_another_study_is_not_overwritten(table, tmp_path, recorder):
    run_study(trained({**table, "training": table["training"][1:]}), tmp_path, recorder)
    with pytest.raises(StoreError, match="holds the study 'tiny', not 'other'"):
        run_study(trained({**table, "name": "other"}), tmp_path, recorder)


@pytest.mark.parametrize("name", ["study.json", "environment.json"])
def test_a_torn_description_is_set_aside_and_no_trial_is_lost(table, tmp_path, recorder, name):
    study = LoadedStudy(make_study({**table, "cost": []}), "shipped")
    run_study(study, tmp_path, recorder)
    path = tmp_path / "store" / name
    path.write_text(path.read_text()[:60])
    again = run_study(study, tmp_path, Recorder())
    assert (again.ran, again.resumed) == (0, len(recorder.ended))
    assert f"moved to set-aside/{name}" in again.ignored[name]
    assert read_records(tmp_path).study["name"] == "tiny"


def test_timings_of_another_machine_are_not_mixed_in(table, tmp_path, recorder, monkeypatch):
    small = trained({**table, "training": table["training"][1:]})
    run_study(small, tmp_path, recorder)
    monkeypatch.setattr(
        local_engine,
        "describe_environment",
        lambda processor: {"cpu": "another", "threads": 1, "torch": "2.0"},
    )
    with pytest.raises(StoreError, match=r"was measured with cpu = .* here it is 'another'"):
        run_study(small, tmp_path, recorder)
