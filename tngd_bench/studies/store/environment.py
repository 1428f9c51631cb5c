"""The environment of a store: the machine and the settings that its times depend on."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tngd_bench.measure.environment import MACHINE_FIELDS, describe_environment
from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.store.run_spread import kept

_BUILD = "torch_build"
_SETTINGS = ("threads_cost", "threads_training", "dtype")


def study_environment(execution: Execution, described: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the environment as the store keeps it; `described` is the machine's, this one's where it is None.

    Where null runs have measured the machine, what they left is in it (see `run_spread`).
    """
    environment = dict(describe_environment(execution.processor) if described is None else described)
    environment.pop("threads", None)  # this process's own; the workers' stand below
    environment |= {name: getattr(execution, name) for name in ("workers", *_SETTINGS)}
    environment["started"] = datetime.now(UTC).isoformat(timespec="seconds")
    return environment | kept(environment)


def difference(environment: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first field, with both values, in which two environments are not of one class; None if they are.

    The libraries and the instruction set that torch uses count where both name them.
    """
    builds = [each for each in (environment, other) if each.get(_BUILD) is not None]
    for name in (*MACHINE_FIELDS, *_SETTINGS, *([_BUILD] if len(builds) == 2 else [])):
        if environment.get(name) != other.get(name):
            return name, environment.get(name), other.get(name)
    return None
