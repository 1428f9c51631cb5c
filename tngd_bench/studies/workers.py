"""Worker processes: started from a server that has torch loaded, watched, stopped at their time limit."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any, Literal

PRELOADED = (
    "tngd_bench.studies.work",
    "tngd_bench.problems.networks",
    "tngd_bench.optimizers.first_order",
    "tngd_bench.optimizers.kfac",
    "tngd_bench.optimizers.ngd",
    "tngd_bench.optimizers.tngd",
    "torch._dynamo",  # imported by the first torch.optim optimizer made, which takes a second
)
"""Modules that the server imports once for all workers."""
_CALL_LIMIT_S = 120.0
_FAREWELL_S = 5.0  # for a process that has sent its result to end by itself
Ending = Literal["done", "failed", "timed-out", "died"]


def worker_context() -> ForkServerContext:
    """Return the context whose server process imports torch once, before any thread exists, and then only forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    with _deaf_to_interrupts():
        # Ctrl-C reaches every process of a terminal; the server and all it forks inherit that they ignore it.
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change it, and only the main thread is interrupted
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous if previous is not None else signal.SIG_DFL)


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back while a worker is started and written down.

    A start broken off halfway leaves the server with half a message to read, and a worker that nobody knows of goes on.
    """
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


class Worker:
    """One process at work; `turn` is the last thing it said it was doing.

    Once `poll` has returned True, `ending` tells how it ended and `value` holds the result or the reason.
    """

    def __init__(
        self,
        context: ForkServerContext,
        target: Callable[..., None],
        args: Sequence[object],
        seconds_limit: float,
    ) -> None:
        self._connection: Connection
        self._connection, theirs = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(target=target, args=(*args, theirs), daemon=True)
        self._limit = seconds_limit
        self.deadline = time.monotonic() + seconds_limit
        self.turn: str | None = None
        self.ending: Ending | None = None
        self.value: Any = None
        self._process.start()
        theirs.close()

    @property
    def handles(self) -> tuple[Connection, int]:
        """What to wait on: a message, or the end of the process."""
        return self._connection, self._process.sentinel

    def poll(self) -> bool:
        """Take in messages; return whether the worker has ended. Past its deadline it is killed."""
        try:
            while self.ending is None and self._connection.poll():
                what, value = self._connection.recv()
                if what == "turn":
                    self.turn = value
                else:
                    self.ending, self.value = what, value
        except (EOFError, OSError):
            self._process.join()
            self.ending, self.value = "died", _cause_of_death(self._process.exitcode)
        if self.ending is None and time.monotonic() > self.deadline:
            self.stop()
            self.ending, self.value = "timed-out", f"stopped after {self._limit:g} s, the limit of a trial"
        if self.ending is not None:
            self.stop()
        return self.ending is not None

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if self.ending in ("done", "failed"):
            self._process.join(_FAREWELL_S)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._connection.close()


def wait_for_any(workers: Sequence[Worker]) -> None:
    """Return when a worker has something to say, has ended, or has reached its deadline."""
    remaining = min(worker.deadline for worker in workers) - time.monotonic()
    wait([handle for worker in workers for handle in worker.handles], timeout=max(remaining, 0.0) + 0.01)


def call_in_worker(context: ForkServerContext, target: Callable[..., None], args: Sequence[object]) -> Any:
    """Run `target` in a process of its own and return what it sends; RuntimeError when it ends otherwise."""
    with interrupts_later():
        worker = Worker(context, target, args, _CALL_LIMIT_S)
    try:
        while not worker.poll():
            wait_for_any([worker])
    finally:
        worker.stop()
    if worker.ending != "done":
        raise RuntimeError(f"{target.__name__} {worker.ending}: {worker.value}")
    return worker.value


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = ", often for lack of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {exit_code} before the result"
