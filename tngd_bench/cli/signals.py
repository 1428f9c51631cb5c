"""Signals that ask a verb to end: its body ends by itself, and one that keeps finished trials says how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from tngd_bench.process_state import ENDING_SIGNALS

if TYPE_CHECKING:
    from tngd_bench.studies.run.audience import PlainAudience


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have every ending signal end the body as Ctrl-C does, so that processes and temporary folders go with it."""
    if threading.current_thread() is not threading.main_thread():  # no other may set what a signal does
        yield
        return
    before = {
        number: signal.signal(number, _interrupt)
        for number in ENDING_SIGNALS
        if number != signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"ended by {signal.Signals(number).name}")


@contextlib.contextmanager
def resumable(audience: PlainAudience, place: Path) -> Iterator[None]:
    """Turn an interrupt of the body into click.Abort, which says what of the trials of `audience` is in `place`."""
    try:
        yield
    except KeyboardInterrupt:
        done = f"{audience.done} of {audience.total} trials are kept in {place}"
        kept = done if audience.total else "nothing ran"
        fresh = " without --fresh" if click.get_current_context().params.get("fresh") else ""
        raise click.Abort(f"interrupted: {kept}; run the same command{fresh} to go on") from None
