"""A whole study: data, plan, store, execution; what the command line and scripts call."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import psutil

from tngd_bench import __version__
from tngd_bench.measure.environment import describe_environment
from tngd_bench.spu.device import Device, sourced_parameters
from tngd_bench.studies.data_files import load_request, size_of, write_splits
from tngd_bench.studies.errors import StoreError, StudyError
from tngd_bench.studies.execute import Listener, execute
from tngd_bench.studies.plan import MachineLimits, Plan, data_requests, make_plan
from tngd_bench.studies.reading import LoadedStudy
from tngd_bench.studies.schema import Execution
from tngd_bench.studies.store import STORE_FOLDER, Store
from tngd_bench.studies.work import measure_rate_in_worker
from tngd_bench.studies.workers import call_in_worker, worker_context

_SAME_MACHINE = ("cpu", "cores", "torch", "threads_cost", "threads_training", "dtype")


class Audience(Listener, Protocol):
    """Hears of preparation too."""

    def preparing(self, what: str) -> None:
        """Something that takes a while before the first trial has begun."""

    def planned(self, plan: Plan, pending: Sequence[str]) -> None:
        """The plan is made; the trials with the keys `pending` are going to be run."""


@dataclass(frozen=True)
class StudyRun:
    """What a run did: trials run now, taken from earlier runs, and files in the store left alone with the reason."""

    plan: Plan
    store: Store
    ran: int
    resumed: int
    ignored: Mapping[str, str]


def run_study(
    loaded: LoadedStudy, output: Path, audience: Audience, *, fresh: bool = False, command: str = ""
) -> StudyRun:
    """Run a study, or go on with it, into the store below `output`.

    Finished trials of an earlier run are kept unless `fresh`. Raises StudyError and StoreError before anything is
    measured; the data's own errors where it cannot be had.
    """
    store = Store(output / STORE_FOLDER)
    store.check_writable()
    _refuse_other_study(store, loaded, fresh)
    execution = loaded.study.execution
    with tempfile.TemporaryDirectory(prefix="tngd-bench-") as folder:
        data, sizes = {}, {}
        announced: set[str] = set()
        for number, request in enumerate(data_requests(loaded.study)):
            if request.problem not in announced:
                audience.preparing(f"data of {request.problem}")
                announced.add(request.problem)
            try:
                splits = load_request(request)
            except ValueError as error:
                raise StudyError(f"{loaded.study.name}: {request.problem}: {error}") from None
            data[request] = Path(folder) / f"{number}.pt"
            sizes[request] = size_of(splits)
            write_splits(splits, data[request])
        audience.preparing("speed of this machine")
        plan = make_plan(loaded, sizes, measure_machine(execution))
        environment = study_environment(execution)
        if not fresh:
            _refuse_other_machine(store, environment)
        store.create()
        with store.locked():
            if fresh:
                store.clear()
            finished = store.finished(plan.trials)
            store.write_study(study_content(plan, command))
            if store.environment() is None:
                store.write_environment(environment)
            pending = [key for key in plan.trials if key not in finished]
            audience.planned(plan, pending)
            execute(plan, pending, store, data, audience)
    return StudyRun(plan, store, len(pending), len(finished), dict(store.ignored))


def measure_machine(execution: Execution) -> MachineLimits:
    """Return the machine's speed with the study's thread counts, and its free memory."""
    context = worker_context()
    counts = {execution.threads_cost, execution.threads_training}
    rates = {count: float(call_in_worker(context, measure_rate_in_worker, (count,))) for count in counts}
    free = float(psutil.virtual_memory().available)
    return MachineLimits(rates[execution.threads_cost], rates[execution.threads_training], free)


def study_environment(execution: Execution) -> dict[str, Any]:
    """Return the environment as the store keeps it."""
    environment = describe_environment()
    del environment["threads"]  # this process's own; the workers' stand below
    return environment | {
        "threads_cost": execution.threads_cost,
        "threads_training": execution.threads_training,
        "workers": execution.workers,
        "dtype": execution.dtype,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def study_content(plan: Plan, command: str) -> dict[str, Any]:
    """Return the study as the store keeps it: every default filled in, and the keys of its trials in order."""
    return dataclasses.asdict(plan.study) | {
        "source": plan.loaded.source,
        "overrides": list(plan.loaded.overrides),
        "version": __version__,
        "command": command,
        "machine": dataclasses.asdict(plan.machine),
        "devices": {name: sourced_parameters(Device.preset(name)) for name in Device.presets()},
        "trials": list(plan.trials),
    }


def _refuse_other_study(store: Store, loaded: LoadedStudy, fresh: bool) -> None:
    held = None if fresh else store.study()
    if held is not None and held.get("name") != loaded.study.name:
        raise StoreError(
            f"{store.path} holds the study {held.get('name')!r}, not {loaded.study.name!r};"
            " choose another --output, or --fresh to replace it"
        )


def _refuse_other_machine(store: Store, environment: Mapping[str, Any]) -> None:
    held = store.environment()
    if held is None:
        return
    for name in _SAME_MACHINE:
        if held.get(name) != environment.get(name):
            raise StoreError(
                f"{store.path} was measured with {name} = {held.get(name)!r}, and here it is {environment.get(name)!r}:"
                " timings would not be comparable; choose another --output, or --fresh to measure everything again"
            )
