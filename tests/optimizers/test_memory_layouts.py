"""Parameters in another order in memory than row by row: torch's fused updates pair values by their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tngd_bench.optimizers import KFAC, NGD, TKFAC, TNGD
from tngd_bench.optimizers.first_order.optimizer import make_adam, make_sgd

X = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
Y = torch.tensor([0, 1, 2])


def plain(model: nn.Module) -> nn.Module:
    return model


def channels_last(model: nn.Module) -> nn.Module:
    return model.to(memory_format=torch.channels_last)


def transposed(model: nn.Module) -> nn.Module:
    model[4].weight = nn.Parameter(model[4].weight.detach().t().contiguous().t())
    return model


def sliced(model: nn.Module) -> nn.Module:
    """A weight that is a part of a wider buffer, whose other values are nobody's to change."""
    wide = torch.zeros(3, 60, dtype=torch.float64)
    wide[:, :48] = model[4].weight.detach()
    model[4].weight = nn.Parameter(wide[:, :48])
    model[4].beside = wide
    return model


def stepped(
    make: Callable[[nn.Module], Any], layout: Callable[[nn.Module], nn.Module], change: int
) -> Tensor:
    """The parameters after three steps; the layout changes before step `change`."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(1), nn.Flatten(), nn.Linear(48, 3)
    ).double()
    model = layout(model) if change == 0 else model
    optimizer = make(model)
    for step in range(3):
        if step == change and step:
            channels_last(model)
        optimizer.step(X, Y)
    if layout is sliced:
        assert not model[4].beside[:, 48:].any()
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


MAKERS = {
    "kfac": lambda model: KFAC(
        model, nn.CrossEntropyLoss(), lr=0.3, generator=torch.Generator().manual_seed(0)
    ),
    "tkfac": lambda model: TKFAC(
        model, nn.CrossEntropyLoss(), 0.3, generator=torch.Generator().manual_seed(0)
    ),
    "ngd": lambda model: NGD(model, nn.CrossEntropyLoss(), lr=0.3, momentum=0.9),
    "tngd": lambda model: TNGD(model, nn.CrossEntropyLoss(), lr=0.3, rule="adam"),
    "sgd": lambda model: make_sgd(model, nn.CrossEntropyLoss(), generator=None, lr=0.3, momentum=0.9),
    "adam": lambda model: make_adam(
        model, nn.CrossEntropyLoss(), generator=None, lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8
    ),
}


@pytest.mark.parametrize("layout", [channels_last, transposed, sliced])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_layout_in_memory_changes_no_step(make: Any, layout: Any) -> None:
    torch.testing.assert_close(stepped(make, layout, 0), stepped(make, plain, 0), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["kfac", "ngd", "tngd", "adam", "sgd"])
def test_a_layout_that_changes_between_steps_changes_none(name: str) -> None:
    moved, kept = stepped(MAKERS[name], plain, 1), stepped(MAKERS[name], plain, 0)
    torch.testing.assert_close(moved, kept, rtol=1e-9, atol=1e-11)
