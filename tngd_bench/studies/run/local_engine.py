"""Engine of this machine: trials in processes, each bound to processors of its own where there are enough."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from tngd_bench.measure import cpu_affinity
from tngd_bench.measure.environment import describe_environment, machine_class
from tngd_bench.studies.file.schema import Execution, Study
from tngd_bench.studies.plan.inputs import MachineLimits
from tngd_bench.studies.run.engine import Engine, Job, Outcome, Work
from tngd_bench.studies.run.machine import measure_machine, refuse_other_processor
from tngd_bench.studies.run.run_trial import run_in_worker
from tngd_bench.studies.run.worker_process import Worker, interrupts_held, wait_for_any, worker_context


@dataclass
class _Running:
    job: Job
    worker: Worker
    processors: frozenset[int] | None


def open_local(study: Study) -> AbstractContextManager[Engine]:
    """Return the engine of this machine; StudyError where it lacks the study's processor."""
    refuse_other_processor(study.execution)  # now, before any data are read
    return nullcontext(LocalEngine())


class LocalEngine:
    """Runs trials here: exclusive ones one at a time, others `execution.workers` side by side."""

    def machine(self, execution: Execution) -> MachineLimits:
        """Return the resources of this machine."""
        return measure_machine(execution)

    def environment(self, execution: Execution) -> dict[str, Any]:
        """Return the description of this machine."""
        return describe_environment(execution.processor)

    def side_by_side(self, execution: Execution, *, exclusive: bool) -> int:
        """Return 1 for exclusive trials, else the study's number of workers."""
        return 1 if exclusive else execution.workers

    def run(self, work: Work) -> Iterator[tuple[Job, Outcome]]:
        """Yield jobs as they end; see `Engine`."""
        context = worker_context()
        machine = machine_class(work.execution.processor)
        most = self.side_by_side(work.execution, exclusive=work.exclusive)
        places = _Places(work.execution.pinned)
        running: list[_Running] = []

        def start_next() -> None:
            while work.queue and len(running) < most:
                job = work.queue.popleft()
                work.started(job.trial)
                processors = places.take(job.trial.threads, [item.processors for item in running])
                args = (job.trial, work.data[job.trial.data].path, processors)
                with interrupts_held():
                    worker = Worker(context, run_in_worker, args, work.limits)
                    running.append(_Running(job, worker, processors))

        try:
            while work.queue or running:
                start_next()
                wait_for_any([item.worker for item in running])
                ended = [item for item in running if item.worker.poll()]
                running[:] = [item for item in running if item.worker.ending is None]
                with interrupts_held():  # until what ended is written
                    try:
                        if not work.exclusive:
                            start_next()  # meanwhile; a timed trial has the machine to itself
                    finally:  # what ended is written, whether the next one starts or not
                        for item in ended:
                            worker = item.worker
                            assert worker.ending is not None
                            yield item.job, Outcome(worker.ending, worker.value, worker.turn, machine)
        finally:
            for item in running:
                item.worker.stop()


class _Places:
    """Chooses processors for processes; none where the system does not bind, or where there are too few."""

    def __init__(self, wanted: bool) -> None:
        self._usable = cpu_affinity.usable_processors() if wanted and cpu_affinity.can_bind() else ()
        if self._usable:
            cpu_affinity.processor_loads()  # the first look only starts the clock

    def take(self, threads: int, taken: list[frozenset[int] | None]) -> frozenset[int] | None:
        """Return processors for `threads` threads that none of `taken` holds, or None."""
        if not self._usable:
            return None
        bound = frozenset().union(*(item for item in taken if item is not None))
        return cpu_affinity.choose(threads, self._usable, bound, cpu_affinity.processor_loads())
