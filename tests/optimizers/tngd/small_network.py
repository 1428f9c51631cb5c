"""A small network, batches for it, and its parameters as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LOSS = nn.CrossEntropyLoss()


def model(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).to(dtype)


def batches(count: int, dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.rand(6, 5, generator=generator, dtype=dtype), torch.randint(0, 4, (6,), generator=generator))
        for _ in range(count)
    ]


def flat(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in network.parameters()])
