"""Standard normal vectors; long ones are drawn in pieces by as many threads as torch has."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

PIECE = 2**17
"""Numbers drawn from one seed: a vector is the same whatever the number of threads."""


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

    def fill(piece: Tensor, seed: int) -> None:
        piece.normal_(generator=torch.Generator().manual_seed(seed))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(fill, pieces, seeds))
    return found
