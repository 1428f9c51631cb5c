"""The Krylov transition on the pretrained encoder and real questions; skipped where either is not to be had."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tngd_bench.curvature import GGN
from tngd_bench.datasets.finder import DataNotFoundError
from tngd_bench.datasets.splits import take
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry
from tngd_bench.spu import OUProcess

# looked for, not imported: every worker collects this file, and one runs it
pytestmark = pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
QUESTIONS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "qa"
LENGTH, BATCH, DAMPING, ANALOG_TIME = 48, 4, 1.0, 0.4


@pytest.fixture(scope="module")
def problem():
    if not QUESTIONS.is_dir():
        pytest.skip("no questions in ../shared/data/qa beside the repository")
    options = {"train": str(QUESTIONS / "new_wiki_v1.0.json"), "test": str(QUESTIONS / "xquad.en.json")}
    entry = registry.get("squad-lora", options)
    try:
        data = entry.load(64, 4, outputs=2 * LENGTH)
    except DataNotFoundError as error:
        pytest.skip(str(error))
    return entry, data


def trained(problem, steps):
    """The model after some steps of Adam, and the next batch."""
    entry, data = problem
    model = entry.model(entry.widths(37_634, 2 * LENGTH), 0)
    adam = optimizers.get("adam").create(model, entry.loss(), {"lr": 2e-3})
    for k in range(steps):
        part = slice(BATCH * k, BATCH * (k + 1))
        adam.step(take(data.train_inputs, part), data.train_targets[part])
    return model, entry.loss(), take(data.train_inputs, slice(-BATCH, None)), data.train_targets[-BATCH:]


@pytest.mark.slow(reason="simulates a device on an encoder in small steps")
@pytest.mark.parametrize("steps", [0, 10])
def test_krylov_agrees_with_euler_maruyama_at_a_small_step(problem, steps):
    ggn = GGN(*trained(problem, steps))
    assert ggn.matrix_free
    x0 = ggn.gradient
    krylov = OUProcess(ggn, None, DAMPING)
    exact = krylov.mean(x0, ANALOG_TIME)
    coarse, fine = (
        OUProcess(ggn, None, DAMPING, method="euler-maruyama", step=step).mean(x0, ANALOG_TIME)
        for step in (0.02, 0.01)
    )
    errors = [float((x - exact).norm() / exact.norm()) for x in (coarse, fine)]
    # Euler-Maruyama's error is of first order in the step: small, halved with it, and nearly gone in 2·fine − coarse
    assert errors[0] < 0.05
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.1)
    assert float((2 * fine - coarse - exact).norm() / exact.norm()) < 0.1 * errors[1]
    assert krylov.products <= 14


@pytest.mark.slow(reason="trains an encoder")
def test_iterations_of_tngd_take_at_most_14_products(problem):
    entry, data = problem
    model = entry.model(entry.widths(37_634, 2 * LENGTH), 0)
    settings = {"lr": 1e-3, "damping": DAMPING, "analog_time": ANALOG_TIME}
    optimizer = optimizers.get("tngd-adam").create(
        model, entry.loss(), settings, torch.Generator().manual_seed(0)
    )
    counts = []
    for k in range(6):
        part = slice(BATCH * k, BATCH * (k + 1))
        optimizer.step(take(data.train_inputs, part), data.train_targets[part])
        counts.append(optimizer.iterations)
    assert optimizer.method == "krylov"
    assert max(counts) <= 14
