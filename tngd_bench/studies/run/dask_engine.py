"""Engine of a Dask cluster: trials on its machines, each in a process of its own that is stopped at its limits.

Dask carries a trial to a worker and its result back, and again to another worker when one is lost. The worker starts
the trial's process just as this machine would. Data do not travel: each worker loads them, and compares checksums.
"""

import contextlib
import hashlib
import multiprocessing
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tngd_bench import plugin_files
from tngd_bench.measure import cpu_affinity
from tngd_bench.measure.environment import describe_environment, machine_class
from tngd_bench.plugin_files import PluginFile
from tngd_bench.source import changes, own_parts
from tngd_bench.studies.errors import EngineError, StudyError
from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.plan.inputs import MachineLimits
from tngd_bench.studies.plan.trials import DataRequest
from tngd_bench.studies.run.data_files import write_data_in_worker
from tngd_bench.studies.run.engine import CORE, MACHINE, Job, Outcome, Work
from tngd_bench.studies.run.machine import measure_machine
from tngd_bench.studies.run.run_trial import run_in_worker
from tngd_bench.studies.run.worker_process import Limits, Worker, call_in_worker, wait_for_any, worker_context

distributed: Any = import_module("distributed")  # half of its functions have no annotations
_JOBS_PER_PLACE = 2  # jobs handed out per place, so that a worker never waits for this process
_STOP_CHECK_S = 2.0
_SET_BY_DASK = ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class DaskEngine:
    """Runs trials on the workers that `client` knows; machines of different classes only where `mixed`."""

    def __init__(self, client: Any, *, mixed: bool) -> None:
        self._client = client
        self._mixed = mixed
        self._environment: dict[str, Any] | None = None
        self._machine: MachineLimits | None = None
        self._timing_hosts: list[str] | None = None

    def machine(self, execution: Execution) -> MachineLimits:
        """Return the resources of the weakest machine; StudyError where they are of different classes.

        Where that is allowed, timed trials go to machines of the first one's class only.
        """
        addresses = self._one_per_host()
        submit = self._client.submit
        futures = [submit(_describe, execution, workers=[each], pure=False) for each in addresses.values()]
        try:
            described = dict(zip(addresses, self._client.gather(futures), strict=True))
        except Exception as error:
            # Whatever a remote machine raises (no package there, another version) is about that machine.
            said = f"{type(error).__name__}: {error}"
            raise StudyError(f"cluster: a worker cannot run trials: {said}") from None
        (first, (limits, self._environment)), *others = described.items()
        for host, (_, environment) in described.items():
            differing = changes(environment.get("code"), own_parts())
            if differing:
                raise StudyError(
                    f"cluster: the worker on {host} has other code than this machine ({differing}): its results would"
                    " not be those of this code; install the same there"
                )
        unlike = [host for host, (other, _) in others if other.machine_class != limits.machine_class]
        if unlike and not self._mixed:
            raise StudyError(
                f"cluster: machines {first} and {unlike[0]} are of different classes ({limits.machine_class} and"
                f" {described[unlike[0]][0].machine_class}): times would not be comparable; leave one out, or set"
                " cluster.mixed = true for training"
            )
        self._timing_hosts = [host for host in described if host not in unlike] if unlike else None
        offers = [offered for offered, _ in described.values()]
        gpus = [offered.gpu_memory_bytes for offered in offers if offered.gpu_memory_bytes is not None]
        self._machine = MachineLimits(
            min(offered.rate_cost for offered in offers),
            min(offered.rate_training for offered in offers),
            min(offered.memory_bytes for offered in offers),
            **limits.machine_class,
            cores=self._most_cores(),
            gpu_memory_bytes=min(gpus, default=None),
        )
        return self._machine

    def environment(self, execution: Execution) -> dict[str, Any]:
        """Return the description of the first machine; `machine` has been called before."""
        assert self._environment is not None
        hosts = len({info["host"] for info in self._workers().values()})
        return self._environment | {"machines": hosts}

    def side_by_side(self, execution: Execution, *, exclusive: bool) -> int:
        """Return the number of trials that share a machine: as many as its cores have threads for."""
        if exclusive:
            return 1
        return max(1, self._most_cores() // execution.threads_training)

    def run(self, work: Work) -> Iterator[tuple[Job, Outcome]]:
        """Yield jobs as they end; see `Engine`."""
        self._check_offers(exclusive=work.exclusive)
        stop = distributed.Event(f"tngd-bench-stop-{uuid.uuid4().hex}", client=self._client)
        ended = distributed.as_completed(loop=self._client.loop, raise_errors=False)
        running: dict[Any, Job] = {}
        try:
            while work.queue or running:
                places = self._places(work.execution, exclusive=work.exclusive)
                while work.queue and len(running) < _JOBS_PER_PLACE * places:
                    job = work.queue.popleft()
                    work.started(job.trial)
                    future = self._submit(job, work, stop.name)
                    running[future] = job
                    ended.add(future)
                future = next(ended)
                job = running.pop(future)
                yield job, self._outcome(future)
        finally:
            if running:
                with contextlib.suppress(OSError, TimeoutError):  # the scheduler may be gone
                    stop.set()
                    self._client.cancel(list(running))

    def _submit(self, job: Job, work: Work, stop: str) -> Any:
        assert self._machine is not None
        return self._client.submit(
            carry_out,
            job,
            work.data[job.trial.data].checksum,
            work.limits,
            None if self._mixed and not work.exclusive else self._machine.machine_class,
            stop,
            plugin_files.loaded(),
            bind=work.exclusive and work.execution.pinned,
            key=f"{job.key}-{uuid.uuid4().hex}",
            pure=False,
            resources={MACHINE: 1} if work.exclusive else {CORE: job.trial.threads},
            workers=self._timing_hosts if work.exclusive else None,
        )

    def _offers(self, resource: str) -> Counter[str]:
        """Return the total of a resource over the workers of each host."""
        offers: Counter[str] = Counter()
        for info in self._workers().values():
            offers[info["host"]] += int(info["resources"].get(resource, 0))
        return offers

    def _most_cores(self) -> int:
        """Return the cores that the workers of the largest host offer."""
        return max([1, *self._offers(CORE).values()])

    def _outcome(self, future: Any) -> Outcome:
        assert self._machine is not None
        if future.status == "finished":
            outcome = future.result()
            assert isinstance(outcome, Outcome)
            return outcome
        if future.status == "error":
            error = future.exception()
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if isinstance(error, distributed.KilledWorker):
                reason = f"every machine that tried it was lost ({error.last_worker.address} the last)"
            return Outcome("failed", reason, None, self._machine.machine_class)
        raise EngineError(
            "the Dask scheduler is gone; finished trials are kept, the same command goes on from there"
        )

    def _workers(self) -> dict[str, dict[str, Any]]:
        workers: dict[str, dict[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            self._client.wait_for_workers(1)  # all are being restarted
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return workers

    def _one_per_host(self) -> dict[str, str]:
        """Return the address of one worker of each host, one that may time trials if there is one."""
        addresses: dict[str, str] = {}
        workers = self._workers().items()
        for address, info in sorted(workers, key=lambda item: -item[1]["resources"].get(MACHINE, 0)):
            addresses.setdefault(info["host"], address)
        return addresses

    def _check_offers(self, *, exclusive: bool) -> None:
        """Raise StudyError unless workers offer what such jobs take, and no machine offers itself twice."""
        wanted = MACHINE if exclusive else CORE
        offered = self._offers(wanted)
        example = 'dask worker ADDRESS --nthreads 8 --resources "machine=1 core=8"'
        if not sum(offered.values()):
            raise StudyError(f"cluster: no worker offers {wanted!r}; start workers with: {example}")
        twice = [host for host, count in offered.items() if count > 1]
        if exclusive and twice:
            raise StudyError(
                f"cluster: {offered[twice[0]]} workers on {twice[0]} offer {MACHINE!r}, so two trials could be timed"
                f" there at once; start one worker per machine with: {example}"
            )

    def _places(self, execution: Execution, *, exclusive: bool) -> int:
        """Return the number of such jobs that the workers take at once, now."""
        wanted, each = (MACHINE, 1) if exclusive else (CORE, execution.threads_training)
        return max(1, sum(int(info["resources"].get(wanted, 0)) // each for info in self._workers().values()))


def carry_out(
    job: Job,
    checksum: str,
    limits: Limits,
    expected: Mapping[str, str | None] | None,
    stop: str,
    files: tuple[PluginFile, ...],
    *,
    bind: bool,
) -> Outcome:
    """Run a job in a process of this machine, on a Dask worker; what goes wrong here is the outcome.

    Refused where this machine is not of the `expected` class, or has other data. Ends early when the event `stop` is
    set. The plug-ins `files` run in the processes that are started, not in the Dask worker.
    """
    here = machine_class(job.trial.setting.processor)
    host = socket.gethostname()
    if expected is not None and here != expected:
        return Outcome("failed", f"{host} is of another class: {here}, not {expected}", None, here)
    _allow_children()
    try:
        path = _data_file(job.trial.data, checksum, limits, files)
    except (RuntimeError, OSError) as error:
        return Outcome("failed", f"data on {host}: {error}", None, here)
    usable = cpu_affinity.usable_processors() if bind and cpu_affinity.can_bind() else ()
    processors = cpu_affinity.choose(job.trial.threads, usable, (), cpu_affinity.processor_loads())
    worker = Worker(worker_context(), run_in_worker, (job.trial, path, processors), limits, files)
    stopping = distributed.Event(stop)
    look_s = time.monotonic() + _STOP_CHECK_S
    try:
        while not worker.poll():
            wait_for_any([worker])
            if time.monotonic() > look_s:
                if stopping.is_set():
                    return Outcome("failed", "the run was stopped", worker.turn, here)
                look_s = time.monotonic() + _STOP_CHECK_S
    finally:
        worker.stop()
    assert worker.ending is not None
    return Outcome(worker.ending, worker.value, worker.turn, here)


def _describe(execution: Execution) -> tuple[MachineLimits, dict[str, Any]]:
    """Return the resources of this Dask worker's machine, and its description."""
    _allow_children()
    return measure_machine(execution), describe_environment(execution.processor)


def _allow_children() -> None:
    """Let this Dask worker start processes, under the conditions they have without Dask.

    Its nanny starts it as a daemon, which may have no children, and with a memory allocator and thread counts of the
    nanny's choice, which would show in times; processes started from now on read their environment afresh.
    """
    multiprocessing.current_process().daemon = False
    for name in _SET_BY_DASK:
        os.environ.pop(name, None)


def _data_file(request: DataRequest, checksum: str, limits: Limits, files: tuple[PluginFile, ...]) -> Path:
    """Return the data in a file of this Dask worker, loaded at the first call; EngineError where they are others."""
    name = hashlib.sha256(f"{request} {checksum}".encode()).hexdigest()[:20]
    path = Path(distributed.get_worker().local_directory) / f"tngd-bench-{name}.pt"
    if not path.exists():
        call_in_worker(worker_context(), write_data_in_worker, (request, checksum, path), limits, files)
    return path
