"""Standard normal draws of the parameters' length, quickly and always the same for one generator state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

CHUNK = 2**17
"""Values drawn from one generator: small enough to stay in cache, and what a thread takes at a time."""


def standard_normal(
    size: int, generator: torch.Generator, *, dtype: torch.dtype, device: torch.device | None = None
) -> Tensor:
    """(size,) independent draws from N(0, 1).

    A processor fills a long vector one value after another, so beyond one chunk each has its own generator, seeded
    from `generator`, and torch's threads share them: the values do not depend on how many threads there are.
    """
    on_cpu = device is None or device.type == "cpu"
    if size <= CHUNK or not on_cpu:
        return torch.randn(size, generator=generator, dtype=dtype, device=device)
    values = torch.empty(size, dtype=dtype)
    chunks = values.split(CHUNK)  # type: ignore[no-untyped-call]  # torch has no annotation there
    seeds = torch.randint(0, 2**62, (len(chunks),), generator=generator).tolist()

    def fill(index: int) -> None:
        chunks[index].normal_(generator=torch.Generator().manual_seed(seeds[index]))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(fill, range(len(chunks))))
    return values
