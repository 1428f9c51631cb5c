"""Worker processes: forked from a server that has torch loaded, watched, and stopped at their limits."""

import contextlib
import gc
import math
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, util
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Literal

import psutil

from tngd_bench import plugin_files
from tngd_bench.measure.step_limit import Deadline
from tngd_bench.optimizers import registry
from tngd_bench.plugin_files import PluginFile
from tngd_bench.process_state import ENDING_SIGNALS
from tngd_bench.studies.errors import EngineError
from tngd_bench.studies.run.main_module import without_main_module

PRELOADED = (
    "tngd_bench.studies.run.loading",
    "tngd_bench.studies.run.run_trial",
    "tngd_bench.problems.networks",
    *registry.own_modules(),
    "torch._dynamo",  # imported by the first torch.optim optimizer made, which takes a second
    "torch.utils.serialization.config",  # imported by torch.load, which every worker calls
    "tngd_bench.studies.run.worker_process",
    "tngd_bench.studies.run.preloaded",
)
"""Modules that the server imports once for all workers."""
_LONGEST_FOLDER = 70  # bytes; multiprocessing adds /pymp-xxxxxxxx/listener-xxxxxxxx
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # a folder of our own is made in one
_CALL_LIMIT_S = 120.0
_EXIT_GRACE_S = 5.0  # for a process that has sent its result to end by itself
_WATCH_S = 0.1  # between looks at the memory of a process
_STDOUT, _STDERR = 1, 2
_SAFE_PATH, _OF_SERVER = "PYTHONSAFEPATH", "for the server of workers"
_ORPHANED_EXIT_CODE = 1
_DESCENDANTS_EVERY = 10  # looks at the memory, between searches for the processes of a process
Ending = Literal["done", "failed", "timed-out", "slow-step", "out-of-memory", "died"]


@dataclass(frozen=True)
class Limits:
    """Limits at which a worker is stopped: seconds, and resident bytes of it and the processes it started."""

    seconds: float
    memory_bytes: float = math.inf


def worker_context() -> ForkServerContext:
    """Return the context whose server process imports torch once, before any thread exists, and then only forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    _use_short_socket_paths()
    with _ignoring_sigint(), _working_folder_left_out():
        # Ctrl-C reaches every process of a terminal; the server and all it forks inherit that they ignore it.
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _working_folder_left_out() -> Iterator[None]:
    """Let the server look for no module in the working folder, where a user's timeit.py or random.py may lie.

    Workers look where this process does. A package that is used from its own folder, not installed, stays found.
    """
    before = os.environ.get(_SAFE_PATH)
    if before or Path(plugin_files.__file__).parents[1] == Path.cwd():
        yield
        return
    os.environ[_SAFE_PATH] = _OF_SERVER
    try:
        yield
    finally:
        del os.environ[_SAFE_PATH]
        if before is not None:
            os.environ[_SAFE_PATH] = before


def _use_short_socket_paths() -> None:
    """Let multiprocessing make its sockets in a folder with a short path; EngineError where there is none.

    A socket's path holds 107 bytes, and TMPDIR may be longer (batch systems, macOS). Other files stay in TMPDIR.
    """
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) <= _LONGEST_FOLDER:
        return
    short = next((place for place in _SHORT_FOLDERS if os.access(place, os.W_OK | os.X_OK)), None)
    if short is None:
        raise EngineError(
            f"TMPDIR is too long for sockets: {folder}; set it to a folder of at most {_LONGEST_FOLDER} bytes"
        )
    before, tempfile.tempdir = tempfile.tempdir, short
    try:
        util.get_temp_dir()  # remembered by multiprocessing
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def _ignoring_sigint() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change it, and only the main thread is interrupted
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous if previous is not None else signal.SIG_DFL)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold ending signals back while a worker is started and written down.

    A start broken off halfway leaves the server with half a message to read, and a worker that nobody knows of goes on.
    Handlers are changed, not the signal mask: that is a thread's own, and any library's thread would take the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in ENDING_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if received:
            signal.raise_signal(received[0])


class Worker:
    """A worker process that calls `target` with `args` and a connection, after loading the plug-ins `files`.

    `files` are those of this process where none are given. `turn` is the optimizer that it said last it was working on.
    Once `poll` has returned True, `ending` tells how it ended and `value` holds the result or the reason; of a
    "slow-step" the deadline that the worker announced and went beyond.
    """

    def __init__(
        self,
        context: ForkServerContext,
        target: Callable[..., None],
        args: Sequence[object],
        limits: Limits,
        files: Sequence[PluginFile] | None = None,
    ) -> None:
        self._connection: Connection
        self._connection, theirs = context.Pipe(duplex=False)
        theirs_too = (plugin_files.loaded() if files is None else files, target, *args, theirs)
        self._process: ForkServerProcess = context.Process(target=_enter, args=theirs_too, daemon=True)
        self._limits = limits
        self.deadline = time.monotonic() + limits.seconds
        self.turn: str | None = None
        self._announced: Deadline | None = None
        self._step_deadline = math.inf
        self._held: Counter[str | None] = Counter()
        self._resident = 0
        self.ending: Ending | None = None
        self.value: Any = None
        try:
            with without_main_module():
                self._process.start()
        except (EOFError, ConnectionError) as error:
            raise EngineError("the server of worker processes ended; what it printed says why") from error
        theirs.close()
        self._memory = _MemoryWatch(self.process_id)

    @property
    def handles(self) -> tuple[Connection, int]:
        """Handles to wait on: a message, or the end of the process."""
        return self._connection, self._process.sentinel

    @property
    def process_id(self) -> int:
        """The process's number in the operating system."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> bool:
        """Take in messages; return whether the worker has ended. Beyond its limits it is killed."""
        # Asked before the last messages are read. The end of the messages alone does not tell: a process that the
        # worker has started may hold the other end of the pipe open.
        gone = not self._process.is_alive()
        try:
            while self.ending is None and self._connection.poll():
                what, value = self._connection.recv()
                if what == "turn":
                    self.turn = value
                elif what == "resident":
                    self._hold(value)
                elif what == "steps":
                    self._announced = value
                    self._step_deadline = math.inf if value is None else time.monotonic() + value.seconds
                else:
                    self.ending, self.value = what, value
        except (EOFError, OSError):
            gone = True
        if self.ending is None and gone:
            self._process.join()
            self.ending, self.value = "died", _exit_reason(self._process.exitcode)
        limits = self._limits
        if self.ending is None and time.monotonic() > self.deadline:
            self.stop()
            self.ending, self.value = "timed-out", f"stopped after {limits.seconds:g} s, the limit of a trial"
        if self.ending is None and time.monotonic() > self._step_deadline:
            self.stop()
            self.ending, self.value = "slow-step", self._announced
        if self.ending is None and (resident := self._memory.resident()) > limits.memory_bytes:
            self.stop()
            self._hold(resident)
            if self.turn is not None:  # the one that holds most, which need not be the one at work
                self.turn = max((each for each in self._held if each is not None), key=self._held.__getitem__)
            limit = limits.memory_bytes / 1e9
            used = f"stopped at {resident / 1e9:.3g} GB of memory, the limit of a trial is {limit:.3g} GB"
            self.ending, self.value = "out-of-memory", used
        if self.ending is not None:
            self.stop()
        return self.ending is not None

    def _hold(self, resident: int) -> None:
        """Note that what became resident since the last note became so in the present turn."""
        self._held[self.turn] += resident - self._resident
        self._resident = resident

    def stop(self) -> None:
        """End the process, whatever it is doing, and those it has started."""
        if self.ending in ("done", "failed"):
            self._process.join(_EXIT_GRACE_S)
        # Of a process that is gone, those seen while it lived; psutil kills none that got the number of one of them.
        descendants = self._memory.children
        if self._process.is_alive():
            descendants = self._memory.descendants()
            self._process.kill()
        for child in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.join()
        self._connection.close()


class _MemoryWatch:
    """The resident memory of a process and of those it has started.

    The process itself is looked at often; its children rarely, since finding them means reading all processes.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.children: list[psutil.Process] = []
        self._looks = 0
        self._next_s = 0.0
        self._bytes = 0

    def resident(self) -> int:
        """Return resident bytes, at most `_WATCH_S` old; 0 when the process has ended."""
        if time.monotonic() < self._next_s:
            return self._bytes
        if self._looks % _DESCENDANTS_EVERY == 0:
            self.children = self.descendants()
        self._looks += 1
        self._bytes = 0
        with contextlib.suppress(psutil.Error):
            self._bytes = psutil.Process(self._pid).memory_info().rss
        for child in self.children:
            with contextlib.suppress(psutil.Error):
                self._bytes += child.memory_info().rss
        self._next_s = time.monotonic() + _WATCH_S
        return self._bytes

    def descendants(self) -> list[psutil.Process]:
        """Return the processes that the process has started, and theirs."""
        try:
            return psutil.Process(self._pid).children(recursive=True)
        except psutil.Error:
            return []


def wait_for_any(workers: Sequence[Worker]) -> None:
    """Return when a worker has sent a message, ended or reached its deadline, or after a tenth of a second."""
    remaining = min(worker.deadline for worker in workers) - time.monotonic()
    timeout = min(max(remaining, 0.0) + 0.01, _WATCH_S)
    wait([handle for worker in workers for handle in worker.handles], timeout=timeout)


def _enter(files: Sequence[PluginFile], target: Callable[..., None], *args: Any) -> None:
    """Begin a worker process: it ends with its parent and keeps what plug-ins print off the standard output."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ctrl-C is ignored since the server's start
    gc.freeze()  # what the server loaded is no garbage, and a search of all of it takes 0.2 s
    if os.environ.get(_SAFE_PATH) == _OF_SERVER:
        del os.environ[_SAFE_PATH]
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    os.dup2(_STDERR, _STDOUT)
    try:
        for file in files:
            plugin_files.install(file)
    except ValueError as error:
        args[-1].send(("failed", str(error)))
        return
    target(*args)


def _exit_with(parent: Any) -> None:
    parent.join()
    os._exit(_ORPHANED_EXIT_CODE)


def call_in_worker(
    context: ForkServerContext,
    target: Callable[..., None],
    args: Sequence[object],
    limits: Limits = Limits(_CALL_LIMIT_S),
    files: Sequence[PluginFile] | None = None,
) -> Any:
    """Run `target` in a process of its own and return what it sends; EngineError when it ends otherwise."""
    with interrupts_held():
        worker = Worker(context, target, args, limits, files)
    try:
        while not worker.poll():
            wait_for_any([worker])
    finally:
        worker.stop()
    if worker.ending != "done":
        raise EngineError(str(worker.value))
    return worker.value


def _exit_reason(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = ", often for lack of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {exit_code} before the result"
