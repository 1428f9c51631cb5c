"""Order, limits and places of trials."""

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tests.studies.recorder import (
    Recorder,
    announce_and_hang,
    die,
    die_and_leave_a_child,
    glutton_with_child,
    run_with_glutton,
    tell_processors,
)
from tngd_bench.measure import cpu_affinity
from tngd_bench.measure.step_limit import Deadline
from tngd_bench.studies.errors import EngineError, StudyError
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.plan.trials import CostBlock
from tngd_bench.studies.run import local_engine, machine
from tngd_bench.studies.run.engine import Job, PreparedData, Work
from tngd_bench.studies.run.local_engine import LocalEngine
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.run.scheduler import rounds, trial_limits
from tngd_bench.studies.run.worker_process import (
    Limits,
    Worker,
    call_in_worker,
    interrupts_held,
    wait_for_any,
    worker_context,
)
from tngd_bench.studies.store.records import read_records
from tngd_bench.studies.store.store import Store


def half(table, kind):
    """The study's cost or training half."""
    return LoadedStudy(make_study({**table, {"cost": "training", "training": "cost"}[kind]: []}), "shipped")


def blocks(table, plan_of):
    trials = plan_of(table).trials
    return rounds(Job(key, trial) for key, trial in trials.items() if isinstance(trial, CostBlock))


def test_each_round_times_every_size_once_and_every_second_goes_backwards(table, plan_of):
    sizes = [1000, 2000, 4000, 8000]
    table["cost"][0] |= {"parameters": sizes, "processes": 5}
    other = {**table["cost"][0], "name": "other", "parameters": [3000], "processes": 2}
    table["cost"].append(other)
    ordered = [
        (job.trial.process, job.trial.section, job.trial.setting.parameters) for job in blocks(table, plan_of)
    ]
    for process, group in itertools.groupby(ordered, key=lambda item: item[0]):
        run = [item[1:] for item in group]
        forwards = [("size", n) for n in sizes] + [("other", 3000)] * (process < 2)
        assert run == (forwards[::-1] if process % 2 else forwards)


def test_a_slow_drift_of_the_machine_hits_all_sizes_alike(table, plan_of):
    table["cost"][0] |= {"parameters": [1000, 2000, 4000, 8000], "processes": 6}
    place = {}
    for number, job in enumerate(blocks(table, plan_of)):
        place.setdefault(job.trial.setting.parameters, []).append(number)
    # Equal mean places: times that grow linearly while the study runs grow by the same factor for every size.
    assert len({sum(numbers) for numbers in place.values()}) == 1


def test_processes_end_where_a_precision_is_reached_and_a_run_taken_up_again_does_the_same(table, tmp_path):
    table["cost"][0] |= {
        "parameters": [1000],
        "processes": 5,
        "precision": 50.0,
        "optimizers": ["sgd", "adam"],
    }
    study, heard = half(table, "cost"), Recorder()
    run_study(study, tmp_path, heard)
    records = read_records(tmp_path)
    assert set(records.trials["process"]) == {0, 1, 2}
    assert set(records.costs["precision"]) == {50.0}
    assert len([trial for trial, _ in heard.ended if isinstance(trial, CostBlock)]) == 5
    assert run_study(study, tmp_path, Recorder()).ran == 0
    Store.find(tmp_path).write_trial(list(heard.plan.trials)[4], {"entries": [{"status": "failed"}]})
    again = Recorder()
    run_study(study, tmp_path, again)
    assert [entries for _, entries in again.ended] == [[]], "what the stored blocks say is enough"


def test_a_trial_may_use_its_share_of_the_memory_or_what_the_study_says(table, plan_of):
    plan = plan_of(table, memory=8e9)
    assert trial_limits(plan, 1) == Limits(60, 0.9 * 8e9)
    assert trial_limits(plan, 2) == Limits(60, 0.45 * 8e9)
    table["execution"]["trial_memory_limit_gb"] = 1.5
    assert trial_limits(plan_of(table), 2) == Limits(60, 1.5e9)


def test_an_optimizer_beyond_the_memory_limit_is_stopped_and_the_others_are_timed(
    table, tmp_path, monkeypatch
):
    monkeypatch.setattr(local_engine, "run_in_worker", run_with_glutton)
    table["cost"][0] |= {"parameters": [1000], "processes": 1}
    table["execution"]["trial_memory_limit_gb"] = 1.0
    run_study(half(table, "cost"), tmp_path, Recorder())
    records = read_records(tmp_path)
    trials = records.trials.set_index("optimizer")
    assert trials.loc["ngd", "status"] == "out-of-memory"
    assert "GB of memory, the limit of a trial is 1 GB" in trials.loc["ngd", "reason"]
    figure = float(trials.loc["ngd", "reason"].split()[2])
    assert 1.0 <= figure < 2.5
    assert list(trials.loc[["sgd", "tngd"], "status"]) == ["ok", "ok"]
    assert set(records.costs["optimizer"]) == {"sgd", "tngd"}, "no time is made up for what did not finish"
    assert run_study(half(table, "cost"), tmp_path, Recorder()).ran == 0


def test_the_memory_of_processes_that_a_worker_starts_counts_and_they_end_with_it():
    worker = Worker(worker_context(), glutton_with_child, (), Limits(60, 1e9))
    children = []
    while not worker.poll():
        wait_for_any([worker])
        children = children or psutil.Process(worker.process_id).children()
    assert worker.ending == "out-of-memory"
    (child,) = children
    deadline = time.monotonic() + 5
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_worker_beyond_the_deadline_that_it_announced_is_stopped_with_its_reason():
    worker = Worker(worker_context(), announce_and_hang, (), Limits(300))
    while not worker.poll():
        wait_for_any([worker])
    assert (worker.ending, worker.turn) == ("slow-step", "yours"), "a deadline taken back ends nothing"
    assert worker.value == Deadline(0.05, "stopped after more than 7 s per iteration", 7.0)


def test_sizes_are_timed_in_ascending_order_whatever_the_study_lists(table, plan_of):
    table["cost"][0] |= {"parameters": [8000, 1000, 4000], "batch_size": [8, 4], "processes": 2}
    ordered = [(job.trial.process, job.trial.setting) for job in blocks(table, plan_of)]
    sizes = [(setting.batch_size, setting.parameters) for process, setting in ordered if process == 0]
    assert sizes == sorted(sizes)
    assert sizes[::-1] == [(each.batch_size, each.parameters) for process, each in ordered if process == 1]


def test_a_worker_is_gone_though_a_process_it_started_holds_its_pipe_open():
    worker = Worker(worker_context(), die_and_leave_a_child, (), Limits(20))
    looks = 0
    while not worker.poll():
        wait_for_any([worker])
        looks += 1
    child = psutil.Process(worker.turn)
    assert child.status() != psutil.STATUS_ZOMBIE, "it held the pipe open all the time"
    child.kill()
    assert (worker.ending, worker.value) == ("died", "its process ended with exit code 3 before the result")
    assert looks < 100, "nothing is waited for in a loop that does not wait"


class Refusing(Recorder):
    """An audience that ends the run where the second trial would start."""

    def started(self, trial):
        if self.begun:
            raise StudyError("no more")
        super().started(trial)


def test_what_ended_is_kept_where_the_next_trial_does_not_start(table, tmp_path):
    table["execution"]["workers"] = 1
    audience = Refusing()
    with pytest.raises(StudyError, match="no more"):
        run_study(half(table, "training"), tmp_path, audience)
    assert len(audience.ended) == 1
    assert len(read_records(tmp_path).trials) == 1


class AtOnce:
    """A worker that has ended by the first look."""

    value, turn, ending = None, None, None

    def __init__(self, context, target, args, limits):
        pass

    def poll(self):
        self.ending = "done"
        return True

    def stop(self):
        pass


def worked_off(monkeypatch, exclusive, on_start):
    """Work off three jobs, one at a time; return the list in which it is noted what started and what was written."""
    for name, value in (("Worker", AtOnce), ("worker_context", lambda: None), ("wait_for_any", id)):
        monkeypatch.setattr(local_engine, name, value)
    jobs = [Job(key, SimpleNamespace(name=key, threads=1, data=None)) for key in "abc"]
    execution, noted = Execution(workers=1, pinned=False), []

    def started(trial):
        noted.append(f"start {trial.name}")
        on_start(trial.name)

    data = {None: PreparedData(Path("none"), "")}
    with contextlib.suppress(KeyboardInterrupt):
        for job, _ in LocalEngine().run(Work(deque(jobs), data, Limits(1), execution, started, exclusive)):
            noted.append(f"write {job.key}")
    return noted


def test_the_next_trial_starts_while_results_are_written_but_no_timed_one(monkeypatch):
    assert worked_off(monkeypatch, True, id) == [
        f"{what} {job}" for job in "abc" for what in ("start", "write")
    ]
    beside = worked_off(monkeypatch, False, id)
    assert beside == ["start a", "start b", "write a", "start c", "write b", "write c"]


def test_an_interrupt_while_the_next_trial_starts_loses_no_result(monkeypatch):
    def interrupted(name):
        if name == "b":
            os.kill(os.getpid(), signal.SIGINT)

    assert worked_off(monkeypatch, False, interrupted) == ["start a", "start b", "write a"]


def placed(table, kind, tmp_path):
    run_study(half(table, kind), tmp_path, Recorder())
    return [json.loads(reason) for reason in read_records(tmp_path).trials["reason"]]


@pytest.mark.skipif(
    not cpu_affinity.can_bind() or len(cpu_affinity.usable_processors()) < 2,
    reason="there are no two processors to bind to",
)
def test_processes_are_bound_to_processors_of_their_own(table, tmp_path, monkeypatch):
    monkeypatch.setattr(local_engine, "run_in_worker", tell_processors)
    usable = sorted(os.sched_getaffinity(0))
    table["training"] = [{**table["training"][0], "optimizers": ["sgd"], "seeds": 2}]
    found = placed(table, "training", tmp_path / "enough")
    assert all(len(place["bound"]) == 1 == place["threads"] for place in found)
    assert all(place["bound"] == place["asked"] for place in found)
    table["execution"]["pinned"] = False
    assert all(place["bound"] == usable for place in placed(table, "training", tmp_path / "free"))
    table["execution"] |= {"pinned": True, "threads_training": len(usable) + 1}
    assert all(place["bound"] == usable for place in placed(table, "training", tmp_path / "few"))


def test_an_interrupt_waits_until_a_worker_is_written_down_whichever_thread_hears_of_it():
    steps = []
    with contextlib.suppress(KeyboardInterrupt):
        with interrupts_held():
            other = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGINT))
            other.start()
            other.join()
            time.sleep(0.05)
            steps.append("written down")
        steps.append("went on")
    assert steps == ["written down"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_speed_that_cannot_be_measured_is_told_in_one_line(monkeypatch):
    def killed(context, target, args):
        return call_in_worker(context, die, ())

    monkeypatch.setattr(machine, "call_in_worker", killed)
    with pytest.raises(EngineError, match=r"speed of this machine .*ended by SIGKILL.*; no trial was run"):
        machine.measure_machine(Execution())
