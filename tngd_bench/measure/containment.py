"""Containment of optimizers: the loss that a step returns, and the process that it leaves to the others."""

import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
def undisturbed(device: torch.device, *batches: Sequence[Any]) -> Iterator[None]:
    """Raise DisturbanceError where the block changes the process's state or a batch, or leaves a thread at work.

    Draws from global random generators are taken back, so that what one optimizer draws is no part of another's run.
    """
    before, threads, versions = process_state(), set(threading.enumerate()), _versions(batches)
    draws = ForwardState.capture(device)
    yield
    draws.restore()
    changed = changed_state(before) or ("a batch in place" if _versions(batches) != versions else "")
    if changed:
        raise DisturbanceError(f"it changed {changed}: times taken in such a process are not the study's")
    left = [each for each in threading.enumerate() if each not in threads]
    if left and _busy(left):
        raise DisturbanceError("it left a thread at work: times taken beside one are not the study's")


def _versions(batches: Iterable[Sequence[Any]]) -> list[tuple[int, bool]]:
    """Return how often the tensors of all batches have been changed in place, and whether they want gradients."""
    parts = [part for batch in batches for part in batch]
    values = [value for part in parts for value in (part.values() if isinstance(part, Mapping) else [part])]
    return [(value._version, value.requires_grad) for value in values if isinstance(value, torch.Tensor)]


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
