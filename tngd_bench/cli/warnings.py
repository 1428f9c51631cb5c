"""Notes on stderr: files of a store that were left out, what the package warns of, and where it looks for data."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

_NAMED = 5
_PACKAGE = Path(__file__).parents[1]


def note(text: str) -> None:
    """Print a note on stderr."""
    click.echo(f"tngd-bench: note: {text}", err=True)


def tell_ignored(ignored: Mapping[str, str]) -> None:
    """Count the results of other versions of the study, and name other files left out, the first few of many."""
    from tngd_bench.studies.store.reader import OF_NO_TRIAL

    unwanted = [name for name, reason in ignored.items() if reason == OF_NO_TRIAL]
    if len(unwanted) > 1:
        note(f"{len(unwanted)} results in the store are of no trial of this study as it is now; ignored")
        ignored = {name: reason for name, reason in ignored.items() if name not in unwanted}
    for name, reason in list(ignored.items())[:_NAMED]:
        note(f"{name} {reason}; ignored")
    if len(ignored) > _NAMED:
        note(f"{len(ignored) - _NAMED} more files are ignored")


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def search_as_notes() -> None:
    """Say where data are looked for, and why a place has none, in a line each: it may take minutes."""
    logger = logging.getLogger("tngd_bench.datasets")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Notes()]


def warnings_as_notes() -> None:
    """Say the package's own warnings in a line each, and not as errors where PYTHONWARNINGS asks for those."""
    others = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, *place: Any, **more: Any
    ) -> None:
        if issubclass(category, UserWarning) and _PACKAGE in Path(filename).parents:
            note(str(message))
        else:
            others(message, category, filename, *place, **more)

    warnings.filterwarnings("default", category=UserWarning, module=r"tngd_bench\b")
    warnings.showwarning = show
