"""Points for −Δu = f on the unit square with u = 0 on its edge; the solution is u = sin πx · sin πy.

Equation, domain and solution are those of arXiv 2302.13163 (energy natural gradient descent), §4.
"""

import hashlib
import math

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.datasets import DType
from tngd_bench.datasets.splits import DataSplits

TRAIN_SIZE = 4_096
GRID = 50
"""Test points a side: the middles of a grid of cells."""
SEED = 0


def load(train_size: int | None, test_size: int | None, dtype: DType) -> DataSplits:
    """Return samples of one point inside and one on the edge: inputs (n, 4), x, y, x, y; targets (n, 2), f and 0.

    Training points are uniform draws. The 2,500 test points inside are a grid, in a random order, so that the first
    ones lie all over the square.
    """
    generator = torch.Generator().manual_seed(SEED)
    draws = torch.rand(TRAIN_SIZE, 3, generator=generator, dtype=torch.float64)
    train = torch.cat([draws[:, :2], on_edge(draws[:, 2])], 1)
    middles = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    around = (torch.arange(GRID**2, dtype=torch.float64) + 0.5) / GRID**2
    test = torch.cat([torch.cartesian_prod(middles, middles), on_edge(around)], 1)
    test = test[torch.randperm(GRID**2, generator=generator)]
    parts = []
    for name, points, size in (("train_size", train, train_size), ("test_size", test, test_size)):
        if size is not None:
            arguments.integer(name, size, minimum=1, maximum=len(points))
        points = points[:size]
        sides = torch.stack(
            [2.0 * math.pi**2 * solution(points[:, :2]), torch.zeros(len(points), dtype=torch.float64)], 1
        )
        parts += [points, sides]
    digest = hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
    inputs, targets, test_inputs, test_targets = (part.to(getattr(torch, dtype)) for part in parts)
    return DataSplits(inputs, targets, test_inputs, test_targets, digest, "drawn here")


def solution(points: Tensor) -> Tensor:
    """Return u (n,) at points (n, 2)."""
    return torch.sin(math.pi * points).prod(1)


def on_edge(places: Tensor) -> Tensor:
    """Return points (n, 2) on the edge of the square, each at a share in [0, 1) of the way around it."""
    side, along = (4.0 * places).floor(), (4.0 * places) % 1.0
    forward = torch.where(side < 2, along, 1.0 - along)  # bottom, right; then top and left, backwards
    end = ((side == 1) | (side == 2)).to(places.dtype)
    across = side % 2 == 1  # the right and the left side
    return torch.stack([torch.where(across, end, forward), torch.where(across, forward, end)], 1)
