"""What the Dask engine asks of a cluster; whole studies on one, disturbed and not, are in test_faults."""

import signal
from importlib.util import find_spec

import pytest

from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.reading import make_study
from tngd_bench.studies.file.schema import Cluster, Execution
from tngd_bench.studies.plan.inputs import MachineLimits
from tngd_bench.studies.run.run_study import open_engine

pytest.importorskip("distributed")

from tngd_bench.source import own_parts
from tngd_bench.studies.run import clusters
from tngd_bench.studies.run.dask_engine import DaskEngine

FAST = MachineLimits(2e9, 4e9, 8e9, cpu="fast", torch="2.13")
WEAK = MachineLimits(1e9, 5e9, 6e9, cpu="fast", torch="2.13")
OTHER = MachineLimits(2e9, 4e9, 8e9, cpu="other", torch="2.13")


class FakeClient:
    """A client of workers given as (host, machine, core), where each host offers what `found` says."""

    def __init__(self, workers, found=()):
        self.workers = {
            f"tcp://{number}": {"host": host, "resources": {"machine": machine, "core": core}}
            for number, (host, machine, core) in enumerate(workers)
        }
        self.found, self.asked, self.described = dict(found), [], {}

    def scheduler_info(self, n_workers):
        assert n_workers == -1, "all of them, not the first few"
        return {"workers": self.workers}

    def submit(self, function, execution, *, workers, pure):
        self.asked += workers
        return self.workers[workers[0]]["host"]

    def gather(self, hosts):
        code = {"code": dict(own_parts())}
        return [(self.found[host], {"cpu": self.found[host].cpu, **code, **self.described}) for host in hosts]


def test_the_weakest_machine_decides_what_is_tried_and_the_timing_worker_of_each_is_asked():
    client = FakeClient([("a", 0, 1), ("a", 1, 1), ("b", 1, 4)], {"a": FAST, "b": WEAK})
    engine = DaskEngine(client, mixed=False)
    assert engine.machine(Execution()) == MachineLimits(1e9, 4e9, 6e9, cpu="fast", torch="2.13", cores=4)
    assert sorted(client.asked) == ["tcp://1", "tcp://2"]
    assert engine.environment(Execution()) == {"cpu": "fast", "code": own_parts(), "machines": 2}


def test_a_worker_with_other_code_is_refused():
    client = FakeClient([("a", 1, 1)], {"a": FAST})
    client.described = {"code": {**own_parts(), "tngd_bench/solvers": "other"}}
    with pytest.raises(StudyError, match=r"worker on a has other code .*tngd_bench/solvers has changed"):
        DaskEngine(client, mixed=False).machine(Execution())


def test_machines_of_unlike_classes_are_refused_unless_the_study_takes_them():
    client = FakeClient([("a", 1, 1), ("b", 1, 1)], {"a": FAST, "b": OTHER})
    with pytest.raises(
        StudyError, match=r"machines a and b are of different classes .* cluster.mixed = true"
    ):
        DaskEngine(client, mixed=False).machine(Execution())
    engine = DaskEngine(client, mixed=True)
    assert engine.machine(Execution()).cpu == "fast"
    assert engine._timing_hosts == ["a"], "timed trials go to machines of the first one's class only"


def test_a_machine_shared_by_workers_has_the_cores_of_all_and_one_place_for_timing():
    engine = DaskEngine(FakeClient([("a", 1, 3), ("a", 0, 3), ("b", 1, 4)]), mixed=False)
    assert engine.side_by_side(Execution(threads_training=2), exclusive=False) == 3
    assert engine.side_by_side(Execution(), exclusive=True) == 1
    assert engine._places(Execution(), exclusive=True) == 2
    assert engine._places(Execution(threads_training=2), exclusive=False) == 1 + 1 + 2


@pytest.mark.parametrize(
    ("workers", "exclusive", "complaint"),
    [
        ([("a", 0, 4)], True, "no worker offers 'machine'; start workers with: dask worker"),
        ([("a", 1, 0)], False, "no worker offers 'core'"),
        ([("a", 1, 1), ("a", 1, 1)], True, "2 workers on a offer 'machine', so two trials could be timed"),
        ([("a", 1, 1), ("b", 1, 1)], True, None),
        ([("a", 1, 1), ("a", 1, 1)], False, None),
    ],
)
def test_workers_must_offer_what_trials_take(workers, exclusive, complaint):
    engine = DaskEngine(FakeClient(workers), mixed=False)
    if complaint is None:
        engine._check_offers(exclusive=exclusive)
    else:
        with pytest.raises(StudyError, match=complaint):
            engine._check_offers(exclusive=exclusive)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"kind": "slurm", "cores": 4}, "needs memory"),
        ({"kind": "ssh", "hosts": ["a", "b"]}, "needs cores"),
        ({"kind": "ssh", "hosts": ["a"], "cores": 2}, "at least one worker's"),
        ({"kind": "scheduler"}, "needs scheduler"),
        ({"kind": "kubernetes"}, "needs cores"),
    ],
)
def test_a_cluster_says_what_its_kind_needs(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        Cluster(**settings)


def test_slurm_jobs_are_machines_that_say_so(monkeypatch):
    if find_spec("dask_jobqueue") is None:
        pytest.skip("dask_jobqueue is not installed")
    before = signal.getsignal(signal.SIGINT)
    jobqueue = clusters._module("dask_jobqueue", "cluster")
    assert signal.getsignal(signal.SIGINT) is before, "Ctrl-C still interrupts the study"
    import distributed

    cluster = Cluster(kind="slurm", machines=3, cores=8, memory="32GB", options={"queue": "short"})
    monkeypatch.setattr(clusters, "which", lambda name: None)
    with pytest.raises(StudyError, match="sbatch, which this machine does not have"):
        clusters._make(distributed, cluster)
    asked = []
    monkeypatch.setattr(clusters, "which", lambda name: name)
    monkeypatch.setattr(jobqueue.SLURMCluster, "scale", lambda self, n=0, jobs=0: asked.append(jobs))
    with clusters._make(distributed, cluster) as made:
        script = made.job_script()
    assert asked[0] == 3
    assert "#SBATCH -p short" in script
    assert "--cpus-per-task=8" in script
    assert "--resources machine=1,core=8" in script
    assert "--nthreads 8" in script
    assert "--nworkers" not in script or "--nworkers 1" in script


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(clusters, "import_module", absent)
    with pytest.raises(
        StudyError, match=r"dask-kubernetes, which is not installed; .*'tngd-bench\[kubernetes\]'"
    ):
        clusters._module("dask_kubernetes.operator", "kubernetes")
    cluster = Cluster(kind="scheduler", scheduler="tcp://127.0.0.1:1")
    with (
        pytest.raises(StudyError, match=r"distributed, .*tngd-bench\[cluster\]"),
        clusters.open_cluster(cluster),
    ):
        pass


@pytest.mark.parametrize("address", ["nonsense", "foo://host:1", "tcp://host:port", "tcp://"])
def test_what_is_no_address_is_told_before_anything_is_connected(address):
    cluster = Cluster(kind="scheduler", scheduler=address)
    with (
        pytest.raises(StudyError, match=r"is no address of a Dask scheduler .*accepted: tcp://HOST:PORT"),
        clusters.open_cluster(cluster),
    ):
        pass


def test_an_empty_scheduler_is_told(table):
    with pytest.raises(StudyError, match="--scheduler is empty"):
        open_engine(make_study(table), "")
