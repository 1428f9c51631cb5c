"""The protocol of engines, which run trials: `local_engine` on this machine, `dask_engine` on a cluster."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.plan.inputs import MachineLimits
from tngd_bench.studies.plan.trials import DataRequest, Trial
from tngd_bench.studies.run.worker_process import Ending, Limits

MACHINE, CORE = "machine", "core"
"""Resources that Dask workers offer: one machine, for a timed trial alone, and its cores, for the threads of others."""


@dataclass(frozen=True)
class Job:
    """A trial to be carried out, under its key in the store."""

    key: str
    trial: Trial


@dataclass(frozen=True)
class Outcome:
    """End of a job; `turn` is the optimizer at work when it ended, `machine` the class of the machine that it ran on.

    `value`: entries where it is "done", the announced `Deadline` where a step went beyond it, else the reason.
    """

    ending: Ending
    value: Any
    turn: str | None
    machine: Mapping[str, str | None]


@dataclass(frozen=True)
class PreparedData:
    """Loaded data in a file of this machine, and the checksum that tells whether another machine has the same."""

    path: Path
    checksum: str


@dataclass(frozen=True)
class Work:
    """Jobs of one kind, to be carried out; more may be put on the `queue` meanwhile.

    An `exclusive` job has its machine to itself. `started` is called with each trial that starts.
    """

    queue: deque[Job]
    data: Mapping[DataRequest, PreparedData]
    limits: Limits
    execution: Execution
    started: Callable[[Trial], None]
    exclusive: bool


class Engine(Protocol):
    """Carries out jobs, each in a process of its own that is stopped at its limits."""

    def machine(self, execution: Execution) -> MachineLimits:
        """Return the resources of the machine that runs the trials; of several, those of the weakest."""

    def environment(self, execution: Execution) -> dict[str, Any]:
        """Return the description of the machine that runs the trials, ready for the store."""

    def side_by_side(self, execution: Execution, *, exclusive: bool) -> int:
        """Return the number of trials that share a machine."""

    def run(self, work: Work) -> Iterator[tuple[Job, Outcome]]:
        """Yield the jobs of the queue as they end, in any order, until it is empty and none runs.

        Closing the iterator stops what still runs.
        """
