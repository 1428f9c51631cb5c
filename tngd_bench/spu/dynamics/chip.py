"""Random numbers that belong to one chip: the same at every run, in every precision and on every processor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

DEAD_CELLS, ROUNDING = 1, 2
"""What numbers are drawn for; each purpose has a stream of its own."""


def uniform(instance: int, purpose: int, place: int, like: Tensor) -> Tensor:
    """Numbers in [0, 1) for the cells of array `place`, shaped as `like`, of the chip `instance`."""
    seed = int(np.random.SeedSequence([instance, purpose, place]).generate_state(1, np.uint64)[0] >> 1)
    # always in single precision and on the processor: a chip does not change with what simulates it
    drawn = torch.rand(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
    return drawn.to(device=like.device)
