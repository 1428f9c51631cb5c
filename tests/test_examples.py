"""The examples of the docs: printed there as they are, and each from its file to a report by the public ways."""

import json
import math
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from tngd_bench import plugin_files
from tngd_bench.curvature import GGN, FallbackWarning
from tngd_bench.datasets.splits import take
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry as problems
from tngd_bench.studies.plugin import use_plugin

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "examples"
PROBLEMS = {
    "convnet": "gratings-convnet",
    "lstm": "rhythms-lstm",
    "bert": "majority-bert",
    "heat": "heat-pinn",
}
SIZES = {"convnet": 2_999, "lstm": 807, "bert": 3_995, "heat": 101}
SOAP = "pytorch_optimizer:SOAP[lr=0.003]"


@pytest.fixture
def example(request):
    """Load the file of a problem, and return the problem."""
    if request.param == "bert":
        pytest.importorskip("transformers")
    file = use_plugin(FOLDER / f"{request.param}.py")
    yield problems.get(PROBLEMS[request.param])
    plugin_files.forget(file)


@pytest.fixture
def by_hand():
    file = use_plugin(FOLDER / "spring.py")
    yield optimizers.get("spring-by-hand")
    plugin_files.forget(file)


def test_the_page_prints_the_files_as_they_are():
    printed = re.findall(
        r"^## (\S+)\n\n```\w+\n(.*?)```$", (DOCS / "examples.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    files = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir() if path.is_file()}
    assert dict(printed) == files


@pytest.mark.parametrize("example", PROBLEMS, indirect=True)
def test_the_curvature_of_every_model_is_right_and_natural_gradient_lowers_its_loss(example):
    data = example.load(64, 8)
    place = list(PROBLEMS.values()).index(example.name)
    model = example.model(example.widths(list(SIZES.values())[place]), 0)
    inputs, targets = take(data.train_inputs, slice(24)), data.train_targets[:24]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        ggn = GGN(model.double(), example.loss(), _double(inputs), _double(targets))
    v = torch.randn(ggn.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = torch.randn(ggn.rows, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows = ggn.factor_rmatvec(u)
    assert float(ggn.factor_matvec(v) @ u) == pytest.approx(float(rows @ v), rel=1e-9)
    optimizer = optimizers.get("ngd-gram").create(model, example.loss(), {"lr": 0.3, "damping": 0.01})
    losses = [optimizer.step(_double(inputs), _double(targets)) for _ in range(6)]
    assert losses[-1] < 0.9 * losses[0]


def _double(samples):
    if isinstance(samples, torch.Tensor):
        return samples.double() if samples.is_floating_point() else samples
    return {name: _double(values) for name, values in samples.items()}


def test_spring_by_hand_makes_the_steps_of_ours(by_hand):
    problem = problems.get("digits-mlp")
    data = problem.load(128, 10, "float64")
    settings = {"lr": 0.05, "damping": 0.02, "memory": 0.8}
    models = []
    for entry in (by_hand, optimizers.get("spring")):
        model = problem.model(problem.widths(1000), 0).double()
        optimizer = entry.create(model, problem.loss(), settings)
        for first in range(0, 96, 32):
            optimizer.step(data.train_inputs[first : first + 32], data.train_targets[first : first + 32])
        models.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.allclose(*models, rtol=1e-9, atol=1e-12)


def run(folder, *words):
    """Run the command line in a folder; return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(DOCS.parent), "COLUMNS": "300"}
    command = [sys.executable, "-m", "tngd_bench", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow(reason="several dozen processes and a page")
def test_all_of_them_go_from_their_files_to_a_report(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("pytorch_optimizer")
    fewer = [f"training.{name}.seeds=1" for name in PROBLEMS] + ["cost.cost.parameters=[1_500]"]
    changes = [word for each in fewer for word in ("--set", each)]
    out = run(tmp_path, "run", str(FOLDER / "outsiders.toml"), "--output", "out", *changes)
    entries = [
        entry
        for path in (tmp_path / "out" / "store" / "trials").glob("*.json")
        for entry in json.loads(path.read_text())["content"]["entries"]
    ]
    assert {entry["status"] for entry in entries} == {"ok"}
    assert {entry["problem"] for entry in entries} == set(PROBLEMS.values())
    assert {"spring-by-hand", "pytorch_optimizer:SOAP"} <= {entry["method"] for entry in entries}
    counted = [entry for entry in entries if entry["kind"] == "inspection"]
    assert all(entry["flops"] > 0 and math.isfinite(entry["peak_bytes"]) for entry in counted)
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    for title in ("SPRING by hand", "SOAP", "relative L2 error"):
        assert title in page
    assert "missing" not in out
    finals = {
        (entry["problem"], entry["method"]): entry["curve"]
        for entry in entries
        if entry["kind"] == "training"
    }
    assert len(finals) == 19


@pytest.mark.slow(reason="each check in a process of its own")
@pytest.mark.parametrize("name", ["spring", *PROBLEMS])
def test_every_file_conforms(name, tmp_path):
    assert " 0 failed" in run(tmp_path, "test", str(FOLDER / f"{name}.py"))


@pytest.mark.slow(reason="draws a page")
def test_a_problem_of_a_file_goes_to_a_record_with_an_optimizer_of_another_file(tmp_path):
    for name in ("heat.py", "spring.py"):
        (tmp_path / name).write_text((FOLDER / name).read_text("utf-8"), "utf-8")
    (tmp_path / "mine.toml").write_text(
        """
        name = "mine"
        title = "Mine"
        plugins = ["heat.py", "spring.py"]
        [[training]]
        name = "heat"
        problem = "heat-pinn"
        parameters = 101
        train_size = 96
        epochs = 1
        evaluations = 1
        seeds = 1
        optimizers = ["spring-by-hand[lr=0.3]"]
        """
    )
    run(tmp_path, "run", "mine.toml", "--output", "out")
    (path,) = (tmp_path / "out" / "store" / "trials").glob("*.json")
    (entry,) = json.loads(path.read_text())["content"]["entries"]
    assert entry["status"] == "ok"
    assert entry["curve"]["test_l2_error"]["values"][-1] < entry["curve"]["test_l2_error"]["values"][0]
    assert (tmp_path / "out" / "index.html").exists()
