"""The environment of a store: the machine and the settings that its times depend on."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tngd_bench.measure.environment import MACHINE_FIELDS, describe_environment
from tngd_bench.studies.file.schema import Execution

_SETTINGS = ("threads_cost", "threads_training", "dtype")


def study_environment(execution: Execution, described: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the environment as the store keeps it; `described` is the machine's, this one's where it is None."""
    environment = dict(describe_environment(execution.processor) if described is None else described)
    environment.pop("threads", None)  # this process's own; the workers' stand below
    settings = {name: getattr(execution, name) for name in ("workers", *_SETTINGS)}
    return environment | settings | {"started": datetime.now(UTC).isoformat(timespec="seconds")}


def difference(environment: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first field, with both values, in which two environments are not of one class; None if they are."""
    for name in (*MACHINE_FIELDS, *_SETTINGS):
        if environment.get(name) != other.get(name):
            return name, environment.get(name), other.get(name)
    return None
