"""A study on a GPU: how it is planned and keyed, and that it is refused where there is none."""

import dataclasses
import hashlib
import json

import pytest
import torch

from tngd_bench import __version__
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.plan.data_requests import data_requests
from tngd_bench.studies.plan.inputs import LoadedSize, MachineLimits
from tngd_bench.studies.plan.make_plan import make_plan
from tngd_bench.studies.run.machine import measure_machine
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.environment import difference

GPU = MachineLimits(1e13, 1e13, 4e9, "a CPU", "2.11", cores=16, gpu="a GPU", gpu_memory_bytes=8e10)
HOST = dataclasses.replace(GPU, gpu=None, gpu_memory_bytes=None)


def plan(table, machine, processor="cpu", **execution):
    given = {**table, "execution": {**table["execution"], "processor": processor, **execution}}
    study = make_study(given)
    sizes = {request: LoadedSize(1437, "c" * 64) for request in data_requests(study)}
    return make_plan(LoadedStudy(study, "shipped"), sizes, machine)


def test_keys_without_a_gpu_are_those_of_before_there_was_one(table):
    trial = next(iter(plan(table, HOST).trials.values()))
    setting = trial.setting
    identity = {
        "version": __version__,
        "data": "c" * 64,
        "machine": {"torch": "2.11", "cpu": "a CPU"},
        "kind": "cost",
        "section": "size",
        "setting": {
            "problem": "digits-mlp",
            "parameters": 1000,
            "outputs": 10,
            "batch_size": 4,
            "dtype": "float32",
            "seed_parts": setting.seed_parts,
            "options": (),
        },
        "request": vars(trial.data),
        "threads": 1,
        "limits": (0.5, 0.5),
        "optimizers": [
            {
                "label": c.config.label,
                "method": c.config.method,
                "settings": dict(c.config.settings),
            }
            for c in trial.candidates
        ],
        "process": 0,
        "repetitions": [2, 3],
        "seconds_limit": 0.1,
    }
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    key = trial.key_before_code("c" * 64, HOST.machine_class, __version__)
    assert key == hashlib.sha256(text.encode()).hexdigest()[: len(key)]


def test_no_trial_on_a_gpu_passes_for_one_on_the_cpu_or_on_another_gpu(table):
    other = dataclasses.replace(GPU, gpu="another GPU")
    keys = [*plan(table, HOST).trials, *plan(table, GPU, "cuda").trials, *plan(table, other, "cuda").trials]
    assert len(set(keys)) == len(keys)


def test_memory_is_the_gpu_s_and_one_worker_is_the_machine_s_choice(table):
    small = dataclasses.replace(GPU, memory_bytes=1e3)
    on_gpu = plan(table, small, "cuda", workers=0)
    assert all(trial.runnable for trial in on_gpu.trials.values())
    assert on_gpu.study.execution.workers == 1
    assert plan(table, HOST, workers=0).study.execution.workers == 16
    full = plan(table, dataclasses.replace(GPU, gpu_memory_bytes=1e3), "cuda")
    assert not any(trial.runnable for trial in full.trials.values())


def test_stores_of_two_gpus_are_told_apart_and_older_ones_are_not_refused():
    held = {"cpu": "a CPU", "torch": "2.11"}
    assert difference(held, dict(held)) is None
    assert difference(held | {"gpu": "a GPU"}, held | {"gpu": "b"}) == ("gpu", "a GPU", "b")
    assert difference(held, held | {"gpu": "b"}) == ("gpu", None, "b")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "CPU", ""])
def test_other_names_are_refused(table, name):
    with pytest.raises(StudyError, match=r"execution\.processor"):
        make_study({**table, "execution": {"processor": name}})


def test_without_such_a_gpu_nothing_is_started(table, tmp_path, recorder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    study = make_study({**table, "execution": {"processor": "cuda"}})
    wanted = r"^execution\.processor = 'cuda' is no processor that torch sees here.*accepted: cpu$"
    with pytest.raises(StudyError, match=wanted):
        run_study(LoadedStudy(study, "shipped"), tmp_path / "out", recorder)
    assert not (tmp_path / "out").exists()
    with pytest.raises(StudyError, match=wanted):
        measure_machine(study.execution)
