"""Exact factors of K-FAC are refused where a model mixes the samples of a batch by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tngd_bench.optimizers import KFAC

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(4) % 3


class Centred(nn.Module):
    """Subtracts the mean of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class PlusPrevious(nn.Module):
    """Adds what the sample before has."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.cat([torch.zeros_like(x[:1]), x[:-1]])


class Rolled(nn.Module):
    """Gives each sample what the one before has: samples are in another order, and none is mixed."""

    def forward(self, x: Tensor) -> Tensor:
        return x.roll(1, 0)


class TimeFirst(nn.Module):
    """A layer on (time, sample, channel), with as many times as samples: its rows are not in the samples' order."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        times = x.unsqueeze(0) * torch.arange(1.0, 5.0).view(4, 1, 1)
        return self.head(torch.tanh(self.inner(times)).sum(0))


def step(*layers: nn.Module, fisher: Any = "exact") -> float:
    model = nn.Sequential(*layers)
    return KFAC(model, nn.CrossEntropyLoss(), lr=0.01, fisher=fisher).step(X, Y)


@pytest.mark.parametrize("mixing", [Centred, PlusPrevious])
def test_a_model_that_mixes_samples_is_refused_by_the_layer_before(mixing: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"one row of '0\.weight'.*fisher 'mc'"):
        step(nn.Linear(5, 6), mixing(), nn.Tanh(), nn.Linear(6, 3))


@pytest.mark.parametrize("fisher", ["mc", "empirical"])
def test_other_factors_take_it(fisher: str) -> None:
    assert step(nn.Linear(5, 6), Centred(), nn.Linear(6, 3), fisher=fisher) > 0


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)),
        (nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(8, 3)),
        (nn.Linear(5, 3),),
        (TimeFirst(),),
        (nn.Linear(5, 6), Rolled(), nn.Tanh(), nn.Linear(6, 3)),
    ],
    ids=["batch norm", "convolution", "linear", "time first", "rolled"],
)
def test_models_that_keep_samples_apart_are_taken(layers: tuple[nn.Module, ...]) -> None:
    assert step(*layers) > 0


def test_one_sample_mixes_with_none() -> None:
    model = nn.Sequential(nn.Linear(5, 6), Centred(), nn.Linear(6, 3))
    assert KFAC(model, nn.CrossEntropyLoss(), lr=0.01, fisher="exact").step(X[:1], Y[:1]) > 0
