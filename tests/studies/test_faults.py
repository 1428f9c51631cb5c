"""Processes killed at random moments of a study, which then goes on: nothing finished is lost or run twice.

Finished files are recognised by the time of their last change: a trial that is run again is written again.
"""

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.studies.recorder import Recorder, study_text
from tests.studies.run.test_run_study import curves
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.store.store import Store

ROOT = Path(__file__).parents[2]
KILLS = [
    pytest.param(1, id="1"),
    pytest.param(12, id="12", marks=pytest.mark.slow(reason="runs a study twelve times")),
]


@pytest.fixture
def many(table):
    """The table's training half, with trials enough to be killed in."""

    def study(seeds):
        table["training"][0] |= {"seeds": seeds, "epochs": 2}
        return {**table, "cost": []}

    return study


@pytest.fixture
def chance(request):
    """The test's own random numbers: the same moments are tried each time."""
    return random.Random(request.node.name)


class Killer(threading.Thread):
    """Kills one of the processes that `find` returns, at random moments, so many times or until stopped."""

    def __init__(self, find, kills, chance, pause):
        super().__init__(daemon=True)
        self._find, self._wanted, self._chance, self._pause = find, kills, chance, pause
        self.kills, self._over = 0, threading.Event()

    def run(self):
        while self.kills < self._wanted and not self._over.wait(self._chance.uniform(0, self._pause)):
            victims = self._find()
            if victims:
                self.kills += _kill(self._chance.choice(victims))

    def stop(self):
        self._over.set()
        self.join()


class Hunted(Recorder):
    """An audience that lets a killer loose once the study is planned, and counts what ended how often."""

    def __init__(self, killer):
        super().__init__()
        self.killer = killer

    def planned(self, plan, pending):
        super().planned(plan, pending)
        self.killer.start()


def _kill(process):
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return 0
    return 1


def _children(process, what):
    try:
        return [child for child in process.children() if any(what in word for word in child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def trial_processes():
    """The processes at work on trials, which our server has forked."""
    servers = _children(psutil.Process(), "forkserver")
    return [child for server in servers for child in _children(server, "forkserver")]


def dask_workers():
    """The processes that are Dask workers, which their nannies in this process have spawned."""
    return _children(psutil.Process(), "spawn_main")


def finished_files(output):
    """The finished trials with the time each was written."""
    store = Store(output / "store")
    return {
        key: (store.trials_folder / f"{key}.json").stat().st_mtime_ns for key in store.finished(_keys(store))
    }


def _keys(store):
    return (store.study() or {"trials": []})["trials"]


def check_whole(table, output, undisturbed):
    """Check that a study ended with all its trials, and with the numbers of one that nobody disturbed."""
    local = LoadedStudy(
        make_study({**table, "execution": {**table["execution"], "engine": "local"}}), "shipped"
    )
    before = finished_files(output)
    last = run_study(local, output, Recorder())
    assert last.ran == len(last.plan.trials) - len(before)
    assert before.items() <= finished_files(output).items()
    assert set(read_records(output).trials["status"]) == {"ok"}
    run_study(local, undisturbed, Recorder())
    assert curves(output).equals(curves(undisturbed))
    disturbed, calm = (read_records(place).trials for place in (output, undisturbed))
    columns = ["key", "kind", "optimizer", "status", "reason", "flops", "solver_iterations", "inspection_key"]
    assert disturbed[columns].equals(calm[columns])


@pytest.mark.slow(reason="runs a study of many trials and kills it again and again")
def test_a_killed_study_goes_on_from_what_it_had_finished(many, tmp_path, chance):
    table = many(seeds=30)
    study = tmp_path / "study.toml"
    study.write_text(study_text(table))
    code = f"from tests.studies.recorder import run_and_tell; run_and_tell({str(study)!r}, sys.argv[1])"
    kills, round_number = 0, 0
    while kills < 12:
        round_number += 1
        output = tmp_path / f"out-{round_number}"
        seen, ended = {}, False
        while not ended:
            process = subprocess.Popen(
                [sys.executable, "-c", f"import sys; {code}", str(output)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout.readline().startswith("planned")
            time.sleep(chance.uniform(0, 2.0))
            process.kill()
            told = process.stdout.read()
            ended = "whole" in told
            process.wait()
            kills += process.returncode == -signal.SIGKILL
            now = finished_files(output)
            assert seen.items() <= now.items(), "a finished trial is gone, or was run again"
            assert len(now) - len(seen) >= told.count("finished"), (
                "a trial told to be finished is not in the store"
            )
            seen = now
            ended = ended or kills >= 12
        check_whole(table, output, tmp_path / "undisturbed")


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_worker_costs_its_own_trial_only(many, tmp_path, chance, kills):
    table = many(seeds=6 if kills == 1 else 80)
    killer = Killer(trial_processes, kills, chance, pause=0.1 if kills == 1 else 1.0)
    audience = Hunted(killer)
    result = run_study(LoadedStudy(make_study(table), "shipped"), tmp_path / "out", audience)
    killer.stop()
    assert killer.kills == kills
    ended = Counter(trial.describe() for trial, _ in audience.ended)
    assert set(ended.values()) == {1}
    assert len(ended) == len(result.plan.trials)
    failed = [entry for _, entries in audience.ended for entry in entries if entry["status"] == "failed"]
    assert len(failed) <= kills
    assert all("SIGKILL" in entry["reason"] for entry in failed)
    check_whole(table, tmp_path / "out", tmp_path / "undisturbed")


@pytest.mark.parametrize("kills", KILLS)
def test_the_trials_of_a_killed_dask_worker_are_run_by_another(many, tmp_path, chance, kills):
    pytest.importorskip("distributed")
    table = many(seeds=3 if kills == 1 else 60)
    timed = {"name": "size", "problem": "digits-mlp", "parameters": [1000], "optimizers": ["sgd", "tngd"]}
    table["cost"] = [{**timed, "processes": 1, "repetitions": 3, "seconds_limit": 0.1}]
    table["execution"]["engine"] = "dask"
    table["cluster"] = {"kind": "local", "machines": 2, "cores": 1}
    killer = Killer(dask_workers, kills, chance, pause=0.5 if kills == 1 else 4.0)
    audience = Hunted(killer)
    result = run_study(LoadedStudy(make_study(table), "shipped"), tmp_path / "out", audience)
    killer.stop()
    assert killer.kills == kills
    ended = Counter(trial.describe() for trial, _ in audience.ended)
    assert set(ended.values()) == {1}
    assert len(ended) == len(result.plan.trials)
    if kills == 1:
        assert set(read_records(tmp_path / "out").trials["status"]) == {"ok"}, (
            "Dask itself sends it elsewhere"
        )
    check_whole(table, tmp_path / "out", tmp_path / "undisturbed")


def test_a_scheduler_that_is_not_there_is_told_in_one_line(many, tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed")
    from tngd_bench.cli.main import run as command_line
    from tngd_bench.studies.run import clusters

    monkeypatch.setattr(clusters, "_CONNECT_S", 0.5)

    study = tmp_path / "study.toml"
    study.write_text(study_text(many(1)))
    arguments = ["run", str(study), "--output", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    assert command_line(arguments) == 3
    assert "the Dask scheduler at tcp://127.0.0.1:9 cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
