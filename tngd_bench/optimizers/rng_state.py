"""State of torch's random generators, to repeat the random draws of a forward pass (dropout)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RngState:
    """The state of torch's global generators, of the processor and of one accelerator, at one moment."""

    device: torch.device
    host: Tensor
    accelerator: Tensor | None

    @classmethod
    def capture(cls, device: torch.device) -> RngState:
        """Return the present state of the generators that a model on `device` draws from."""
        accelerator = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(device, torch.get_rng_state(), accelerator)

    @contextmanager
    def replay(self) -> Iterator[None]:
        """Draw inside the block what was drawn after `capture`; afterwards the generators are as before it."""
        with torch.random.fork_rng(devices=[] if self.accelerator is None else [self.device]):
            self.restore()
            yield

    def restore(self) -> None:
        """Have the generators draw what they drew after `capture`."""
        torch.set_rng_state(self.host)
        if self.accelerator is not None:
            torch.cuda.set_rng_state(self.accelerator, self.device)
