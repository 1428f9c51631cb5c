"""Standard normal vectors; long ones are drawn in pieces by as many threads as torch has."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

PIECE = 2**17
"""Numbers drawn from one seed: a vector is the same whatever the number of threads."""


@cache
def _threads_beside(count: int) -> ThreadPoolExecutor:
    """Threads that wait for the next draw: to start one takes as long as to draw a piece."""
    return ThreadPoolExecutor(count, thread_name_prefix="draws")


os.register_at_fork(after_in_child=_threads_beside.cache_clear)  # the child has none of them


def standard_normal(size: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Return `size` draws in the precision and on the device of `like`; `generator` None: torch's default one.

    From 2·PIECE numbers on, on a processor, each piece has a generator of its own, whose seed comes from `generator`:
    torch draws from one generator by one thread.
    """
    if size < 2 * PIECE or like.device.type != "cpu":
        return torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
    found = torch.empty(size, dtype=like.dtype)
    pieces = torch.split(found, PIECE)
    seeds = torch.randint(2**62, (len(pieces),), generator=generator).tolist()
    waiting = deque(zip(pieces, seeds, strict=True))

    def fill() -> None:
        while waiting:
            try:
                piece, seed = waiting.pop()
            except IndexError:  # another thread took the last one
                return
            piece.normal_(generator=torch.Generator().manual_seed(seed))

    beside = torch.get_num_threads() - 1
    others = [_threads_beside(beside).submit(fill) for _ in range(beside)] if beside else []
    fill()
    for other in others:
        other.result()
    return found
