"""Checks that say nothing at first: gradients hidden by zeros, batches that diverge, products in place of rows."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import oracles
from tests.curvature.test_verification import dense_oracle
from tests.curvature.wild_models import F64, Module, masked_gradient, perceptron, seeded
from tngd_bench.curvature import GGN, FallbackWarning, Verification
from tngd_bench.curvature.route import Route
from tngd_bench.curvature.verification import PATIENCE, Reference
from tngd_bench.optimizers import KFAC, NGD
from tngd_bench.optimizers.natural import DivergedError


def mixing() -> nn.Module:
    """A model that no layer rule fits: samples are held against their mean, and no shape or order tells."""
    return Module(
        lambda m, x: m.last(torch.tanh(m.first(x) - m.first(x).mean(0))),
        first=nn.Linear(4, 4),
        last=nn.Linear(4, 3),
    ).double()


def gated() -> nn.Module:
    """The same as a branch behind a gate, as of a residual network that starts as the identity."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.last(torch.tanh(h + m.gate * (h.mean(0) - h)))

    return Module(
        forward, first=nn.Linear(4, 4), last=nn.Linear(4, 3), gate=nn.Parameter(torch.zeros(()))
    ).double()


def head_of_zeros() -> nn.Module:
    model = mixing()
    nn.init.zeros_(model.last.weight)
    return model


@pytest.mark.filterwarnings("ignore::tngd_bench.curvature.FallbackWarning")
@pytest.mark.parametrize("make", [head_of_zeros, gated])
@pytest.mark.parametrize("waits", [0, 1, 2])
def test_what_zeros_hide_at_first_is_found_when_it_shows(make: Any, waits: int) -> None:
    """Gradients behind a zero are zero, by a wrong rule too; a learning rate may start at zero besides."""
    torch.manual_seed(0)
    model, loss = make(), nn.CrossEntropyLoss()
    inputs, targets = torch.randn(5, 4, dtype=F64, generator=seeded(1)), torch.tensor([0, 1, 2, 0, 1])
    optimizer = NGD(model, loss, lr=0.1, damping=0.01)
    for step in range(waits + 4):
        optimizer.param_groups[0]["lr"] = 0.1 if step >= waits else 1e-30
        gradient, matrix = dense_oracle(model, loss, inputs, targets)
        optimizer.step(inputs, targets)
        truth = torch.linalg.solve(matrix + 0.01 * torch.eye(len(gradient), dtype=F64), gradient)
        if make is head_of_zeros or step in (0, 1, 3):  # a gate's rule is checked at these
            assert oracles.relative_error(optimizer.natural_gradient, truth) < 1e-7
    assert "first" in {fallback.module for fallback in optimizer.verification.fallbacks.values()}


@pytest.mark.filterwarnings("ignore::tngd_bench.curvature.FallbackWarning")
def test_a_check_of_a_diverged_batch_does_not_count() -> None:
    torch.manual_seed(0)
    model, loss = mixing(), nn.CrossEntropyLoss()
    inputs, targets = torch.randn(5, 4, dtype=F64, generator=seeded(1)), torch.tensor([0, 1, 2, 0, 1])
    beyond = inputs.clone()
    beyond[0] = math.inf
    optimizer = NGD(model, loss, lr=1e-12, damping=0.01)
    optimizer.verification.interval = None
    with pytest.raises(DivergedError):
        optimizer.step(beyond, targets)
    optimizer.step(inputs, targets)
    gradient, matrix = dense_oracle(model, loss, inputs, targets)
    truth = torch.linalg.solve(matrix + 0.01 * torch.eye(len(gradient), dtype=F64), gradient)
    assert oracles.relative_error(optimizer.natural_gradient, truth) < 1e-7


def test_a_parameter_without_a_gradient_is_waited_for_and_no_other() -> None:
    verification = Verification(None)
    for hidden, due in ((None, True), ({"b"}, True), ({"a"}, True), (None, False)):
        assert verification.due("a kind", reorders=False) is due
        if hidden is not None:
            verification.conclude("a kind", hidden)


@pytest.mark.parametrize("interval", [None, 100])
def test_a_gradient_that_stays_zero_is_waited_for_at_each_step_for_a_while(interval: int | None) -> None:
    """As of a layer behind a mask: a check at each step for ever would cost more than the steps themselves."""
    verification, checked = Verification(interval), []
    for step in range(1, 71):
        if verification.due("a kind", reorders=False):
            checked.append(step)
            verification.conclude("a kind", {"b"})
    assert checked == [*range(1, PATIENCE + 1), 32, 64]
    verification.conclude("a kind", set())
    later = [step for step in range(71, 257) if verification.due("a kind", reorders=False)]
    assert later == ([] if interval is None else [128, 228, 256])


def test_a_batch_that_is_not_finite_is_waited_out_however_long() -> None:
    verification = Verification(None)
    assert all(verification.due("a kind", reorders=False) for _ in range(4 * PATIENCE))
    verification.conclude("a kind", set())
    assert not verification.due("a kind", reorders=False)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-9, 1e-3, 1.0])
def test_a_gradient_is_hidden_where_another_of_its_size_would_pass(size: float) -> None:
    gradients = [torch.ones(3), torch.full((3,), size), torch.zeros(2)]
    reference = Reference(lambda scale: [scale * each for each in gradients], torch.float32)
    passes = reference.error([1], [-gradients[1]]) == 0.0
    assert reference.hidden([1]) == ([1] if passes else [])
    assert passes is (size < 1e-7)
    assert reference.hidden([0, 2]) == [2]


def test_a_rule_whose_value_is_no_number_is_wrong() -> None:
    reference = Reference(lambda scale: [scale * torch.ones(3)], torch.float32)
    assert reference.error([0], [torch.tensor([1.0, math.nan, 1.0])]) == math.inf
    assert reference.error([0], [torch.ones(3)]) == 0.0


def test_rows_are_checked_though_products_through_the_model_were() -> None:
    torch.manual_seed(0)
    model, loss, inputs = mixing(), nn.CrossEntropyLoss(), torch.randn(5, 4, dtype=F64)
    targets, verification = torch.tensor([0, 1, 2, 0, 1]), Verification(None)
    first = GGN(model, loss, inputs, targets, verify=verification)
    first.route = Route("model", "asked for")
    first.matvec(torch.ones(first.size, dtype=F64))
    with pytest.warns(FallbackWarning):
        dense = GGN(model, loss, inputs, targets, verify=verification).dense()
    assert oracles.relative_error(dense, dense_oracle(model, loss, inputs, targets)[1]) < 1e-9


def test_kfac_waits_for_a_gradient_that_zeros_and_rounding_hide() -> None:
    """After a step of a rate of 1e-30 the head is no longer zero, and another gradient would still pass."""
    torch.manual_seed(0)
    model, loss = masked_gradient(perceptron()).double(), nn.CrossEntropyLoss()
    head = model[2].weight
    nn.init.zeros_(head)
    inputs, targets = torch.randn(5, 4, dtype=F64, generator=seeded(1)), torch.tensor([0, 1, 2, 0, 1])
    optimizer = KFAC(model, loss, lr=1e-30, damping=1e8, momentum=0.0, inverse="eigen", kl_clip=None)
    for _ in range(2):
        optimizer.step(inputs, targets)
    nn.init.normal_(head)
    with pytest.warns(FallbackWarning):
        optimizer.step(inputs, targets)  # step 3, when nothing else is due
    gradient, _ = dense_oracle(model, loss, inputs, targets)
    views = map(optimizer.parameters.views, (gradient, optimizer.natural_gradient))
    for true, found in zip(*views, strict=True):
        assert float((true * found).sum() / (true.norm() * found.norm())) > 1 - 1e-6


def test_kfac_leaves_out_no_use_of_a_weight_behind_a_gate() -> None:
    """At first the gradient by the second use is zero, and so is what a layer's own calls lack."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        h = torch.tanh(m.first(x))
        return m.last(h + m.gate * torch.tanh(nn.functional.linear(h, m.first.weight)))

    torch.manual_seed(0)
    gate = nn.Parameter(torch.zeros((), dtype=F64))
    model = Module(forward, first=nn.Linear(4, 4), last=nn.Linear(4, 3), gate=gate).double()
    inputs, targets = torch.randn(5, 4, dtype=F64, generator=seeded(1)), torch.tensor([0, 1, 2, 0, 1])
    optimizer = KFAC(
        model, nn.CrossEntropyLoss(), lr=1e-30, damping=1e8, momentum=0.0, inverse="eigen", kl_clip=None
    )
    for value in (0.0, 0.5, 1.0):
        gate.data.fill_(value)
        gradient, _ = dense_oracle(model, nn.CrossEntropyLoss(), inputs, targets)
        optimizer.step(inputs, targets)
        views = map(optimizer.parameters.views, (gradient, optimizer.natural_gradient))
        for true, found in zip(*views, strict=True):
            assert float((true * found).sum() / (true.norm() * found.norm())) > 1 - 1e-9
