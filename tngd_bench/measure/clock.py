"""Wall time of a call, with the computing device synchronised on both sides."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


class Clock:
    """A stopwatch for work on one torch device; CUDA's queue is drained before either reading."""

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._device = device

    def now(self) -> float:
        """Return seconds on a monotonic clock, everything queued on the device done."""
        if self._on_cuda:
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def time(self, work: Callable[[], Result]) -> tuple[float, Result]:
        """Return the seconds that `work` takes, and what it returns."""
        start = self.now()
        result = work()
        return self.now() - start, result
