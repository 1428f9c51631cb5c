"""The machine that trials run on: its speed, its free memory, its description, and whether two are of one class."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tngd_bench.measure.environment import (
    MACHINE_FIELDS,
    check_processor,
    describe_environment,
    free_gpu_memory,
    machine_class,
)
from tngd_bench.resources import available_cores, available_memory_bytes
from tngd_bench.studies.errors import EngineError, StudyError
from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.plan.make_plan import MachineLimits
from tngd_bench.studies.run.run_trial import measure_rate_in_worker
from tngd_bench.studies.run.worker_process import call_in_worker, worker_context

_SETTINGS = ("threads_cost", "threads_training", "dtype")


def measure_machine(execution: Execution) -> MachineLimits:
    """Return this machine's speed with the study's thread counts, its free memory and its class.

    StudyError where it lacks the processor asked for, EngineError where the process that measures the speed ends
    without it.
    """
    refuse_other_processor(execution)
    context = worker_context()
    counts = {execution.threads_cost, execution.threads_training}
    try:
        rates = {
            count: float(call_in_worker(context, measure_rate_in_worker, (count, execution.processor)))
            for count in counts
        }
    except EngineError as error:
        raise EngineError(
            f"the speed of this machine could not be measured: {error}; no trial was run"
        ) from None
    free = float(available_memory_bytes())
    on_gpu = execution.processor != "cpu"
    return MachineLimits(
        rates[execution.threads_cost],
        rates[execution.threads_training],
        free,
        **machine_class(execution.processor),
        cores=available_cores(),
        gpu_memory_bytes=free_gpu_memory(execution.processor) if on_gpu else None,
    )


def refuse_other_processor(execution: Execution) -> None:
    """Raise StudyError where torch does not see the study's processor on this machine."""
    try:
        check_processor(execution.processor)
    except ValueError as error:
        raise StudyError(f"execution.processor = {error}") from None


def study_environment(execution: Execution, described: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the environment as the store keeps it; `described` is the machine's, this one's where it is None."""
    here = describe_environment(execution.processor) if described is None else described
    environment = dict(here)
    environment.pop("threads", None)  # this process's own; the workers' stand below
    return environment | {
        "threads_cost": execution.threads_cost,
        "threads_training": execution.threads_training,
        "workers": execution.workers,
        "dtype": execution.dtype,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def difference(held: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first field, with both values, in which two environments are not of one class; None if they are."""
    for name in (*MACHINE_FIELDS, *_SETTINGS):
        if held.get(name) != other.get(name):
            return name, held.get(name), other.get(name)
    return None
