"""What Ctrl-C and SIGTERM do to a verb that keeps finished trials: it stops, and says how to go on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from tngd_bench.cli.progress import PlainAudience


@contextlib.contextmanager
def resumable(audience: PlainAudience, place: Path) -> Iterator[None]:
    """Show the progress of the body by `audience`; click.Abort where it is interrupted, with what is kept in `place`.

    SIGTERM stops it as Ctrl-C does: workers ended, finished trials kept.
    """
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        with audience:
            yield
    except KeyboardInterrupt:
        kept = (
            f"{audience.done} of {audience.total} trials are kept in {place}"
            if audience.total
            else "nothing ran"
        )
        raise click.Abort(f"interrupted: {kept}; run the same command without --fresh to go on") from None
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
