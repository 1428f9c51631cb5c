"""Processes that are started without the script that starts them."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_LOCK = threading.RLock()


@contextmanager
def without_main_module() -> Iterator[None]:
    """Let processes that multiprocessing starts meanwhile not run the main module again.

    They would run a script that has no `if __name__ == "__main__":`, which starts processes itself, and would look for
    a file where there is none, as for `python - < script.py`. Nothing that a worker is sent lies in the main module.
    """
    with _LOCK:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
