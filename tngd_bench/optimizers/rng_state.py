"""The random draws of a forward pass (dropout), made once more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """The state of torch's global generators, of the processor and of one accelerator, at one moment."""

    device: torch.device
    host: Tensor
    accelerator: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> Draws:
        """Note the state of the generators that a model on `device` draws from."""
        held = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(device, torch.get_rng_state(), held)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw inside the block what was drawn after `now`; afterwards the generators are as they were before it."""
        with torch.random.fork_rng(devices=[] if self.accelerator is None else [self.device]):
            torch.set_rng_state(self.host)
            if self.accelerator is not None:
                torch.cuda.set_rng_state(self.accelerator, self.device)
            yield
