"""Open the Dask cluster that a study names: an address, processes of this machine, SSH, Slurm, Kubernetes.

Each Dask worker is a machine and says so: it offers the resources "machine" = 1, which a timed trial takes for itself,
and "core" = its cores, of which a training run takes its threads. Workers started by hand offer the same:

    dask worker tcp://ADDRESS:8786 --nthreads 8 --resources "machine=1 core=8"
"""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from importlib import import_module
from shutil import which
from types import ModuleType
from typing import Any

from tngd_bench.resources import available_cores
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Cluster, Study
from tngd_bench.studies.run.engine import CORE, MACHINE, Engine
from tngd_bench.studies.run.main_module import without_main_module

_CONNECT_S = 10
_FIRST_WORKER_S = 600  # a queue may let its first job wait


def open_dask(study: Study) -> contextlib.AbstractContextManager[Engine]:
    """Return the engine on a study's cluster; StudyError where it names none."""
    if study.cluster is None:
        raise StudyError(
            f'{study.name}: execution.engine = "dask" needs a [cluster] table or --scheduler ADDRESS'
        )
    return open_cluster(study.cluster)


@contextlib.contextmanager
def open_cluster(cluster: Cluster, wait_s: float = _FIRST_WORKER_S) -> Iterator[Engine]:
    """Yield an engine on the cluster, which is closed afterwards if it was made here.

    StudyError where Dask is not installed, the cluster cannot be made, or no worker comes within `wait_s` seconds.
    """
    distributed = _module("distributed", "cluster")
    from tngd_bench.studies.run.dask_engine import DaskEngine

    where = f"kind {cluster.kind!r}"
    if cluster.kind == "scheduler":
        _check_address(cluster.scheduler or "")
        where = f"the Dask scheduler at {cluster.scheduler}"
    with contextlib.ExitStack() as stack:
        try:
            made = _make(distributed, cluster)
            if made is not None:
                stack.enter_context(made)
            place = cluster.scheduler if made is None else made
            client = stack.enter_context(distributed.Client(place, timeout=_CONNECT_S, set_as_default=False))
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise StudyError(f"cluster: {where} cannot be used: {error or type(error).__name__}") from None
        first = cluster.machines if cluster.kind == "local" else 1
        try:
            client.wait_for_workers(first, timeout=wait_s)
        except TimeoutError:
            raise StudyError(f"cluster: {where} has no worker after {wait_s:g} s") from None
        yield DaskEngine(client, mixed=cluster.mixed)


def _check_address(address: str) -> None:
    """Raise StudyError for what is no address: a client made with it would not end before a time limit."""
    comm = _module("distributed.comm", "cluster")
    try:
        comm.get_address_host_port(address)
    except ValueError as error:
        raise StudyError(
            f"cluster: {address!r} is no address of a Dask scheduler ({error}); accepted: tcp://HOST:PORT"
        ) from None


def _make(distributed: ModuleType, cluster: Cluster) -> Any:
    """Return the cluster, None where it exists already."""
    options = dict(cluster.options)
    if cluster.kind == "scheduler":
        return None
    if cluster.kind == "local":
        return _local(distributed, cluster)
    if cluster.kind == "ssh":
        worker = {"nthreads": cluster.cores, "resources": {MACHINE: 1, CORE: cluster.cores}}
        return distributed.SSHCluster(list(cluster.hosts), worker_options=worker, **options)
    offered = f"{MACHINE}=1,{CORE}={cluster.cores}"
    if cluster.kind == "slurm":
        jobqueue = _module("dask_jobqueue", "cluster")
        if which("sbatch") is None:
            raise StudyError(
                "cluster: kind 'slurm' submits jobs with sbatch, which this machine does not have"
            )
        job = {"cores": cluster.cores, "memory": cluster.memory, "processes": 1}
        made = jobqueue.SLURMCluster(**job, worker_extra_args=["--resources", offered], **options)
        made.scale(jobs=cluster.machines)
        return made
    kubernetes = _module("dask_kubernetes.operator", "kubernetes")
    command = ["dask", "worker", "--nthreads", str(cluster.cores), "--resources", offered]
    return kubernetes.KubeCluster(n_workers=cluster.machines, worker_command=command, **options)


def _local(distributed: ModuleType, cluster: Cluster) -> Any:
    """Return processes of this machine that share its cores; only the first may time anything."""
    cores = cluster.cores or max(1, available_cores() // cluster.machines)
    common = {
        "nthreads": cores,
        "memory_limit": 0,
        "silence_logs": logging.ERROR,
    }  # trials have limits of their own
    offered = [{CORE: cores, **({MACHINE: 1} if number == 0 else {})} for number in range(cluster.machines)]
    workers = {
        number: {"cls": distributed.Nanny, "options": {**common, "resources": resources}}
        for number, resources in enumerate(offered)
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard_address": None, "host": "127.0.0.1"}}
    with without_main_module():
        return distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs="ERROR")


def _module(name: str, extra: str) -> ModuleType:
    """Return a module of the extra `extra`, imported; Ctrl-C stays ours: dask_jobqueue lets it end the process."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        return import_module(name)
    except ImportError:
        package = name.partition(".")[0].replace("_", "-")
        raise StudyError(
            f"this needs {package}, which is not installed; install it with: pip install 'tngd-bench[{extra}]'"
        ) from None
    finally:
        if (
            threading.current_thread() is threading.main_thread()
        ):  # no other may have changed it, or may do so
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
