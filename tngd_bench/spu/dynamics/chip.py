"""Random numbers that belong to one chip: the same at every run, in every precision and on every processor."""

import numpy as np
import torch
from torch import Tensor

DEAD_CELLS, ROUNDING, LAYER_DEVICES, DEAD_SECOND_CELLS, CAPACITORS = 1, 2, 3, 4, 5
"""What numbers are drawn for; each purpose has a stream of its own."""


def instance_of(instance: int, place: int) -> int:
    """Return the instance of the device at `place` among several of a chip; that of the first is the chip's own."""
    return _seed(instance, LAYER_DEVICES, place) if place else instance


def uniform(instance: int, purpose: int, place: int, like: Tensor) -> Tensor:
    """Numbers in [0, 1) for the cells of array `place`, shaped as `like`, of the chip `instance`."""
    generator = torch.Generator().manual_seed(_seed(instance, purpose, place))
    # always in single precision and on the processor: a chip does not change with what simulates it
    return torch.rand(like.shape, generator=generator, dtype=torch.float32).to(device=like.device)


def capacitors(instance: int, like: Tensor) -> Tensor:
    """Standard normal deviations of the nodes of the chip `instance`, float64, shaped as `like`."""
    seed = instance if instance < 2**64 else _seed(instance, CAPACITORS)  # the largest seed that torch takes
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
