"""A metric that a problem alone describes: curves, tables, charts, tolerances and targets have it."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tngd_bench
from tngd_bench.analysis.findings.noise import device_sentence
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import final_scores
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.training import train
from tngd_bench.problems import digits_mlp, registered_metrics, registry
from tngd_bench.problems.metrics import ACCURACY, Metric
from tngd_bench.report.document import charting
from tngd_bench.report.training import training_section

LEFT_OUT = Metric("left_out", "share left out", larger_is_better=False, targets=(0.5,))


def _score(loss, outputs, part):
    chances = torch.softmax(outputs, dim=1)[torch.arange(len(part)), part.targets]
    return {"loss": float(loss(outputs, part.targets)), "left_out": 1.0 - float(chances.mean())}


@pytest.fixture
def problem(monkeypatch):
    toy = dataclasses.replace(digits_mlp.ENTRY, name="toy", metrics=(LEFT_OUT,), make_score=lambda: _score)
    found = registry._found()
    with_toy = dataclasses.replace(found, entries={**found.entries, toy.name: toy})
    monkeypatch.setattr(registry, "_found", lambda: with_toy)
    return toy


@pytest.fixture
def toy_records(problem, records):
    """Return records whose trainings are of the toy problem, with its metric in place of the accuracy."""
    curves = records.curves.assign(
        problem="toy", test_left_out=1.0 - records.curves["test_accuracy"], test_accuracy=float("nan")
    )
    study = {**records.study, "training": [{**records.study["training"][0], "problem": "toy"}]}
    return dataclasses.replace(records, study=study, curves=curves)


def test_a_training_has_it_in_its_curve(problem):
    workload = ProblemInstance("toy", 989, 10, 20, "float32", ("toy",))
    data = problem.load(train_size=40, test_size=20)
    curve = train(workload, data, OptimizerConfig("sgd", "sgd", {"lr": 0.1}), epochs=1, evaluations=1).curve
    assert set(curve[0].scores) == {"train_loss", "train_left_out", "test_loss", "test_left_out"}
    assert 0.8 < curve[0].columns()["test_left_out"] < 1.0


def test_tables_charts_and_targets_have_it(toy_records):
    results = Results(toy_records)
    infos, final = results.infos, results.final
    assert final_scores.leading(final).column == "test_left_out"
    table = training_section.final_table(final_scores.summarise_final(final), infos, sweeps=False)
    titles = [column.title for column in table.columns]
    assert "final test share left out, median [quartiles]" in titles
    assert not [title for title in titles if "accuracy" in title]
    assert [target.describe() for target in results.targets["digits"]] == ["test share left out ≤ 50 %"]
    assert results.times_to_target["hits"].sum() > 0
    with charting.style():
        convergence, noise = training_section.training_sections(results)
    names = [chart.name for section in (convergence, noise) for chart in section.charts]
    for part in (
        "digits-test-left-out-iterations",
        "digits-test-left-out-time-to-level",
        "final-test-left-out",
    ):
        assert [name for name in names if part in name.replace("_", "-")], names
    assert not [name for name in names if "accuracy" in name]
    (shown,) = [
        chart for chart in convergence.charts if "left-out-iterations" in chart.name.replace("_", "-")
    ]
    assert shown.alt.index("TNGD") < shown.alt.index("SGD")  # the lowest first
    assert "by final training loss and test share left out." in device_sentence(results)


def test_a_metric_of_the_suite_cannot_be_described_anew():
    entry = dataclasses.replace(digits_mlp.ENTRY, metrics=(dataclasses.replace(ACCURACY, title="hits"),))
    with pytest.raises(ValueError, match=r"'accuracy' is described in tngd_bench.problems.metrics"):
        entry.check_fields()
    with pytest.raises(
        TypeError, match=r"metrics must be of tngd_bench.problems.metrics.Metric, not 'accuracy'"
    ):
        dataclasses.replace(digits_mlp.ENTRY, metrics=("accuracy",)).check_fields()


def test_columns_of_the_suite_are_found_and_another_is_refused_with_a_suggestion():
    for each in registered_metrics.curve_metrics():
        assert registered_metrics.of_column(each.column) == registered_metrics.of_final(each.final) == each
    with pytest.raises(
        ValueError, match=r"metric must be one of: train_loss, .*did you mean 'test_accuracy'"
    ):
        registered_metrics.of_column("test_acuracy")
    with pytest.raises(ValueError, match=r"score must be one of: final_loss, "):
        registered_metrics.of_final("accuracy")


PLUGIN = """
import dataclasses
from tngd_bench.problems import digits_mlp
from tngd_bench.problems.metrics import Metric
def score(loss, outputs, part):
    hits = (outputs.topk(2, dim=1).indices == part.targets[:, None]).any(1)
    return {"loss": float(loss(outputs, part.targets)), "top_two": float(hits.float().mean())}
ENTRY = dataclasses.replace(
    digits_mlp.ENTRY,
    name="toy", metrics=(Metric("top_two", "share of top two", targets=(0.3,)),), make_score=lambda: score)
"""
STUDY = """
name = "toy"
title = "Toy"
[[training]]
name = "digits"
problem = "toy"
parameters = 500
batch_size = 16
train_size = 160
epochs = 2
evaluations = 4
seeds = 2
optimizers = ["sgd", "adam"]
targets = [{ metric = "test_top_two", value = 0.5 }]
"""


@pytest.mark.slow(reason="runs a study and draws its page")
def test_a_study_of_an_outside_problem_has_it_from_the_run_to_the_page(tmp_path):
    (tmp_path / "toy_plugin.py").write_text(PLUGIN)
    (tmp_path / "toy.toml").write_text(STUDY)
    info = tmp_path / "toy_plugin-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[tngd_bench.problems]\ntoy = toy_plugin:ENTRY\n")

    def run(*arguments, plugin=True):
        path = os.pathsep.join(
            [*([str(tmp_path)] if plugin else []), str(Path(tngd_bench.__file__).parents[1])]
        )
        return subprocess.run(
            [sys.executable, "-m", "tngd_bench", *arguments],
            cwd=tmp_path if plugin else "/",
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )

    run("run", "toy.toml", "--output", "out")
    page = (tmp_path / "out" / "report.md").read_text()
    for text in ("final test share of top two", "Test share of top two against iterations", "≥ 50 %"):
        assert text in page, text
    without = run("report", str(tmp_path / "out"), plugin=False)
    assert "test_top_two, train_top_two in " in without.stderr
