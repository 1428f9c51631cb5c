"""How fast this machine multiplies matrices: turns predicted operations into predicted seconds."""

import time

import torch

_SIDE = 1024
_ROUNDS = 5


def multiplication_rate() -> float:
    """Return FLOP/s of a square float32 matrix product with the threads now set: the best of a few rounds."""
    matrix = torch.rand(_SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        best = min(best, time.perf_counter() - start)
    return 2.0 * _SIDE**3 / best
