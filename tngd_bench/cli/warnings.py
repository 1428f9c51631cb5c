"""Notes on stderr: files of a store that were left out, and what the package warns of."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import click

_NAMED = 5
_PACKAGE = Path(__file__).parents[1]


def tell_ignored(ignored: Mapping[str, str]) -> None:
    """Name files left out with the reason, the first few of many."""
    for name, reason in list(ignored.items())[:_NAMED]:
        click.echo(f"tngd-bench: note: {name} {reason}; ignored", err=True)
    if len(ignored) > _NAMED:
        click.echo(f"tngd-bench: note: {len(ignored) - _NAMED} more files are ignored", err=True)


def warnings_as_notes() -> None:
    """Say the package's own warnings in a line each, and not as errors where PYTHONWARNINGS asks for those."""
    others = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, UserWarning) and _PACKAGE in Path(filename).parents:
            click.echo(f"tngd-bench: note: {message}", err=True)
        else:
            others(message, category, filename, lineno, file, line)

    warnings.filterwarnings("default", category=UserWarning, module=r"tngd_bench\b")
    warnings.showwarning = show
