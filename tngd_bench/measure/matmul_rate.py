"""This machine's rate of matrix products, which turns predicted operations into predicted seconds."""

import torch

from tngd_bench.measure.clock import Clock

_SIDE = 1024
_ROUNDS = 5


def multiplication_rate(processor: str = "cpu") -> float:
    """Return FLOP/s of a square float32 matrix product on `processor`, with the threads now set: the best of a few."""
    matrix = torch.rand(_SIDE, _SIDE, generator=torch.Generator().manual_seed(0)).to(processor)
    clock = Clock(matrix.device)
    best = float("inf")
    for _ in range(_ROUNDS):
        seconds, _ = clock.time(lambda: torch.mm(matrix, matrix))
        best = min(best, seconds)
    return 2.0 * _SIDE**3 / best
