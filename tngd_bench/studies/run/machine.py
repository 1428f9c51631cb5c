"""Measure the machine that trials run on: its speed, its free memory, its class."""

from __future__ import annotations

from tngd_bench.measure.environment import check_processor, free_gpu_memory, machine_class
from tngd_bench.resources import available_cores, available_memory_bytes
from tngd_bench.studies.errors import EngineError, StudyError
from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.plan.inputs import MachineLimits
from tngd_bench.studies.run.run_trial import measure_rate_in_worker
from tngd_bench.studies.run.worker_process import call_in_worker, worker_context


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
