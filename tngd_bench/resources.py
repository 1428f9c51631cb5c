"""The memory and cores this process may use: the machine's, or less where a container or affinity limits them."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class _Names:
    """Files of one version of Linux control groups."""

    limit: str
    usage: str
    reclaimable: str  # the entry of memory.stat with pages that the kernel drops when memory is short


_UNIFIED = _Names("memory.max", "memory.current", "inactive_file")
_LEGACY = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory_bytes(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> int:
    """Return the bytes that can still be used without swapping and within the limits of control groups."""
    free = [int(psutil.virtual_memory().available)]
    for folder, names in _folders(groups, own, "memory"):
        limit, usage = _number(folder / names.limit), _number(folder / names.usage)
        if limit is not None and usage is not None:
            free.append(max(0, limit - max(0, usage - _statistic(folder, names.reclaimable))))
    return min(free)


def total_memory_bytes(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> int:
    """Return the machine's memory in bytes, or the least limit of a control group below it."""
    limits = [_number(folder / names.limit) for folder, names in _folders(groups, own, "memory")]
    return min([int(psutil.virtual_memory().total), *(limit for limit in limits if limit is not None)])


def available_cores(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> int:
    """Return how many logical processors this process may keep busy: by affinity and whole ones of a CPU quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quotas = [_quota(folder, names) for folder, names in _folders(groups, own, "cpu")]
    return max(1, int(min([cores, *(quota for quota in quotas if quota is not None)])))


def _folders(groups: Path, own: Path, controller: str) -> Iterator[tuple[Path, _Names]]:
    """Yield the folders of the groups this process is in, with those above them, whose limits hold as well.

    In a container the path is often that of the host and leads nowhere here; what is mounted is then its own group.
    """
    for line in (_text(own) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        names = _LEGACY if controllers else _UNIFIED
        for mounted in (
            (groups / controller, groups / controllers) if controllers else (groups, groups / "unified")
        ):
            if mounted.is_dir():
                inner = mounted / path.lstrip("/")
                while inner != mounted and mounted in inner.parents:
                    yield inner, names
                    inner = inner.parent
                yield mounted, names
                break


def _quota(folder: Path, names: _Names) -> float | None:
    if names is _UNIFIED:
        quota, _, period = (_text(folder / "cpu.max") or "").partition(" ")
    else:
        quota, period = _text(folder / "cpu.cfs_quota_us") or "", _text(folder / "cpu.cfs_period_us") or ""
    with contextlib.suppress(ValueError):  # "max", or no file: no quota
        if int(quota) > 0 and int(period) > 0:
            return int(quota) / int(period)
    return None


def _statistic(folder: Path, name: str) -> int:
    for line in (_text(folder / "memory.stat") or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdecimal() else None  # "max" is no limit


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
