"""What a verb says on stderr about files of a store that it left out."""

from __future__ import annotations

from collections.abc import Mapping

import click

_NAMED = 5


def tell_ignored(ignored: Mapping[str, str]) -> None:
    """Name files left out with the reason, the first few of many."""
    for name, reason in list(ignored.items())[:_NAMED]:
        click.echo(f"tngd-bench: note: {name} {reason}; ignored", err=True)
    if len(ignored) > _NAMED:
        click.echo(f"tngd-bench: note: {len(ignored) - _NAMED} more files are ignored", err=True)
