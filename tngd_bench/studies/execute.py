"""Execution of a plan: cost blocks alone and one after another, everything else side by side; results to the store.

A trial is written the moment it ends. What ends badly (killed, out of time) is a result too, with its reason; in a
cost block only the optimizer whose turn it was is out, and the block is run again without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tngd_bench.studies.plan import Plan
from tngd_bench.studies.store import Store
from tngd_bench.studies.trials import CostBlock, DataRequest, Trial, Verdict
from tngd_bench.studies.work import Entry, entries_without_result, entry_of, run_in_worker
from tngd_bench.studies.workers import Worker, interrupts_later, wait_for_any, worker_context


class Listener(Protocol):
    """Hears of the progress of a study."""

    def started(self, trial: Trial) -> None:
        """A trial has been started."""

    def finished(self, trial: Trial, entries: Sequence[Entry]) -> None:
        """A trial has ended and is in the store."""


@dataclass
class _Running:
    key: str
    trial: Trial
    worker: Worker


def execute(
    plan: Plan, pending: Sequence[str], store: Store, data: Mapping[DataRequest, Path], listener: Listener
) -> None:
    """Run the trials with the keys `pending`; on any exception (Ctrl-C too) the workers are stopped first."""
    exclusive = deque((key, plan.trials[key]) for key in pending if isinstance(plan.trials[key], CostBlock))
    shared = deque((key, plan.trials[key]) for key in pending if not isinstance(plan.trials[key], CostBlock))
    for queue, side_by_side in ((exclusive, 1), (shared, plan.study.execution.workers)):
        _drain(queue, side_by_side, plan.study.execution.trial_seconds_limit, store, data, listener)


def _drain(
    queue: deque[tuple[str, Trial]],
    side_by_side: int,
    seconds_limit: float,
    store: Store,
    data: Mapping[DataRequest, Path],
    listener: Listener,
) -> None:
    context = worker_context()
    running: list[_Running] = []
    try:
        while queue or running:
            while queue and len(running) < side_by_side:
                key, trial = queue.popleft()
                if not trial.runnable:
                    _keep(store, key, trial, entries_without_result(trial), listener)
                    continue
                listener.started(trial)
                with interrupts_later():
                    worker = Worker(context, run_in_worker, (trial, data[trial.data]), seconds_limit)
                    running.append(_Running(key, trial, worker))
            if not running:
                continue
            wait_for_any([item.worker for item in running])
            for item in [item for item in running if item.worker.poll()]:
                running.remove(item)
                again = _settle(item, store, listener)
                if again is not None:
                    queue.appendleft((item.key, again))
    finally:
        for item in running:
            item.worker.stop()


def _settle(item: _Running, store: Store, listener: Listener) -> Trial | None:
    """Store what a worker brought; return the trial to run again when one optimizer of several took it down."""
    trial, worker = item.trial, item.worker
    if worker.ending == "done":
        _keep(store, item.key, trial, worker.value, listener)
        return None
    verdict = Verdict("timed-out" if worker.ending == "timed-out" else "failed", str(worker.value))
    if isinstance(trial, CostBlock) and worker.turn is not None:
        rest = trial.without(worker.turn, verdict)
        if rest.runnable:
            return rest
        _keep(store, item.key, rest, entries_without_result(rest), listener)
        return None
    entries = [
        entry_of(trial, candidate, verdict.status, verdict.reason) | {"iterations": [], "curve": []}
        for candidate in trial.candidates
    ]
    _keep(store, item.key, trial, entries, listener)
    return None


def _keep(store: Store, key: str, trial: Trial, entries: Sequence[Entry], listener: Listener) -> None:
    store.write_trial(key, {"entries": list(entries)})
    listener.finished(trial, entries)
