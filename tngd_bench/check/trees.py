"""Two source trees measured in turn, each in a process of its own: the present one and an earlier revision."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import tngd_bench
from tngd_bench.check import probe
from tngd_bench.measure.git import clean_environment, extract, repository_of, resolve
from tngd_bench.measure.plain_text import plain

SAMPLES = 9
"""Samples a side; 7 is the least with which a difference can be significant."""
PROCESSES = 9
"""Processes a side in a run that confirms; 7 is the least with which they can differ significantly."""
SAMPLES_EACH = 5
"""Samples of each of those processes."""
_PROBE = Path(probe.__file__)
_SINGLE_THREADED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LAST_WORDS = 400


class ProbeError(RuntimeError):
    """A process that measures a tree did not answer."""


class UnmeasuredError(RuntimeError):
    """A tree has no such figure, or raised an error on the way to it."""


def present_tree() -> Path:
    """Return the folder that holds the running `tngd_bench`."""
    return Path(tngd_bench.__file__).resolve().parents[1]


class Probe:
    """A process that measures `tree`, a folder with a `tngd_bench` in it; ends with the `with` block."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree.resolve()
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # closed with the process
        given = os.environ.get("PYTHONPATH", "").split(
            os.pathsep
        )  # the user's own folders come after the tree
        environment = {
            **clean_environment(),
            **dict.fromkeys(_SINGLE_THREADED, "1"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(self.tree), *given])),
            "PYTHONHASHSEED": "0",
        }
        self._process = subprocess.Popen(  # noqa: S603  # our own file, no shell
            [sys.executable, "-P", str(_PROBE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            errors="replace",
            env=environment,
            cwd=self.tree,
        )
        self.torch = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def greet(self) -> None:
        """Wait until it is up; ProbeError when it measures a tree other than its own."""
        hello = self._receive()
        found = Path(hello["tree"]).resolve().parents[1]
        if found != self.tree:
            raise ProbeError(f"tngd_bench was found in {found}, not in {self.tree}")
        self.torch = hello["torch"]

    def ask(self, **request: Any) -> Any:
        """Return the answer to a request of `probe`; UnmeasuredError with the reason when it has none."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; its last words are reported below
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._receive()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            words = plain(self._errors.read())[-_LAST_WORDS:]
            raise ProbeError(f"measuring {self.tree} ended with code {self._process.returncode}: {words}")
        try:
            answer = json.loads(line)
        except ValueError:
            raise ProbeError(f"measuring {self.tree} answered {plain(line)[:_LAST_WORDS]!r}") from None
        if "error" in answer:
            raise UnmeasuredError(plain(answer["error"]))
        return answer["value"]


@contextlib.contextmanager
def probes(*trees: Path) -> Iterator[tuple[Probe, ...]]:
    """Start a probe for each tree, all at once, and end them."""
    with contextlib.ExitStack() as stack:
        started = tuple(stack.enter_context(Probe(tree)) for tree in trees)
        for each in started:
            each.greet()
        yield started


@dataclass(frozen=True)
class TreeFigures:
    """The answers of one tree: `values` by name, and for a name without them the reason in `failures`."""

    values: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def exact_figures(started: Probe, names: Sequence[str]) -> TreeFigures:
    """Return the exact figures called `names`."""
    figures = TreeFigures()
    for name in names:
        try:
            figures.values[name] = started.ask(do="exact", name=name)
        except UnmeasuredError as error:
            figures.failures[name] = str(error)
    return figures


def time_in_turn(
    trees: Sequence[Path], names: Sequence[str], *, samples: int = SAMPLES_EACH, processes: int = PROCESSES
) -> tuple[TreeFigures, ...]:
    """Return for each tree a ratio per name and process: the median of `samples` taken as by `take_samples`.

    Where a process's memory lies is part of its speed, so samples of one process are no independent evidence on the
    tree: the process is the unit, and every set of processes is new.
    """
    found = tuple(TreeFigures({name: [] for name in names}) for _ in trees)
    for _ in range(processes):
        one = tuple(TreeFigures({name: [] for name in found[0].values}) for _ in trees)
        with probes(*trees) as started:
            take_samples(started, one, samples)
        for side, figures in zip(found, one, strict=True):
            side.failures.update(figures.failures)
            for name in list(side.values):
                if name in figures.values:
                    side.values[name].append(statistics.median(figures.values[name]))
                else:
                    del side.values[name]
    return found


def take_samples(started: Sequence[Probe], found: Sequence[TreeFigures], samples: int) -> None:
    """Add to each probe's figures `samples` ratios per name of a step time, in turn, the order turning about.

    A name that one tree cannot measure is measured in none.
    """
    for block in range(samples):
        # A B B A: neither side is always the first
        order = list(zip(started, found, strict=True))[:: 1 if block % 2 == 0 else -1]
        for name in list(found[0].values):
            _take_sample(name, order)


def _take_sample(name: str, order: Sequence[tuple[Probe, TreeFigures]]) -> None:
    for started, figures in order:
        try:
            figures.values[name].append(float(started.ask(do="time", name=name)))
        except UnmeasuredError as error:
            figures.failures[name] = str(error)
            for _, side in order:
                del side.values[name]
            return


@dataclass(frozen=True)
class Revision:
    """A revision's files in a temporary folder: its commit, and the folder that holds `tngd_bench`."""

    commit: str
    tree: Path


@contextlib.contextmanager
def checked_out(revision: str, repository: Path) -> Iterator[Revision]:
    """Yield `revision` of the git repository, its files in a temporary folder, and remove that.

    `repository` is the folder that holds the package; the package may lie in a folder of the repository. LookupError
    when there is no repository, or it has no such revision, or the revision has no such folder.
    """
    top = repository_of(repository)
    commit = resolve(top, revision)
    part = os.path.relpath(repository.resolve(), top.resolve())
    with tempfile.TemporaryDirectory(prefix="tngd-bench-base-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "tree"
        extract(top, commit, place)
        tree = place / part
        if not tree.is_dir():
            why = f"{repository} is no checkout of the package, and only a checkout can be compared with a revision"
            raise LookupError(f"{revision} of {top} has no folder {part}: {why}")
        yield Revision(commit, tree)
