"""σ_run of a machine as null runs measured it: kept in the user's cache, for the environment of every later store."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tngd_bench.atomic_write import write
from tngd_bench.datasets.finder import cache_directory
from tngd_bench.measure.environment import MACHINE_FIELDS
from tngd_bench.studies.errors import StoreError, StoreWriteError
from tngd_bench.unwritable import refused_as

FIELD = "run_spread"
"""Entry of an environment that null runs leave: value, runs, ratios, measured (a date)."""
_MACHINE = (*MACHINE_FIELDS, "threads_cost")


def keep(environment: Mapping[str, Any], left: Mapping[str, Any]) -> Path:
    """Keep what null runs left for the machine and threads of an `environment`; return the file."""
    place = _place(environment)
    content = {name: environment.get(name) for name in _MACHINE} | {FIELD: left}
    with refused_as(StoreWriteError, place):
        write(place, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return place


def kept(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return {`FIELD`: what null runs left} for the machine and threads of an `environment`; empty without null runs.

    Raises StoreError for a file that does not hold it.
    """
    place = _place(environment)
    try:
        return {FIELD: json.loads(place.read_bytes())[FIELD]} if place.is_file() else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{place} does not hold {FIELD} ({error}); remove it, and `tngd-bench null-runs` writes a new one"
        ) from None


def _place(environment: Mapping[str, Any]) -> Path:
    machine = json.dumps([environment.get(name) for name in _MACHINE])
    return cache_directory() / "null-runs" / f"{hashlib.sha256(machine.encode()).hexdigest()[:16]}.json"
