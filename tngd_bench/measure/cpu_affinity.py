"""Processors that a process may be bound to, so that the operating system does not move it while it is timed."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import psutil

_TOPOLOGY = Path("/sys/devices/system/cpu")
_BUSY_STEP = 25.0  # per cent; processors closer in load than this count as equally busy


def can_bind() -> bool:
    """Return whether this process may be bound to processors: not every system has that, and not every sandbox."""
    try:
        os.sched_setaffinity(0, os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return False
    return True


def bind_to(processors: Collection[int]) -> None:
    """Let this process, and the threads it has yet to start, run on `processors` only."""
    os.sched_setaffinity(0, processors)


def usable_processors(topology: Path = _TOPOLOGY) -> tuple[int, ...]:
    """Return the logical processors this process may use, one of every core before the second of any."""
    seen: dict[str, int] = {}
    ranked = []
    for number in sorted(os.sched_getaffinity(0)):
        siblings = topology / f"cpu{number}" / "topology" / "thread_siblings_list"
        core = siblings.read_text().strip() if siblings.is_file() else str(number)
        seen[core] = seen.get(core, 0) + 1
        ranked.append((seen[core], number))
    return tuple(number for _, number in sorted(ranked))


def processor_loads() -> tuple[float, ...]:
    """Return how busy each processor has been since the last call, in per cent, by number; zeros at the first.

    Empty where a sandbox hides that.
    """
    try:
        return tuple(psutil.cpu_percent(interval=None, percpu=True))
    except OSError:
        return ()


def choose(
    count: int, usable: Sequence[int], taken: Collection[int], loads: Sequence[float]
) -> frozenset[int] | None:
    """Return `count` of the `usable` processors that are not `taken`, the idlest; None where there are too few."""
    free = [number for number in usable if number not in taken]
    if len(free) < count:
        return None

    def busy(number: int) -> float:
        return loads[number] // _BUSY_STEP if number < len(loads) else 0.0

    return frozenset(sorted(free, key=busy)[:count])  # the sort keeps the order of `usable` among equals
