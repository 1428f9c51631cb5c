"""Run the trials of a plan: cost blocks alone, in rounds, everything else side by side; write the results.

A trial is written the moment it ends. One that is killed or runs out of time or memory is written too, with the reason;
of a cost block only the optimizer at work is left out, and the block is run again without it.

Every round times each size once, in a process of its own: the first in ascending order, so that what small sizes take
bounds what large ones do, every second one backwards. A machine that slowly becomes faster or slower then does so for
all sizes alike, and not for the last ones only.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Protocol

from tngd_bench import __version__
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.plan.enough_processes import EnoughProcesses
from tngd_bench.studies.plan.make_plan import Plan
from tngd_bench.studies.plan.step_bounds import StepBounds
from tngd_bench.studies.plan.trial_code import code_of, edited_code
from tngd_bench.studies.plan.trials import CostBlock, DataRequest, SkipReason, Trial, TrialStatus
from tngd_bench.studies.run.engine import Engine, Job, Outcome, PreparedData, Work
from tngd_bench.studies.run.run_trial import Entry, entries_without_result, entry_of
from tngd_bench.studies.run.worker_process import Limits
from tngd_bench.studies.store.reader import ARTEFACTS
from tngd_bench.studies.store.store import Store

_SHARE_OF_FREE_MEMORY = 0.9
_GIGABYTE = 1e9
_STATUS: Mapping[str, TrialStatus] = {"timed-out": "timed-out", "out-of-memory": "out-of-memory"}


class Listener(Protocol):
    """A listener to the progress of a study."""

    def started(self, trial: Trial) -> None:
        """A trial has been started."""

    def finished(self, trial: Trial, entries: Sequence[Entry]) -> None:
        """A trial has ended and is in the store."""


def execute(
    plan: Plan,
    pending: Sequence[str],
    store: Store,
    data: Mapping[DataRequest, PreparedData],
    engine: Engine,
    listener: Listener,
) -> None:
    """Run the trials with the keys `pending`; on any exception (Ctrl-C too) what runs is stopped first."""
    writer = _ResultWriter(plan, store, data, listener)
    jobs = [Job(key, plan.trials[key]) for key in pending]
    for job in jobs:
        if not job.trial.runnable:
            writer.write(job, entries_without_result(job.trial), plan.machine.machine_class)
    jobs = [job for job in jobs if job.trial.runnable]
    blocks = rounds([job for job in jobs if isinstance(job.trial, CostBlock)])
    others = [job for job in jobs if not isinstance(job.trial, CostBlock)]
    execution = plan.study.execution

    def begin(trial: Trial) -> None:
        if edited := edited_code(trial):
            way_out = "finished trials are kept, and the same command goes on with the new code"
            raise StudyError(f"{edited} while the study ran; {way_out}")
        listener.started(trial)

    enough, bounds = _noted(plan, store), _bounds(plan, pending, store)
    for queue, exclusive in ((deque(blocks), True), (deque(others), False)):
        _leave_out(queue, enough, bounds, writer)
        if not queue:
            continue
        limits = trial_limits(plan, engine.side_by_side(execution, exclusive=exclusive))
        ended = engine.run(Work(queue, data, limits, execution, begin, exclusive))
        with contextlib.closing(ended):  # type: ignore[type-var]  # engines are generators
            for job, outcome in ended:
                entries, again = writer.write_outcome(job, outcome)
                if again is not None:
                    queue.appendleft(again)
                told = bounds.note(job.trial, entries)
                if outcome.ending == "done":
                    told |= enough.note(job.trial, entries)
                if told:
                    _leave_out(queue, enough, bounds, writer)


def rounds(jobs: Iterable[Job]) -> list[Job]:
    """Return cost blocks process by process, the sizes of a section ascending, every second one in reverse order."""
    jobs = list(jobs)
    sections = list(dict.fromkeys(job.trial.section for job in jobs))

    def process(job: Job) -> int:
        assert isinstance(job.trial, CostBlock)
        return job.trial.process

    def place(job: Job) -> tuple[int, ...]:
        setting = job.trial.setting
        size = setting.outputs, setting.batch_size, setting.parameters
        return process(job), sections.index(job.trial.section), *size

    ordered: list[Job] = []
    for number, group in itertools.groupby(sorted(jobs, key=place), key=process):
        sizes = list(group)
        ordered += reversed(sizes) if number % 2 else sizes
    return ordered


def trial_limits(plan: Plan, side_by_side: int) -> Limits:
    """Return a trial's limits: the study's, or its share of nine tenths of the memory free at the start."""
    execution = plan.study.execution
    stated_gb = execution.trial_memory_limit_gb
    share = _SHARE_OF_FREE_MEMORY * plan.machine.memory_bytes / side_by_side
    return Limits(execution.trial_seconds_limit, share if stated_gb is None else stated_gb * _GIGABYTE)


@dataclass(frozen=True)
class _ResultWriter:
    """Writes how trials ended into the store, and tells the listener."""

    plan: Plan
    store: Store
    data: Mapping[DataRequest, PreparedData]
    listener: Listener

    @cached_property
    def _identities(self) -> Mapping[str, str]:
        return self.plan.identities

    def write_outcome(self, job: Job, outcome: Outcome) -> tuple[Sequence[Entry], Job | None]:
        """Write the entries of a job and return them, with the job to run again where one optimizer ended a block."""
        trial, skip = job.trial, _skip_reason(outcome)
        if outcome.ending == "done":
            entries = outcome.value
        elif isinstance(trial, CostBlock) and outcome.turn is not None:
            job = Job(job.key, trial.without(outcome.turn, skip))
            entries = entries_without_result(job.trial)
            if job.trial.runnable:
                return entries, job
        else:
            stopped = (
                candidate if candidate.skip else replace(candidate, skip=skip)
                for candidate in trial.candidates
            )
            entries = [entry_of(trial, candidate) | {"iterations": {}, "curve": {}} for candidate in stopped]
        self.write(job, entries, outcome.machine)
        return entries, None

    def write(self, job: Job, entries: Sequence[Entry], machine: Mapping[str, str | None]) -> None:
        """Write the files kept of a finished trial and its entries, then tell."""
        entries = [
            entry | {ARTEFACTS: self.store.write_artefacts(job.key, entry[ARTEFACTS])}
            if ARTEFACTS in entry
            else entry
            for entry in entries
        ]
        content = {
            "entries": entries,
            "machine": dict(machine),
            "version": __version__,
            "code": dict(code_of(job.trial)),
            "identity": self._identities[job.key],
            "data": self.data[job.trial.data].checksum,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.store.write_trial(job.key, content)
        self.listener.finished(self.plan.trials[job.key], entries)


def _skip_reason(outcome: Outcome) -> SkipReason:
    """Return why a job that is not done has no result."""
    if outcome.ending == "slow-step":
        return SkipReason("timed-out", outcome.value.reason, outcome.value.least_step_s)
    return SkipReason(_STATUS.get(outcome.ending, "failed"), str(outcome.value))


def _noted(plan: Plan, store: Store) -> EnoughProcesses:
    """Return the optimizers that the stored results know well enough."""
    enough = EnoughProcesses()
    if any(isinstance(trial, CostBlock) and trial.precision is not None for trial in plan.trials.values()):
        for key, content in store.trials(plan.trials):
            enough.note(plan.trials[key], content["entries"])
    return enough


def _bounds(plan: Plan, pending: Sequence[str], store: Store) -> StepBounds:
    """Return what the stored results say of the steps of optimizers whose cost nothing describes."""
    bounds = StepBounds(plan.study.execution)
    waiting = (plan.trials[key] for key in pending)
    if any(not each.known and each.skip is None for trial in waiting for each in trial.candidates):
        for key, content in store.trials(plan.trials):
            bounds.note(plan.trials[key], content["entries"])
    return bounds


def _leave_out(queue: deque[Job], enough: EnoughProcesses, bounds: StepBounds, writer: _ResultWriter) -> None:
    """Leave out of what waits what is known well enough, or too slow; where nothing is left there is no process."""
    for _ in range(len(queue)):
        job = queue.popleft()
        job = replace(job, trial=bounds.bounded(enough.rest(job.trial)))
        if job.trial.runnable:
            queue.append(job)
        else:
            writer.write(job, entries_without_result(job.trial), writer.plan.machine.machine_class)
