"""Damping by Levenberg and Marquardt: the reduction ratio, and the second look at the loss that it takes."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.optimizers.tngd.small_network import LOSS, batches, flat, model
from tngd_bench.optimizers import TNGD


def adapting(network: nn.Module, **settings: object) -> TNGD:
    return TNGD(network, LOSS, damping_rule="levenberg-marquardt", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"rule": "adam", "betas": (0.0, 0.0)}])
def test_the_reduction_ratio_is_that_of_dense_matrices(settings: dict[str, object]) -> None:
    network = model()
    tngd = adapting(network, lr=0.3, damping=0.1, damping_interval=3, **settings)
    for step, (inputs, targets) in enumerate(batches(6)):
        matrix = oracles.ggn(network, LOSS, inputs, targets)
        gradient = oracles.gradient(network, LOSS, inputs, targets)
        before, damping, kept = flat(network), tngd.settings["damping"], tngd.reduction_ratio
        value = tngd.step(inputs, targets)
        if (step + 1) % 3:
            assert tngd.settings["damping"] == damping
            assert tngd.reduction_ratio is kept
            continue
        delta = flat(network) - before
        model_change = gradient @ delta + 0.5 * (delta @ (matrix @ delta) + damping * delta @ delta)
        gained = float(LOSS(network(inputs), targets).detach()) - value
        ratio = gained / float(model_change)
        assert tngd.reduction_ratio == pytest.approx(ratio if float(model_change) < 0 else -np.inf, rel=1e-6)
        factor = 1.0 if 0.25 <= tngd.reduction_ratio <= 0.75 else 0.95**3
        expected = damping * factor if tngd.reduction_ratio > 0.75 else damping / factor
        assert tngd.settings["damping"] == pytest.approx(expected)


def test_damping_falls_where_the_model_is_right_and_rises_where_the_step_is_too_long() -> None:
    linear = nn.Linear(5, 3).double()
    inputs, targets = batches(1)[0][0], torch.rand(6, 3, dtype=torch.float64)
    # a quadratic loss is its own model: ρ → 1 for a small enough λ
    tngd = TNGD(
        linear, nn.MSELoss(), lr=1.0, damping=1e-3, analog_time=1e5,
        damping_rule="levenberg-marquardt", damping_interval=1,
    )  # fmt: skip
    tngd.step(inputs, targets)
    assert tngd.reduction_ratio == pytest.approx(1.0, abs=0.05)
    assert tngd.settings["damping"] == pytest.approx(1e-3 * 0.95)
    network = model()
    far = adapting(network, lr=3.0, damping=1e-3, damping_interval=1, analog_time=1e5)
    far.step(*batches(1)[0])
    assert far.reduction_ratio is not None
    assert far.reduction_ratio < 0.25
    assert far.settings["damping"] == pytest.approx(1e-3 / 0.95)


def test_adapting_costs_one_forward_pass_an_interval_and_no_randomness() -> None:
    network = nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.5), nn.Linear(7, 4)).double()
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    tngd = adapting(network, damping=0.1, damping_interval=4)
    plain = TNGD(copy.deepcopy(network), LOSS, damping=0.1)
    calls.clear()
    torch.manual_seed(0)
    for inputs, targets in batches(4):
        tngd.step(inputs, targets)
    assert len(calls) == 5
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    for inputs, targets in batches(4):
        plain.step(inputs, targets)
    assert torch.equal(torch.random.get_rng_state(), state)


class Counting(nn.Module):
    """Scales its inputs by a buffer that a pass changes in place, and counts in one that a pass replaces."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, outputs))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.scale += 1.0
        self.count = self.count + 1.0
        return self.net(x * self.scale.clone())


@pytest.mark.parametrize("outputs", [4, 300], ids=["rows", "products"])
def test_a_second_look_at_the_loss_is_through_the_same_buffers_and_leaves_them(outputs: int) -> None:
    network = Counting(outputs).double()
    tngd = adapting(network, lr=1e-6, damping=0.1, damping_interval=2)
    inputs, targets = batches(1)[0]
    for _ in range(4):
        tngd.step(inputs, targets)
        assert network.count == tngd.iteration == network.scale - 1.0
    assert tngd.reduction_ratio == pytest.approx(1.0, rel=1e-3)  # of a step so short that its slope is all


class Drawing(nn.Module):
    """Scales its inputs by a random number from one of several generators."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4))
        self.own = torch.Generator().manual_seed(3)
        self.draw = {
            "torch": lambda: float(torch.rand(())),
            "own": lambda: float(torch.rand((), generator=self.own)),
            "python": random.random,
            "numpy": np.random.random,
        }[source]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x * (0.5 + self.draw()))


@pytest.mark.parametrize("source", ["torch", "own", "python", "numpy"])
def test_a_second_look_at_the_loss_draws_what_the_first_drew(source: str) -> None:
    network = Drawing(source).double()
    tngd = adapting(network, lr=1e-6, damping=0.1, damping_interval=1)
    for _ in range(3):
        tngd.step(*batches(1)[0])
        assert tngd.reduction_ratio == pytest.approx(1.0, rel=1e-3)
    before = network.own.get_state(), random.getstate()
    tngd.check_curvature(*batches(1)[0])
    assert torch.equal(network.own.get_state(), before[0])
    assert random.getstate() == before[1]
