"""An optimizer in two files of an outside package is everywhere that ours are."""

import dataclasses
import math
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tngd_bench import plugins
from tngd_bench.analysis import setting_names
from tngd_bench.analysis.cost.counts import Counts
from tngd_bench.analysis.cost.rates import calibrate, uncounted
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.cli.predict.text import as_text
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.training import train
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.costs import predicted_cost
from tngd_bench.optimizers.roofline import predict
from tngd_bench.optimizers.roofline_table import as_table
from tngd_bench.problems import registry as problems
from tngd_bench.report.document.palette import marks, palette
from tngd_bench.spu.device import Device
from tngd_bench.studies.file.schema import CostSection
from tngd_bench.studies.plan.duration_model import TURN_START_S, DurationModel
from tngd_bench.studies.tuning.spaces import space_of

ENTRY = """
from tngd_bench.optimizers.entry import OptimizerEntry, SearchRange, Setting, Style
from tngd_bench.optimizers.settings import COUNT, NATURAL, POSITIVE


def cost(*, parameters, rows, batch_size, outputs, layers):
    return 6.0 * batch_size * parameters + 1e3 * rows * rows, 5.0 * parameters


ENTRY = OptimizerEntry(
    "toy",
    "Toy",
    "the sign of the gradient, damped",
    "natural-gradient",
    "toy_optimizer:Toy",
    {
        **NATURAL,
        "boost": Setting(1.0, POSITIVE, SearchRange(0.5, 2.0, "a factor of two either way", "linear")),
        "every": Setting(4, COUNT, title="steps of a cycle"),
    },
    cost=cost,
    cycle=lambda settings: settings["every"],
    style=Style("#123456", "#abcdef", "h"),
)
"""
OPTIMIZER = """
import torch


class Toy:
    def __init__(self, model, loss, *, generator, lr, momentum, damping, boost, every):
        self.model, self.loss, self.rate, self.cycle = model, loss, lr * boost, every

    def step(self, inputs, targets):
        loss = self.loss(self.model(inputs), targets)
        gradients = torch.autograd.grad(loss, list(self.model.parameters()))
        with torch.no_grad():
            for p, gradient in zip(self.model.parameters(), gradients):
                p -= 0.1 * self.rate * gradient.sign()
        return float(loss.detach())
"""
SIZE = {"parameters": 1000, "rows": 160, "batch_size": 16, "outputs": 10}


def install(folder):
    """Write the package as an installation would."""
    (folder / "toy_entry.py").write_text(ENTRY)
    (folder / "toy_optimizer.py").write_text(OPTIMIZER)
    info = folder / "toy-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[tngd_bench.optimizers]\ntoy = toy_entry:ENTRY\n")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Register the toy, and return its entry."""
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_COMPLAINTS", {})
    clears = registry._found.cache_clear, setting_names.names.cache_clear
    for clear in clears:
        clear()
    yield registry.get("toy")
    for clear in clears:
        clear()
    for name in ("toy_entry", "toy_optimizer"):
        sys.modules.pop(name, None)


@pytest.fixture
def without_cost(toy, monkeypatch):
    """Have the toy describe no cost."""
    found = registry._found()
    entries = {**found.entries, "toy": dataclasses.replace(toy, cost=None)}
    monkeypatch.setattr(registry, "_found", lambda: dataclasses.replace(found, entries=entries))


def only_toy(table):
    table["cost"] = [{**table["cost"][0], "optimizers": ["sgd", "toy"]}]
    table["training"] = [{**table["training"][0], "optimizers": ["toy"]}]
    return table


def candidates(plan):
    """Return the toy's candidates by kind of trial."""
    return {
        trial.kind: candidate
        for trial in plan.trials.values()
        for candidate in trial.candidates
        if candidate.config.method == "toy"
    }


def prediction():
    return predict(Device.preset("paper"), batch_size=16, outputs=10, parameters=1000)


def test_its_cost_is_its_own_in_predictions_and_in_plans(toy, table, plan_of):
    counted = predicted_cost("toy", **SIZE)
    assert (counted.flops, counted.bytes) == (6.0 * 16 * 1000 + 1e3 * 160**2, 4 * 5.0 * 1000)
    (alternative,) = [each for each in prediction().alternatives if each.name == "toy"]
    assert alternative.cost == counted
    planned = candidates(plan_of(only_toy(table), rate=1e11))
    for kind in ("cost", "training"):
        assert planned[kind].known
        assert planned[kind].skip is None
    assert planned["cost"].estimate_seconds > 1e3 * 160**2 / 1e11


def test_a_refresh_cycle_is_timed_whole(toy):
    limits = {"repetitions": 3, "seconds_limit": 1e6}
    section = CostSection(name="c", problem="digits-mlp", parameters=(1_000,), optimizers=("toy",), **limits)
    small = ProblemInstance("digits-mlp", 1_000, 10, 8, "float32", ())
    each, once = (
        DurationModel().timed(OptimizerConfig("toy", "toy", {"every": every}), small, 1.0, section, 1.0, 0.0)
        for every in (4, 1)
    )
    assert each - TURN_START_S == pytest.approx(4 * (once - TURN_START_S))


def test_without_a_cost_it_is_planned_as_unknown_and_no_prediction_has_it(without_cost, table, plan_of):
    assert not predicted_cost("toy", **SIZE).known
    assert "toy" not in [each.name for each in prediction().alternatives]
    planned = candidates(plan_of(only_toy(table)))
    assert not any(candidate.known for candidate in planned.values())
    summary, trials, infos = timed(("ngd-gram", "kfac", "toy"))
    assert uncounted(summary, infos) == ("Toy",)
    assert "toy" not in calibrate(summary, trials, infos).by_label


def test_a_cost_that_fails_is_no_cost_and_is_said(toy, monkeypatch):
    found = registry._found()
    failing = dataclasses.replace(toy, cost=lambda *, parameters, **_: (1.0 / (parameters - 100), -1.0))
    monkeypatch.setattr(registry, "_found", lambda: dataclasses.replace(found, entries={"toy": failing}))
    assert [each.name for each in prediction().alternatives] == []
    assert any("the cost of the optimizer 'toy' is taken as unknown" in said for said in plugins.complaints())


def test_a_cost_that_fails_at_some_sizes_leaves_them_out(toy, monkeypatch):
    def cost(*, parameters, **_):
        return (1e9, 1e6) if parameters < 5_000 else (math.nan, math.nan)

    found = registry._found()
    entries = {**found.entries, "toy": dataclasses.replace(toy, cost=cost)}
    monkeypatch.setattr(registry, "_found", lambda: dataclasses.replace(found, entries=entries))
    large = predict(Device.preset("paper"), batch_size=16, outputs=10, parameters=10_000)
    (row,) = [row for row in as_table(large)["digital"] if row["name"] == "toy"]
    assert row["flops"] is row["bytes"] is row["seconds"] is None
    assert re.search("toy +not known: the description of its cost fails at this size", as_text(large))
    assert len(calibrate(*timed(("ngd-gram", "kfac", "toy"))).by_label["toy"].points) == 2


def test_its_search_space_is_that_of_its_family_with_its_own_ranges(toy):
    axes = space_of("toy").axes
    assert list(axes) == ["lr", "damping", "boost"]
    assert (axes["boost"].low, axes["boost"].high, axes["boost"].scale) == (0.5, 2.0, "linear")


def test_legends_have_its_title_and_its_style(toy):
    infos = {label: optimizer_info(label, "toy") for label in ("toy", "toy[every=2]")}
    assert [info.title for info in infos.values()] == ["Toy", "Toy (steps of a cycle = 2)"]
    drawn = marks(infos)
    assert {(mark.colour.light, mark.colour.dark, mark.marker) for mark in drawn.values()} == {
        ("#123456", "#abcdef", "h")
    }
    assert drawn["toy"].colour in palette()


def test_a_colour_that_a_page_uses_already_is_not_taken_twice(toy, monkeypatch):
    found = registry._found()
    same = dataclasses.replace(toy, style=registry.get("ngd-gram").style)
    monkeypatch.setattr(
        registry, "_found", lambda: dataclasses.replace(found, entries={**found.entries, "toy": same})
    )
    assert marks({"toy": optimizer_info("toy", "toy")})["toy"].colour.name == "--c-other-1"
    assert len({colour.light for colour in palette()}) == len(palette())


def test_its_curve_is_recorded(toy):
    data = problems.get("digits-mlp").load(train_size=64, test_size=16)
    setting = ProblemInstance("digits-mlp", 1000, 10, 16, "float32", ("test", "seed", 0))
    result = train(setting, data, OptimizerConfig("toy", "toy", toy.defaults), epochs=4, evaluations=2)
    assert result.status == "ok"
    assert result.curve[-1].scores["train_loss"] < result.curve[0].scores["train_loss"]


def timed(methods):
    """Return the summary, trials and descriptions of a study whose times are 1 ms + operations at 10¹⁰ a second."""
    counts = Counts("digits-mlp", entry=problems.get("digits-mlp"))
    rows = []
    for method in methods:
        for n in (1_000, 3_000, 10_000, 30_000, 100_000):
            described = method if predicted_cost(method, **SIZE).known else "ngd-gram"
            flops = counts.of(described, n, 32, 10, counts.layers(n, 10)).flops
            rows.append(("cost", "digits-mlp", n, 32, 10, method, method, 1e-3 + flops / 1e10))
    columns = ["group", "problem", "parameters", "batch_size", "outputs", "optimizer", "method"]
    summary = pd.DataFrame(rows, columns=[*columns, "digital_median_s"])
    trials = summary.assign(kind="cost", status="ok", solver_iterations=np.nan, settings="{}", device=None)
    return summary, trials, {method: optimizer_info(method, method) for method in methods}


def test_maps_have_it_by_its_own_operations(toy):
    found = calibrate(*timed(("ngd-gram", "kfac", "toy")))
    assert "toy" in found.digital
    assert found.by_label["toy"].sigma < 0.02
    assert toy.break_even


STUDY = """
name = "own"
title = "Own"

[[cost]]
name = "size"
problem = "digits-mlp"
parameters = [500, 1000]
batch_size = [16]
optimizers = ["sgd", "ngd-gram", "toy"]
processes = 1
repetitions = 3

[[training]]
name = "digits"
problem = "digits-mlp"
parameters = 1000
train_size = 64
epochs = 1
evaluations = 2
seeds = 2
optimizers = ["sgd", "toy"]
"""


@pytest.mark.slow(reason="runs a study and draws its page")
def test_a_run_and_its_page_have_it(tmp_path):
    install(tmp_path)
    (tmp_path / "own.toml").write_text(STUDY)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "from tngd_bench.cli.main import main; main()"]
    for words in (["run", "own.toml", "--output", "out"], ["report", "out"]):
        subprocess.run([*command, *words], cwd=tmp_path, env=environment, check=True, capture_output=True)
    page = (tmp_path / "out/index.html").read_text()
    for words in ("train-loss", "time-per-iteration", "time-to-target"):
        assert words in page, words
    assert page.count("Toy") > 10
