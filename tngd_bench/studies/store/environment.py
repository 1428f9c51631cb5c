"""The environment of a store: the machine and the settings that its times depend on."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tngd_bench.measure.environment import MACHINE_FIELDS, describe_environment
from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.store.run_spread import kept

_BUILD = "torch_build"
MIXED = "mixed"
"""The field of a merged store with the processors of its machines, where they are not alike."""
UNLIKE = "unlike"
"""Its field with all values of threads and precision that are not alike."""
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


def joined_environment(environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the environment of a store merged from those of several: the first one's, with what differs in others."""
    names = list(dict.fromkeys(name for each in environments for name in processors(each)))
    values = {
        field: list(
            dict.fromkeys(
                value for each in environments for value in each.get(UNLIKE, {}).get(field, [each.get(field)])
            )
        )
        for field in _SETTINGS
    }
    unlike = {field: found for field, found in values.items() if len(found) > 1}
    return {
        **environments[0],
        **({MIXED: names} if len(names) > 1 else {}),
        **({UNLIKE: unlike} if unlike else {}),
    }


def setting_words(environment: Mapping[str, Any], field: str) -> str:
    """Return a field in words: "1", and "1 or 2" for a store merged from some with either."""
    found = environment.get(UNLIKE, {}).get(field, [environment.get(field)])
    return " or ".join("not stated" if value is None else str(value) for value in found)


def processors(environment: Mapping[str, Any]) -> list[str]:
    """Return the names of the processors of a store, one for each kind of machine that it was merged from."""
    own = environment.get("gpu") or environment.get("cpu")
    return [str(name or "a processor not recorded") for name in environment.get(MIXED, [own])]


def processor_words(environment: Mapping[str, Any]) -> str:
    """Return what a study was computed on in words: its processor, or the number of machines and all of theirs."""
    first, *more = processors(environment)
    return f"{1 + len(more)} machines ({first}; {'; '.join(more)})" if more else first


def difference(environment: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first field, with both values, in which two environments are not of one class; None if they are.

    The libraries and the instruction set that torch uses count where both name them.
    """
    builds = [each for each in (environment, other) if each.get(_BUILD) is not None]
    for name in (*MACHINE_FIELDS, *_SETTINGS, *([_BUILD] if len(builds) == 2 else [])):
        if environment.get(name) != other.get(name):
            return name, environment.get(name), other.get(name)
    return None
