"""One function over many items, worked off by several processes.

Processes are forked: they have the items and every module in memory, so that only places and results travel. A figure
that was made with functions of a report could not be sent. Forking is safe where no other Python thread may hold a
lock, and is done on Linux alone; elsewhere this process works by itself.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from tngd_bench.process_state import ENDING_SIGNALS
from tngd_bench.resources import available_cores
from tngd_bench.studies.errors import EngineError

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST_ITEMS = 4
"""A process with fewer items takes longer to start than it saves."""
_BATCHES = 16
"""Batches of items per process: enough to share the work evenly, few enough to cost nothing."""
_ENDED_EARLY = "a process that worked on a part of the page ended early, often for lack of memory"


def usable_processes(items: int) -> int:
    """Return the number of processes for `items`: one per core that this process may use, 1 where it cannot fork."""
    alone = (
        sys.platform != "linux" or threading.active_count() > 1 or multiprocessing.current_process().daemon
    )
    return 1 if alone else max(1, min(available_cores(), items // FEWEST_ITEMS))


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Return `work(item)` of each of `items`, in their order, made in `processes` (`usable_processes` if left out).

    `meanwhile` is called in this process, while the others work.

    Raises what `work` raises, and EngineError where a process ended without its results, as when memory is short.
    """
    number = usable_processes(len(items)) if processes is None else processes
    if number <= 1:
        meanwhile()
        return [work(item) for item in items]
    # What there is by now is neither searched for garbage nor, by that search, copied for each process.
    gc.freeze()
    try:
        with _pool(number, work, items) as pool, _loss_told():
            batch = max(1, len(items) // (number * _BATCHES))
            places = range(len(items))
            # not by `map`, which cancels what it has not given when it fails: Python 3.11 cannot lose such a process
            made = [pool.submit(_work_on, places[at : at + batch]) for at in places[::batch]]
            meanwhile()
            return [result for future in made for result in future.result()]
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def beside(work: Callable[[], Result], items: int) -> Iterator[Callable[[], Result]]:
    """Do `work` on so many `items` in a process of its own meanwhile; yield what waits for its result and returns it.

    Where no process forks (see `usable_processes`) the work is done when the result is asked for. Raises what `work`
    raises there, and EngineError where the process ended without a result.
    """
    if usable_processes(items) < 2:
        yield work
        return
    with _pool(1, lambda made: made(), [work]) as pool:
        future = pool.submit(_work_on, range(1))

        def result() -> Result:
            with _loss_told():
                made: list[Result] = future.result()
            return made[0]

        yield result


@contextlib.contextmanager
def _pool(number: int, work: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of forked processes for `_work_on`; they are killed where the block fails or is interrupted.

    A pool waits for all that was asked of it. Its processes only compute, and leave nothing half written.
    """
    others = set(multiprocessing.active_children())
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(number, fork, initializer=_share, initargs=(work, items)) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise


@contextlib.contextmanager
def _loss_told() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise EngineError(_ENDED_EARLY) from error


class Ahead(Generic[Item, Result]):
    """Items, hundreds at most, that another process works on, from the first one, while this one still makes more."""

    def __init__(self, work: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._begun = len(items)
        # a byte for each item: who reads it has taken the item, and a pipe that nobody writes to any more has an end
        self._tokens, writing = os.pipe()
        os.write(writing, bytes(len(items)))
        os.close(writing)
        fork = multiprocessing.get_context("fork")
        self._receiver, sender = fork.Pipe(duplex=False)
        arguments = (work, items, self._tokens, sender)
        self._process = fork.Process(target=_work_ahead, args=arguments, daemon=True)
        self._process.start()
        sender.close()

    def stop(self) -> int:
        """Let no further item be begun; return how many have been, the second time as the first."""
        self._begun -= len(os.read(self._tokens, self._begun))
        return self._begun

    def results(self) -> list[Result]:
        """Return the results of the items begun before `stop`; wait for the last of them.

        Raises EngineError where the process has ended without them.
        """
        try:
            made: list[Result] = self._receiver.recv()
        except (EOFError, OSError) as error:  # before its message or within it
            raise EngineError(_ENDED_EARLY) from error
        return made

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._receiver.close()
        os.close(self._tokens)


def _work_ahead(
    work: Callable[[Item], Result], items: Sequence[Item], tokens: int, sender: Connection
) -> None:
    _share(work, items)
    made: list[Result] = []
    while os.read(tokens, 1):
        made.append(work(items[len(made)]))
    sender.send(made)  # at once: a pipe holds less than one result, and nobody reads before the end


_shared: dict[str, Any] = {}
"""In a forked process: the function and the items, which were there before it was forked."""


def _share(work: Callable[[Item], Any], items: Sequence[Item]) -> None:
    for number in ENDING_SIGNALS:  # they may reach every process of a group; the one that forked says so
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _shared.update(work=work, items=items)


def _exit_with_parent() -> None:
    """End this process once the one that forked it has ended: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work_on(places: Sequence[int]) -> list[Any]:
    return [_shared["work"](_shared["items"][place]) for place in places]
