"""An optimizer that changes its process is found out, and nobody else's numbers come from there."""

import dataclasses
import gc
import math
import os
import re
import threading
import time
from pathlib import Path

import pytest
import torch

from tngd_bench.measure.containment import DisturbanceError, checked_loss, undisturbed
from tngd_bench.measure.cost import measure_cost
from tngd_bench.measure.training import train
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.process_state import kept as kept_state
from tngd_bench.process_state import process_state

CPU = torch.device("cpu")


def more_threads():
    torch.set_num_threads(torch.get_num_threads() + 1)


CHANGES = {
    "number of threads from": more_threads,
    "default dtype from torch.float32 to torch.float64": lambda: torch.set_default_dtype(torch.float64),
    "float32 matmul precision from highest to medium": lambda: torch.set_float32_matmul_precision("medium"),
    "recording of gradients from True to False": lambda: torch.set_grad_enabled(False),
    "garbage collection from True to False": gc.disable,
    "deterministic algorithms from False to True": lambda: torch.use_deterministic_algorithms(True),
    "default device from cpu to meta": lambda: torch.set_default_device("meta"),
    "search for anomalies from False to True": lambda: torch.autograd.set_detect_anomaly(True),
    "autocast from False to True": lambda: torch.set_autocast_enabled("cpu", True),
    "the current folder from .* to /": lambda: os.chdir("/"),
}


@pytest.fixture
def kept():
    """Put everything back that a test changes."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    folder = Path.cwd()
    yield
    os.chdir(folder)
    torch.set_default_device(None)
    torch.autograd.set_detect_anomaly(False)
    torch.set_autocast_enabled("cpu", False)
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision(precision)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    gc.enable()


@pytest.mark.parametrize("said", CHANGES)
@pytest.mark.usefixtures("kept")
def test_each_change_of_the_process_is_named(said):
    with pytest.raises(DisturbanceError, match=said), undisturbed(CPU):
        CHANGES[said]()


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: x.mul_(2),
        lambda x, y: x[:2].zero_(),
        lambda x, y: y.add_(1),
        lambda x, y: x.requires_grad_(),
    ],
)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"x": x}])
def test_a_changed_batch_is_named(change, wrap):
    """The optimizers that take turns see the same batches."""
    x, y = torch.randn(4, 3), torch.zeros(4)
    with undisturbed(CPU, (wrap(x), y)):
        x.mul(2).add(y[:, None])
    with pytest.raises(DisturbanceError, match="a batch in place"), undisturbed(CPU, (wrap(x), y)):
        change(x, y)


@pytest.mark.parametrize("said", CHANGES)
@pytest.mark.usefixtures("kept")
def test_what_loading_code_changes_is_put_back(said):
    before = process_state()
    with kept_state() as changed:
        CHANGES[said]()
    assert re.search(said, *changed)
    assert process_state() == before


def test_draws_from_the_global_generator_are_taken_back():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with undisturbed(CPU):
        torch.manual_seed(0)
        torch.rand(5)
    assert torch.equal(torch.rand(3), expected)


def test_a_thread_left_at_work_is_found_and_one_that_waits_is_not():
    end = threading.Event()

    def work():
        while not end.is_set():
            sum(range(1000))

    def leave_at_work():
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.01)

    try:
        with undisturbed(CPU):
            threading.Thread(target=end.wait, daemon=True).start()
        with pytest.raises(DisturbanceError, match="left a thread at work"), undisturbed(CPU):
            leave_at_work()
    finally:
        end.set()


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (math.nan, DivergedError, "the loss is not finite at iteration 3"),
        (math.inf, DivergedError, "the loss is not finite"),
        (None, TypeError, "step must return the loss as a float, not None"),
        (torch.tensor(1.0), TypeError, "as a float, not tensor"),
        (1, TypeError, "as a float, not 1"),
    ],
)
def test_a_step_has_to_return_a_finite_float(value, error, said):
    with pytest.raises(error, match=said):
        checked_loss(value, 3)
    assert checked_loss(0.5, 3) == 0.5


class Odd:
    """SGD whose step also does something that it must not, and may return something else."""

    def __init__(self, model, loss, deed, returned=None):
        self.model, self.loss, self.deed, self.returned = model, loss, deed, returned

    def step(self, inputs, targets):
        value = self.loss(self.model(inputs), targets)
        value.backward()
        with torch.no_grad():
            for p in self.model.parameters():
                p -= 0.1 * p.grad
                p.grad = None
        self.deed()
        return float(value.detach()) if self.returned is None else self.returned


@dataclasses.dataclass(frozen=True)
class OddEntry(optimizers.OptimizerEntry):
    made: object = None

    def create(self, *arguments):
        return self.made(*arguments)


@pytest.fixture
def odd(monkeypatch):
    """Have the optimizer "adam" be an odd one."""

    def register(deed=lambda: None, returned=None):
        def create(model, loss, settings, generator):
            return Odd(model, loss, deed, returned)

        get = optimizers.get
        fake = dataclasses.replace(OddEntry(**vars(get("adam"))), made=create)
        monkeypatch.setattr(optimizers, "get", lambda name: fake if name == "adam" else get(name))

    return register


@pytest.mark.usefixtures("kept")
def test_a_block_ends_with_the_one_at_work_that_disturbs_it(odd, instance, digits, config):
    odd(more_threads)
    turns = []
    with pytest.raises(DisturbanceError, match="number of threads"):
        measure_cost(
            instance,
            digits,
            [config("sgd"), config("adam")],
            repetitions=4,
            seconds_limit=1,
            on_timing=turns.append,
        )
    assert turns[-1] == "adam"


def test_steps_that_return_nan_diverge_in_training_and_in_timings(odd, instance, digits, config):
    odd(returned=math.nan)
    result = train(instance, digits, config("adam"), epochs=1, evaluations=1)
    assert (result.status, len(result.curve)) == ("diverged", 1)
    sgd, adam = measure_cost(
        instance, digits, [config("sgd"), config("adam")], repetitions=2, seconds_limit=1
    )
    assert (sgd.status, adam.status) == ("ok", "diverged")
    assert "the loss is not finite" in adam.reason
