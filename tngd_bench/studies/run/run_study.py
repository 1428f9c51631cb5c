"""Run a whole study: its data, its plan, its store, its trials."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tngd_bench import __version__, plugin_files
from tngd_bench.spu.sources import sourced_parameters
from tngd_bench.studies import engines
from tngd_bench.studies.errors import StoreError, StudyError
from tngd_bench.studies.file.devices import known_devices
from tngd_bench.studies.file.reading import LoadedStudy
from tngd_bench.studies.file.schema import Cluster, Study
from tngd_bench.studies.plan.data_requests import data_requests
from tngd_bench.studies.plan.inputs import LoadedSize
from tngd_bench.studies.plan.make_plan import Plan, make_plan
from tngd_bench.studies.plan.stored_results import outdated
from tngd_bench.studies.plan.trial_code import code_of_all
from tngd_bench.studies.plan.trials import DataRequest
from tngd_bench.studies.run.data_files import load_for, size_of, write_splits
from tngd_bench.studies.run.engine import Engine, PreparedData
from tngd_bench.studies.run.scheduler import Listener, execute
from tngd_bench.studies.store import run_spread
from tngd_bench.studies.store.environment import difference, study_environment
from tngd_bench.studies.store.numbers_changed import FIELD, numbers_changed
from tngd_bench.studies.store.packed import PACKED
from tngd_bench.studies.store.store import STORE_FOLDER, Store


class Audience(Listener, Protocol):
    """A listener that is told of preparation too."""

    def preparing(self, what: str) -> None:
        """Something that takes a while before the first trial has begun."""

    def planned(self, plan: Plan, pending: Sequence[str]) -> None:
        """The plan is made; the trials with the keys `pending` are going to be run."""


_OF_CODE = ("code", "git_revision", "plugins", "version")
"""Entries of an environment that change with the code."""


@dataclass(frozen=True)
class StudyRun:
    """A run's plan and store, its numbers of trials run now and kept from earlier runs, and the files left alone."""

    plan: Plan
    store: Store
    ran: int
    resumed: int
    ignored: Mapping[str, str]


def run_study(
    loaded: LoadedStudy,
    output: Path,
    audience: Audience,
    *,
    fresh: bool = False,
    keep_old: bool = False,
    command: str = "",
    scheduler: str | None = None,
) -> StudyRun:
    """Run a study, or go on with it, into the store below `output`.

    Finished trials of an earlier run are kept unless `fresh`. Those that other code has measured are run again, the old
    results moved to the store's folder earlier/; with `keep_old` they are taken as they are. The trials run on this
    machine, or, where the study says so, on its cluster; `scheduler` is the address of a Dask scheduler to use instead.
    Raises StudyError and StoreError before anything is measured; the data's own errors where it cannot be had.
    """
    store = Store(output / STORE_FOLDER)
    store.check_writable()
    _refuse_other_study(store, loaded, fresh)
    execution = loaded.study.execution
    with (
        tempfile.TemporaryDirectory(prefix="tngd-bench-") as folder,
        open_engine(loaded.study, scheduler) as engine,
    ):
        data, sizes = _prepare_data(loaded, Path(folder), audience)
        audience.preparing("speed of this machine")
        plan = make_plan(loaded, sizes, engine.machine(execution))
        store.check_space(len(plan.trials))
        environment = study_environment(plan.study.execution, engine.environment(execution))
        if not fresh:
            _refuse_other_machine(store, environment)
        store.create()
        with store.locked():
            if fresh:
                store.clear()
            store.tidy()
            plan, finished = _settled(store, plan, keep_old)
            content = study_content(plan, command)
            earlier = store.study(damaged_is_none=True) if finished else None
            store.write_study(content | {FIELD: numbers_changed(earlier, content)})
            pending = [key for key in plan.trials if key not in finished]
            environment["code"] = code_of_all(plan.trials.values())
            if plugin_files.loaded():
                environment["plugins"] = plugin_files.as_records(plugin_files.loaded())
            stored = store.environment()
            if stored is None or not finished:
                store.write_environment(environment)
            else:
                other_code = pending and stored.get("code") != environment["code"]
                renewed = (*(_OF_CODE if other_code else ()), *({run_spread.FIELD} & environment.keys()))
                updated = stored | {name: environment[name] for name in renewed if name in environment}
                if updated != stored:
                    store.write_environment(updated)
            audience.planned(plan, pending)
            execute(plan, pending, store, data, engine, audience)
    return StudyRun(plan, store, len(pending), len(finished), dict(store.ignored))


def _settled(store: Store, plan: Plan, keep_old: bool) -> tuple[Plan, set[str]]:
    """Return the plan with what is to be done about results of other code, and the keys of its finished trials."""
    store.bring_back(plan.trials)
    finished = store.finished(plan.trials)
    by_other_code = outdated(store, plan)
    latest = {key: results[0] for key, results in by_other_code.items() if key not in finished}
    kept = {key: old.key for key, old in latest.items() if keep_old and old.finished}
    plan = plan.keeping(kept, {key: old.why for key, old in latest.items()})
    again = {key: old.why for key, old in latest.items() if key not in kept}
    taken = set(kept.values())
    old_keys = [old.key for results in by_other_code.values() for old in results]
    store.put_by(key for key in old_keys if key not in taken)
    store.bring_back(taken)
    for key in old_keys:
        store.forget_ignored(key)
    return dataclasses.replace(plan, again=again), finished | taken


def open_engine(study: Study, scheduler: str | None) -> contextlib.AbstractContextManager[Engine]:
    """Return the engine that the study, or the address of a scheduler, asks for; StudyError where it cannot be had."""
    if scheduler == "":
        raise StudyError("--scheduler is empty; accepted: tcp://HOST:PORT")
    if scheduler is not None:
        cluster = Cluster(kind="scheduler", scheduler=scheduler)
        return engines.get("dask").open(dataclasses.replace(study, cluster=cluster))
    return engines.get(study.execution.engine).open(study)


def _prepare_data(
    loaded: LoadedStudy, folder: Path, audience: Audience
) -> tuple[dict[DataRequest, PreparedData], dict[DataRequest, LoadedSize]]:
    """Load what the study needs, once, into files below `folder`."""
    data, sizes = {}, {}
    announced: set[str] = set()
    for number, request in enumerate(data_requests(loaded.study)):
        if request.problem not in announced:
            audience.preparing(f"data of {request.problem}")
            announced.add(request.problem)
        splits = load_for(loaded.study, request)
        data[request] = PreparedData(folder / f"{number}.pt", splits.checksum)
        sizes[request] = size_of(splits)
        write_splits(splits, data[request].path)
    return data, sizes


def study_content(plan: Plan, command: str) -> dict[str, Any]:
    """Return the study as the store keeps it: every default filled in, and the keys of its trials in order."""
    loaded = plan.loaded
    return dataclasses.asdict(plan.study) | {
        "source": loaded.source,
        "overrides": list(loaded.overrides),
        "profile": loaded.profile,
        "included": list(loaded.included),
        "version": __version__,
        "command": command,
        "machine": dataclasses.asdict(plan.machine),
        "devices": {name: sourced_parameters(device) for name, device in known_devices(plan.study).items()},
        "trials": list(plan.trials),
    }


def _refuse_other_study(store: Store, loaded: LoadedStudy, fresh: bool) -> None:
    stored = None if fresh else store.study(damaged_is_none=True)
    packed = store.path.parent / PACKED
    if stored is None and packed.exists() and not fresh:
        raise StoreError(
            f"{packed} is a packed store, which a run cannot add to; unpack it with `tngd-bench merge {packed} --output"
            " FOLDER`, choose another --output, or --fresh to measure everything again"
        )
    if stored is not None and stored.get("name") != loaded.study.name:
        raise StoreError(
            f"{store.path} holds the study {stored.get('name')!r}, not {loaded.study.name!r};"
            " choose another --output, or --fresh to replace it"
        )


def _refuse_other_machine(store: Store, environment: Mapping[str, Any]) -> None:
    stored = store.environment(damaged_is_none=True)  # keys still tell the class of machine
    unlike = None if stored is None else difference(stored, environment)
    if unlike is not None:
        name, there, here = unlike
        raise StoreError(
            f"{store.path} was measured with {name} = {there!r}, and here it is {here!r}:"
            " timings would not be comparable; choose another --output, or --fresh to measure everything again"
        )
