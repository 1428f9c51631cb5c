"""Points for −Δu = f on the unit square with u = 0 on its edge; the solution is u = sin πx · sin πy.

Equation, domain and solution are those of arXiv 2302.13163 (energy natural gradient descent), §4.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from tngd_bench import arguments
from tngd_bench.datasets import DType
from tngd_bench.datasets.splits import DataSplits

Points = NDArray[np.float64]

TRAIN_SIZE = 4_096
GRID = 50
"""Test points a side: the middles of a grid of cells."""
SEED = 0


def load(train_size: int | None, test_size: int | None, dtype: DType) -> DataSplits:
    """Return samples of one point inside and one on the edge: inputs (n, 4), x, y, x, y; targets (n, 2), f and 0.

    Training points are uniform draws. The 2,500 test points inside are a grid, in a random order, so that the first
    ones lie all over the square. References hold the solution at the point inside.
    """
    random = np.random.Generator(np.random.PCG64(SEED))
    train = np.hstack([random.random((TRAIN_SIZE, 2)), on_edge(random.random(TRAIN_SIZE))])
    middles = (np.arange(GRID) + 0.5) / GRID
    grid = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
    order = random.permutation(len(grid))
    test = np.hstack([grid, on_edge((np.arange(len(grid)) + 0.5) / len(grid))])[order]
    parts = []
    digest = hashlib.sha256()
    for name, points, size in (("train_size", train, train_size), ("test_size", test, test_size)):
        if size is not None:
            arguments.integer(name, size, minimum=1, maximum=len(points))
        parts.append(points[:size])
        digest.update(np.ascontiguousarray(parts[-1]).data)

    def tensor(values: Points) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(getattr(torch, dtype))

    def targets(points: Points) -> torch.Tensor:
        return tensor(np.stack([2.0 * np.pi**2 * solution(points[:, :2]), np.zeros(len(points))], 1))

    first, last = parts
    return DataSplits(
        tensor(first),
        targets(first),
        tensor(last),
        targets(last),
        digest.hexdigest(),
        "drawn here",
        {"solution": tensor(solution(first[:, :2]))},
        {"solution": tensor(solution(last[:, :2]))},
    )


def solution(points: Points) -> Points:
    """Return u (n,) at points (n, 2)."""
    return np.asarray(np.prod(np.sin(np.pi * points), axis=1))


def on_edge(places: Points) -> Points:
    """Return points (n, 2) on the edge of the square, each at a share in [0, 1) of the way around it."""
    side, along = np.divmod(4.0 * places, 1.0)
    at = side.astype(int)
    ends = np.array([0.0, 1.0, 1.0, 0.0])[at]  # bottom, right, top, left
    forward = np.where(at < 2, along, 1.0 - along)
    across = at % 2 == 1  # the right and the left side
    return np.stack([np.where(across, ends, forward), np.where(across, forward, ends)], 1)
