"""Python's garbage collector, kept out of work that it would slow down."""

import contextlib
import gc
from collections.abc import Iterator

_SELDOM = 500_000  # more than the modules of any verb make


def collect_seldom() -> None:
    """Keep the collector from running while modules load, of which it would take a sixth of the time."""
    gc.set_threshold(_SELDOM, *gc.get_threshold()[1:])


def no_last_collection() -> None:
    """Spare a process that ends the search for garbage among all it has, which takes up to a second."""
    gc.freeze()


@contextlib.contextmanager
def collected_by_hand() -> Iterator[None]:
    """Keep the collector from running by itself; what exists already is set aside, so that collecting stays quick.

    Where something has been set aside before, that is most of it, and it stays so.
    """
    collecting, apart = gc.isenabled(), gc.get_freeze_count()
    gc.collect()
    if not apart:
        gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if not apart:
            gc.unfreeze()
        if collecting:
            gc.enable()
