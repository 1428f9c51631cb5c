"""Wall time of a call, with the computing device synchronised on both sides, and how fast this machine is."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
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


class OwnClock(Clock):
    """A clock that stands still while its thread waits for a processor that other programs use, where Linux tells."""

    def __init__(self, device: torch.device, schedule: Path = Path("/proc/thread-self/schedstat")) -> None:
        super().__init__(device)
        self._schedule = schedule if schedule.exists() else None

    def now(self) -> float:
        """Return seconds on a monotonic clock, those in the queue for a processor left out."""
        queued_s, now = self._queued_s(), super().now()
        while queued_s != (queued_s := self._queued_s()):  # the thread has waited between the two readings
            now = super().now()
        return now - queued_s

    def _queued_s(self) -> float:
        return 0.0 if self._schedule is None else 1e-9 * int(self._schedule.read_text("ascii").split()[1])


_SIDE = 1024
_PANEL, _ROUNDS = 256, 40
"""Columns of a product on a processor, and how often it is made: 3 ms, shorter than the slices of time in which other
programs take turns. Where these keep both cores busy, a square product is timed three times too slow, the best of such
panels as on a machine at rest."""


def multiplication_rate(processor: str = "cpu") -> float:
    """Return FLOP/s of a float32 product of 1024 rows on `processor`, with the threads now set: the best of many."""
    matrix = torch.rand(_SIDE, _SIDE, generator=torch.Generator().manual_seed(0)).to(processor)
    clock = Clock(matrix.device)
    panel = matrix[:, :_PANEL].contiguous() if matrix.device.type == "cpu" else matrix
    best = min(clock.time(lambda: torch.mm(matrix, panel))[0] for _ in range(_ROUNDS))
    return 2.0 * _SIDE**2 * panel.shape[1] / best


_REFERENCE_S = 2.2e-3
"""Of `_python_work` on one core of an AMD EPYC without AVX-512 (2026-11-30)."""
_NUMBERS, _PASSES = 4_000, 20


@cache
def interpreter_pace() -> float:
    """Return the seconds that Python's own work takes here, over those on the machine of `_REFERENCE_S`.

    Measured once in a process, in a twentieth of a second: the best of some passes.
    """
    clock = Clock(torch.device("cpu"))
    return min(clock.time(_python_work)[0] for _ in range(_PASSES)) / _REFERENCE_S


def _python_work() -> int:
    """Make calls, texts and look-ups in dictionaries."""
    found: dict[str, int] = {}
    for number in range(_NUMBERS):
        text = f"{number:x}"
        found[text] = found.get(text[-2:], 0) + len(text.split("1"))
    return len(sorted(found, key=str.swapcase))
