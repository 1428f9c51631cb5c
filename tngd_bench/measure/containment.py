"""Containment of optimizers: the loss that a step returns, and the process that it leaves to the others."""

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers.forward_state import ForwardState
from tngd_bench.process_state import changed_state, process_state

_LOOK_S, _BUSY_SHARE = 0.2, 0.1
"""A thread left behind is watched for 0.2 s; one that computes for a tenth of it would slow down the others."""


class DisturbanceError(RuntimeError):
    """An optimizer changed the process that others are measured in: nothing more is measured there."""


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Raise DisturbanceError where the block changes the process's state, or leaves a thread at work in it.

    Draws from global random generators are taken back, so that what one optimizer draws is no part of another's run.
    """
    before, threads = process_state(), set(threading.enumerate())
    draws = ForwardState.capture(device)
    yield
    draws.restore()
    changed = changed_state(before)
    if changed:
        raise DisturbanceError(f"it changed {changed}: times taken in such a process are not the study's")
    left = [each for each in threading.enumerate() if each not in threads]
    if left and _busy(left):
        raise DisturbanceError("it left a thread at work: times taken beside one are not the study's")


def _busy(threads: list[threading.Thread]) -> bool:
    """Return whether any of `threads` computes while this one sleeps; where that cannot be told, none does."""
    tasks = [Path(f"/proc/self/task/{each.native_id}/stat") for each in threads]

    def ticks() -> int:
        return sum(_ticks(task) for task in tasks)

    start = ticks()
    time.sleep(_LOOK_S)
    return (ticks() - start) / os.sysconf("SC_CLK_TCK") >= _BUSY_SHARE * _LOOK_S


def _ticks(task: Path) -> int:
    """Return the processor time of a thread in clock ticks (proc(5): fields utime and stime); 0 for one that ended."""
    try:
        fields = task.read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def checked_loss(value: object, iteration: int) -> float:
    """Return what a step returned; TypeError unless it is a float, DivergedError unless it is finite."""
    if not isinstance(value, float):
        raise TypeError(f"step must return the loss as a float, not {value!r:.80} ({type(value).__name__})")
    if not math.isfinite(value):
        raise DivergedError("the loss", iteration)
    return value


def resident_bytes() -> int:
    """Return the memory of this process that is resident."""
    return int(psutil.Process().memory_info().rss)
