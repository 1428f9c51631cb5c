"""Plug-ins that hang, hold memory, end or change their process: their trials say so, the others' are as ever."""

import sys

import pytest

from tests.studies.recorder import Recorder
from tngd_bench import plugin_files
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records

PLUGIN = """
import math, os, sys, time
import torch
from tngd_bench.optimizers.entry import OptimizerEntry, Setting
from tngd_bench.optimizers.settings import POSITIVE

class Plain:
    def __init__(self, model, loss, *, generator, lr):
        self.model, self.loss, self.lr, self.held, self.steps = model, loss, lr, [], 0

    def step(self, inputs, targets):
        loss = self.loss(self.model(inputs), targets)
        gradients = torch.autograd.grad(loss, list(self.model.parameters()))
        with torch.no_grad():
            for p, g in zip(self.model.parameters(), gradients):
                p -= self.lr * g
        self.steps += 1
        return self.deed(float(loss.detach()))

    def deed(self, value):
        return value

class Hangs(Plain):
    def deed(self, value):
        time.sleep(1000)

class Exits(Plain):
    def deed(self, value):
        sys.exit(3)

class Dies(Plain):
    def deed(self, value):
        os._exit(5)

class Leaks(Plain):
    def deed(self, value):
        self.held.append(torch.ones(60_000_000))
        return value

class Prints(Plain):
    def deed(self, value):
        print("NOISE" * 20)
        return value

class Threads(Plain):
    def deed(self, value):
        torch.set_num_threads(3)
        return value

class Seeds(Plain):
    def deed(self, value):
        torch.manual_seed(0)
        return value

class Nan(Plain):
    def deed(self, value):
        return math.nan

class Lies(Plain):
    pass

def cost(*, parameters, batch_size, **size):
    return 6.0 * batch_size * parameters, 4.0 * parameters

def small(*, parameters, batch_size, **size):
    return 1.0, 1.0

def entry(kind):
    name = kind.__name__.lower()
    stated = small if kind is Lies else cost
    return OptimizerEntry(
        name, name, name, "first-order", f"{__name__}:{kind.__name__}", {"lr": Setting(0.1, POSITIVE)}, cost=stated
    )

PLAIN, HANGS, EXITS, DIES, LEAKS = map(entry, (Plain, Hangs, Exits, Dies, Leaks))
PRINTS, THREADS, SEEDS, NAN, LIES = map(entry, (Prints, Threads, Seeds, Nan, Lies))
"""
STUDY = """
name = "bad"
title = "Bad"
plugins = ["mine.py"]

[execution]
workers = 2
trial_seconds_limit = 6.0
trial_memory_limit_gb = 2.0

[[cost]]
name = "size"
problem = "digits-mlp"
parameters = [1_000]
batch_size = [8]
optimizers = OPTIMIZERS
processes = 1
repetitions = 40

[[training]]
name = "digits"
problem = "digits-mlp"
parameters = 500
train_size = 640
test_size = 16
epochs = 2
evaluations = 1
seeds = 1
optimizers = OPTIMIZERS
"""
BAD = ("hangs", "exits", "dies", "leaks", "prints", "threads", "seeds", "nan", "lies")
TRAINED = {
    "hangs": ("timed-out", "stopped after 6 s"),
    "exits": ("failed", "exit code 3"),
    "dies": ("failed", "exit code 5"),
    "leaks": ("out-of-memory", "the limit of a trial is 2 GB"),
    "prints": ("ok", ""),
    "threads": ("failed", "torch's number of threads from 1 to 3"),
    "seeds": ("ok", ""),
    "nan": ("diverged", "the loss is not finite"),
    "lies": ("ok", ""),
}


@pytest.fixture(autouse=True)
def forgotten():
    before = list(sys.path)
    yield
    plugin_files.forget()
    sys.path[:] = before


def run(folder, optimizers):
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "bad.toml").write_text(STUDY.replace("OPTIMIZERS", repr(list(optimizers)).replace("'", '"')))
    run_study(load_study(str(folder / "bad.toml")), folder / f"out-{len(optimizers)}", Recorder())
    return read_records(folder / f"out-{len(optimizers)}")


def losses(records, optimizer):
    keys = records.trials.query("kind == 'training' and optimizer == @optimizer")["key"]
    curves = records.curves[records.curves["key"].isin(keys)]
    return curves[["iteration", "loss", "train_loss", "test_loss"]].fillna(-1.0).to_numpy().tolist()


@pytest.mark.slow(reason="waits for limits of time and memory")
def test_each_ends_with_its_reason_and_nobody_else_is_touched(tmp_path, capfd):
    records = run(tmp_path, ("sgd", "plain", *BAD))
    assert "NOISE" not in capfd.readouterr().out
    ended = {
        kind: {row.optimizer: (row.status, row.reason or "") for row in group.itertuples()}
        for kind, group in records.trials.groupby("kind")
    }
    for optimizer, (status, said) in TRAINED.items():
        found = ended["training"][optimizer]
        assert found[0] == status, (optimizer, found)
        assert said in found[1], (optimizer, found)
        timed = ended["cost"][optimizer]
        expected = {"lies": "ok", "nan": "diverged"}.get(optimizer, status)
        assert timed[0] == expected, (optimizer, timed)
    assert {ended[kind][name][0] for kind in ended for name in ("sgd", "plain")} == {"ok"}
    assert len(records.costs.query("optimizer == 'sgd'")) == 40
    alone = run(tmp_path, ("sgd", "plain"))
    for optimizer in ("sgd", "plain"):
        assert losses(records, optimizer) == losses(alone, optimizer)


@pytest.mark.slow(reason="runs a study")
def test_operations_that_a_cost_understates_are_told(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    text = STUDY.replace("OPTIMIZERS", '["plain", "lies"]')
    (tmp_path / "bad.toml").write_text(text)
    told = Recorder()
    run_study(load_study(str(tmp_path / "bad.toml")), tmp_path / "out", told)
    inspected = {
        entry["optimizer"]: entry
        for trial, entries in told.ended
        if trial.kind == "inspection"
        for entry in entries
    }
    assert inspected["plain"]["status"] == "ok"
    assert inspected["lies"]["status"] == "failed"
    assert "operations, and its cost states 1" in inspected["lies"]["reason"]
    assert inspected["lies"]["flops"] > 1e4
