"""State of a process that outside code could change for everything else in it: read, compared, put back."""

import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  # a text, as messages show it
    except OSError:  # it was removed
        return None


def _processors() -> tuple[int, ...] | None:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone
    return None if affinity is None else tuple(sorted(affinity(0)))


ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals by which a person, a scheduler or a terminal that closes asks a process to end."""

_OWN: Mapping[str, tuple[Callable[[], object], Callable[[Any], object]]] = {
    "Python's garbage collection": (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    "the current folder": (_folder, os.chdir),
    "the processors that it may use": (_processors, lambda several: os.sched_setaffinity(0, several)),
}
_OF_TORCH: Mapping[str, tuple[object, Callable[[Any], object], Callable[[Any, Any], object]]] = {
    "torch's number of threads": (None, lambda t: t.get_num_threads(), lambda t, n: t.set_num_threads(n)),
    "torch's default dtype": (
        "torch.float32",
        lambda t: str(t.get_default_dtype()),
        lambda t, name: t.set_default_dtype(getattr(t, name.removeprefix("torch."))),
    ),
    "torch's default device": (
        "cpu",
        lambda t: str(t.get_default_device()),
        # "cpu" would be a mode that every call of torch passes through
        lambda t, name: t.set_default_device(None if name == "cpu" else name),
    ),
    "torch's float32 matmul precision": (
        "highest",
        lambda t: t.get_float32_matmul_precision(),
        lambda t, name: t.set_float32_matmul_precision(name),
    ),
    "torch's deterministic algorithms": (
        False,
        lambda t: t.are_deterministic_algorithms_enabled(),
        lambda t, on: t.use_deterministic_algorithms(on),
    ),
    "torch's recording of gradients": (
        True,
        lambda t: t.is_grad_enabled(),
        lambda t, on: t.set_grad_enabled(on),
    ),
    "torch's search for anomalies": (
        False,
        lambda t: t.is_anomaly_enabled(),
        lambda t, on: t.set_anomaly_enabled(on),
    ),
    "torch's autocast": (
        False,
        lambda t: t.is_autocast_enabled("cpu"),
        lambda t, on: t.set_autocast_enabled("cpu", on),
    ),
}
"""By name: the value right after torch's import (None: unknown), and the functions that read and set it."""


def process_state() -> dict[str, object]:
    """Return by name what outside code must leave as it is; torch's is that after its import where it is not loaded."""
    torch = sys.modules.get("torch")
    own = {name: read() for name, (read, _) in _OWN.items()}
    return own | {
        name: initial if torch is None else read(torch) for name, (initial, read, _) in _OF_TORCH.items()
    }


def changed_state(before: Mapping[str, object]) -> str:
    """Return in words what of the process's state is no longer as `before`; "" where all is."""
    return ", ".join(f"{name} from {before[name]} to {now}" for name, now in _changed(before).items())


def _changed(before: Mapping[str, object]) -> dict[str, object]:
    now = process_state()
    return {name: now[name] for name, value in before.items() if value is not None and now[name] != value}


@contextmanager
def kept() -> Iterator[list[str]]:
    """Put back what loading outside code in the block changes; the list then says in words what that was.

    Filters of warnings that it adds stand behind those there were.
    """
    before, filters = process_state(), list(warnings.filters)
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    said: list[str] = []
    try:
        yield said
    finally:
        said += filter(None, [changed_state(before)])
        for name in _changed(before):
            if name in _OWN:
                _OWN[name][1](before[name])
            else:
                _OF_TORCH[name][2](sys.modules["torch"], before[name])
        warnings.filters[:] = [*filters, *(one for one in warnings.filters if one not in filters)]  # type: ignore[index]
        if threading.current_thread() is threading.main_thread():  # no other may set what a signal does
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
                    said.append(f"what {number.name} does")
