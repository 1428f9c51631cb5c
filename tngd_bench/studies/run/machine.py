"""Measure the machine that trials run on: its speed, its free memory, its class."""

from functools import cache

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
    context, processor = worker_context(), execution.processor

    @cache
    def rate(threads: int) -> float:
        return float(call_in_worker(context, measure_rate_in_worker, (threads, processor)))

    try:
        cost, training = rate(execution.threads_cost), rate(execution.threads_training)
    except EngineError as error:
        said = f"the speed of this machine could not be measured: {error}; no trial was run"
        raise EngineError(f"{said}; on a busy machine, try again later") from None
    return MachineLimits(
        cost,
        training,
        float(available_memory_bytes()),
        **machine_class(processor),
        cores=available_cores(),
        gpu_memory_bytes=None if processor == "cpu" else free_gpu_memory(processor),
    )


def refuse_other_processor(execution: Execution) -> None:
    """Raise StudyError where torch does not see the study's processor on this machine."""
    try:
        check_processor(execution.processor)
    except ValueError as error:
        raise StudyError(f"execution.processor = {error}") from None
