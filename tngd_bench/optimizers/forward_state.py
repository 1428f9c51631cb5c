"""State that a forward pass draws from and changes, to repeat it: random generators and the buffers of a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Draws = tuple[tuple[Callable[[Any], object], Any], ...]
"""The function that puts a generator's state back, and the state."""
Buffers = tuple[tuple[nn.Module, str, Tensor, Tensor], ...]
"""Module, name, the tensor and a copy of its values."""


@dataclass(frozen=True)
class ForwardState:
    """The state of random generators (torch's, Python's, NumPy's, a model's own) and of buffers at one moment."""

    device: torch.device
    draws: Draws
    buffers: Buffers

    @classmethod
    def capture(cls, device: torch.device, model: nn.Module | None = None) -> ForwardState:
        """Return the present state of the generators that a model on `device` draws from, and of its buffers."""
        return cls(device, _draws(device, model), _buffers(model))

    @contextmanager
    def replay(self, model: nn.Module) -> Iterator[None]:
        """Run the model inside the block as after `capture`; afterwards generators and buffers are as before it."""
        present = ForwardState.capture(self.device, model)
        self.restore()
        try:
            yield
        finally:
            present.restore()

    def restore(self) -> None:
        """Have the generators draw what they drew after `capture`, and the buffers hold what they held."""
        for put, state in self.draws:
            put(state)
        _put(self.buffers)


@contextmanager
def draws_kept(device: torch.device) -> Iterator[None]:
    """Leave the global generators as they were before the block."""
    before = ForwardState.capture(device)
    try:
        yield
    finally:
        before.restore()


def seed_host(seed: int) -> None:
    """Seed the global generators of the processor: torch's, Python's and NumPy's."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002


def _draws(device: torch.device, model: nn.Module | None) -> Draws:
    found: list[tuple[Callable[[Any], object], Any]] = [
        (torch.set_rng_state, torch.get_rng_state()),
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),  # noqa: NPY002  (which outside code draws from)
    ]
    if device.type == "cuda":
        found.append((partial(torch.cuda.set_rng_state, device=device), torch.cuda.get_rng_state(device)))
    for module in () if model is None else model.modules():
        own = (each for each in vars(module).values() if isinstance(each, torch.Generator))
        found += [(each.set_state, each.get_state()) for each in own]
    return tuple(found)


def _buffers(model: nn.Module | None) -> Buffers:
    if model is None:
        return ()
    return tuple(
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    )


@torch.no_grad()
def _put(buffers: Buffers) -> None:
    for module, name, buffer, values in buffers:
        module._buffers[name] = buffer.copy_(values)  # a forward pass may put another tensor in its place
