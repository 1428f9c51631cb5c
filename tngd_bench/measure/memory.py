"""Peak memory of a piece of work: the kernel's high-water mark of what is resident, or the GPU allocator's."""

import ctypes
import gc
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # proc(5), clear_refs: set the peak resident set size to the present one
_KIBI = 1024


@dataclass(frozen=True)
class PeakMemory:
    """`peak_bytes` above what was resident before, NaN with a `reason` where it cannot be measured."""

    peak_bytes: float
    reason: str | None = None


def measure_peak(work: Callable[[], object], process: Path = _PROCESS) -> PeakMemory:
    """Run `work` and return the peak of resident memory over it, minus what was resident at its start.

    Freed memory is given back first. Belongs in a process of its own, after a warm-up that has loaded every
    library `work` needs. Where `process` has no /proc entry that can be reset, `work` is not run.
    """
    gc.collect()
    _give_back_freed_memory()
    try:
        (process / "clear_refs").write_text(_RESET_PEAK)
        before = _resident(process, "VmRSS")
    except (OSError, LookupError) as error:
        return PeakMemory(math.nan, f"peak memory cannot be measured here ({error})")
    work()
    return PeakMemory(float(max(_resident(process, "VmHWM") - before, 0)))


def measure_gpu_peak(work: Callable[[], object], device: torch.device) -> PeakMemory:
    """Run `work` and return the peak of its tensors' memory on a GPU, minus what tensors held at its start.

    Of torch's allocator: what the driver and the libraries take, and blocks kept for reuse, do not count.
    """
    gc.collect()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return PeakMemory(float(max(torch.cuda.max_memory_allocated(device) - before, 0)))


class _Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no annotation there
    """Follows the storages that operations make, from the operation to the end of their last tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.held = self.peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            id(one.untyped_storage()) for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)
        }
        out = func(*args, **(kwargs or {}))
        for one in tree_leaves(out):
            if isinstance(one, torch.Tensor) and id(one.untyped_storage()) not in given:
                self._follow(one.untyped_storage())
        return out

    def _follow(self, storage: Any) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return

        def freed(_: object) -> None:
            self.held -= size
            self._alive.pop(key, None)

        self._alive[key] = weakref.ref(storage, freed)
        self.held += size
        self.peak = max(self.peak, self.held)


def measure_allocated(work: Callable[[], object]) -> int:
    """Run `work` and return the peak of bytes in tensors that its operations made.

    The same on every run and machine, unlike resident memory; an operation's own scratch memory does not count.
    """
    gc.collect()
    allocations = _Allocations()
    with allocations:
        work()
    return allocations.peak


def _resident(process: Path, field: str) -> int:
    for line in (process / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * _KIBI
    raise LookupError(f"no {field} in {process / 'status'}")


def _give_back_freed_memory() -> None:
    # glibc keeps freed blocks below its mmap threshold; `work` would reuse them and seem to need nothing.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT_BYTES, _LARGEST_KEPT_BYTES = 256 * _KIBI**2, 32 * _KIBI**2


def keep_freed_memory() -> None:
    """Have this process keep 256 MiB that it has freed, blocks of 32 MiB at the most, where its C library is glibc.

    It comes to that by itself once it has freed a large block, as K-FAC does and SGD does not. Until then it gives
    memory back and asks for it again: an evaluation of mnist-cnn took twice as long.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        adjust(_TRIM_THRESHOLD, _KEPT_BYTES)
