"""State that a forward pass draws from and changes, to repeat it: random generators and the buffers of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Buffers = tuple[tuple[nn.Module, str, Tensor, Tensor], ...]
"""Module, name, the tensor and a copy of its values."""


@dataclass(frozen=True)
class ForwardState:
    """The state of torch's global generators, of the processor and of one accelerator, and of buffers at one moment."""

    device: torch.device
    host: Tensor
    accelerator: Tensor | None
    buffers: Buffers

    @classmethod
    def capture(cls, device: torch.device, model: nn.Module | None = None) -> ForwardState:
        """Return the present state of the generators that a model on `device` draws from, and of its buffers."""
        accelerator = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(device, torch.get_rng_state(), accelerator, _buffers(model))

    @contextmanager
    def replay(self, model: nn.Module) -> Iterator[None]:
        """Run the model inside the block as after `capture`; afterwards generators and buffers are as before it."""
        present = _buffers(model)
        with torch.random.fork_rng(devices=[] if self.accelerator is None else [self.device]):
            self.restore()
            try:
                yield
            finally:
                _put(present)

    def restore(self) -> None:
        """Have the generators draw what they drew after `capture`, and the buffers hold what they held."""
        torch.set_rng_state(self.host)
        if self.accelerator is not None:
            torch.cuda.set_rng_state(self.accelerator, self.device)
        _put(self.buffers)


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
