"""Upgrade trials of older layouts of the store to today's.

    1 → 2   a trial says itself which machine, version and data it is of; before, the store's environment said it for
            all. `machine` is taken from there; `data` and `finished` were not kept and are None.
    2 → 3   timed iterations and curves are kept by column (see `columnar`), to nine digits.

Keys stay as they are: results of an older layout can be read, reported and merged, but a trial that is run again is
measured again, since its key has since come to hold the class of machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tngd_bench.studies.store.columnar import by_column

_MACHINE_FIELDS = ("cpu", "torch")  # all that this layout knew


def upgraded(content: dict[str, Any], schema: int, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's content in today's layout; `environment` is that of its store."""
    if schema <= 1:
        content = {
            "machine": {name: environment.get(name) for name in _MACHINE_FIELDS},
            "version": environment.get("version"),
            "data": None,
            "finished": None,
            **content,
        }
    if schema <= 2:
        content = {**content, "entries": [_by_column(entry) for entry in content["entries"]]}
    return content


def _by_column(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {name: by_column(entry[name]) for name in ("iterations", "curve") if name in entry}
