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

from tngd_bench.resources import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST_ITEMS = 4
"""A process with fewer items takes longer to start than it saves."""
_BATCHES = 16
"""Batches of items per process: enough to share the work evenly, few enough to cost nothing."""
_ENDED_EARLY = "a process that worked on a part of it ended early (memory may be short)"


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

    Raises what `work` raises, and ChildProcessError where a process ended without its results, as when memory is short.
    """
    number = usable_processes(len(items)) if processes is None else processes
    if number <= 1:
        meanwhile()
        return [work(item) for item in items]
    # What there is by now is neither searched for garbage nor, by that search, copied for each process.
    gc.freeze()
    try:
        with ProcessPoolExecutor(
            number, multiprocessing.get_context("fork"), initializer=_share, initargs=(work, items)
        ) as pool:
            batch = max(1, len(items) // (number * _BATCHES))
            made = pool.map(_work_on, range(len(items)), chunksize=batch)
            meanwhile()
            return list(made)
    except BrokenProcessPool as error:
        raise ChildProcessError(_ENDED_EARLY) from error
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def beside(work: Callable[[], Result], items: int) -> Iterator[Callable[[], Result]]:
    """Do `work` on so many `items` in a process of its own meanwhile; yield what waits for its result and returns it.

    Where no process forks (see `usable_processes`) the work is done when the result is asked for. Raises what `work`
    raises there, and BrokenProcessPool where the process ended without a result.
    """
    if usable_processes(items) < 2:
        yield work
        return
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, fork, initializer=_share, initargs=(lambda made: made(), [work])) as pool:
        yield pool.submit(_work_on, 0).result


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

        Raises ChildProcessError where the process has ended without them.
        """
        try:
            made: list[Result] = self._receiver.recv()
        except EOFError as error:
            raise ChildProcessError(_ENDED_EARLY) from error
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
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process; one of them says so
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _shared.update(work=work, items=items)


def _exit_with_parent() -> None:
    """End this process once the one that forked it has ended: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work_on(place: int) -> Any:
    return _shared["work"](_shared["items"][place])
