"""One function over many items, worked off by this process and others forked from it.

A forked process has the items and every module in memory already, so that only results travel; a figure that was made
with functions of a report could not be sent. Forking is safe where no other Python thread may hold a lock, and is done
on Linux alone; elsewhere this process works by itself. Results do not depend on how many processes there are.
"""

from __future__ import annotations

import gc
import itertools
import math
import multiprocessing
import os
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import TypeVar

from tngd_bench.resources import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST_ITEMS = 4
"""A process with fewer items takes longer to start than it saves."""
_TICKET = struct.Struct("H")
_TICKETS = 4096 // _TICKET.size  # what every pipe holds without a reader


def usable_processes(items: int) -> int:
    """Return how many processes may share `items`: one per core that this process may use, and 1 where none forks."""
    alone = (
        sys.platform != "linux" or threading.active_count() > 1 or multiprocessing.current_process().daemon
    )
    return 1 if alone else max(1, min(available_cores(), items // FEWEST_ITEMS))


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int | None = None
) -> list[Result]:
    """Return `work(item)` of each of `items`, in their order, made in `processes` (`usable_processes` if left out).

    Raises what `work` raises, and ChildProcessError where a process ended without its results, as when memory is short.
    """
    number = usable_processes(len(items)) if processes is None else processes
    # What there is by now is neither searched for garbage nor, by that search, copied for each process.
    gc.freeze()
    try:
        return _shared(work, items, number) if number > 1 else [work(item) for item in items]
    finally:
        gc.unfreeze()


def _shared(work: Callable[[Item], Result], items: Sequence[Item], number: int) -> list[Result]:
    tickets = _tickets(len(items))
    context = multiprocessing.get_context("fork")
    started: list[tuple[ForkProcess, Connection]] = []
    done: dict[int, Result] = {}
    try:
        for _ in range(number - 1):
            receiving, sending = context.Pipe(duplex=False)
            process = context.Process(target=_help, args=(sending, work, items, tickets), daemon=True)
            process.start()
            sending.close()
            started.append((process, receiving))
        done.update(_take(work, items, tickets))
        for process, receiving in started:
            done.update(_received(process, receiving))
    finally:
        os.close(tickets)
        for process, receiving in started:
            receiving.close()
            process.kill()  # one that has sent its results is ending; another's are no longer wanted
            process.join()
    return [done[place] for place in range(len(items))]


def _tickets(items: int) -> int:
    """Return the reading end of a pipe with the numbers of all parts of the work, each to be read by one process.

    Whoever reads a number has taken it, so that no lock can be left behind by a process that was killed.
    """
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        pipe.write(b"".join(_TICKET.pack(part) for part in range(min(items, _TICKETS))))
    return reading


def _take(work: Callable[[Item], Result], items: Sequence[Item], tickets: int) -> dict[int, Result]:
    """Return results by place, of parts taken one after another until none is left."""
    done = {}
    size = math.ceil(len(items) / _TICKETS)
    while ticket := os.read(tickets, _TICKET.size):
        first = _TICKET.unpack(ticket)[0] * size
        for place, item in enumerate(itertools.islice(items, first, first + size), first):
            done[place] = work(item)
    return done


def _help(sending: Connection, work: Callable[[Item], Result], items: Sequence[Item], tickets: int) -> None:
    """Take part in the work, in a process of its own, and send the results or the error."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process; one of them says so
    try:
        outcome: Mapping[int, Result] | Exception = _take(work, items, tickets)
    except Exception as error:
        error.add_note(traceback.format_exc())
        outcome = error
    sending.send(outcome)


def _received(process: ForkProcess, receiving: Connection) -> Mapping[int, Result]:
    try:
        outcome: Mapping[int, Result] | Exception = receiving.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code}"
        raise ChildProcessError(
            f"a process that worked on a part of it {how} (memory may be short)"
        ) from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
