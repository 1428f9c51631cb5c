"""Python's garbage collector, kept out of work that it would slow down."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collected_by_hand() -> Iterator[None]:
    """Keep the collector from running by itself; what exists already is set aside, so that collecting stays quick."""
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
