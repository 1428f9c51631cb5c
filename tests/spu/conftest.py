"""One small batch, shared by the device's tests."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tngd_bench.curvature import GGN


@pytest.fixture(scope="session")
def ggn() -> GGN:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    return GGN(model, nn.CrossEntropyLoss(), torch.rand(6, 5, dtype=torch.float64), torch.arange(6) % 4)


@pytest.fixture(scope="session")
def start() -> Tensor:
    return torch.randn(74, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
