"""Two source trees measured in turn, each in a process of its own: the present one and an earlier revision."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tngd_bench
from tngd_bench.measure import probe

SAMPLES = 9
"""Samples a side; 7 is the least with which a difference can be significant."""
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
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        environment = {**os.environ, **dict.fromkeys(_SINGLE_THREADED, "1"), "PYTHONPATH": str(self.tree)}
        self._process = subprocess.Popen(  # noqa: S603  # our own file, no shell
            [sys.executable, "-P", str(_PROBE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            cwd=self.tree,
        )
        self.torch = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def greet(self) -> None:
        """Wait until it is up; ProbeError when it measures another tree than it was told to."""
        hello = self._receive()
        found = Path(hello["tree"]).resolve().parents[1]
        if found != self.tree:
            raise ProbeError(f"tngd_bench was found in {found}, not in {self.tree}")
        self.torch = hello["torch"]

    def ask(self, **request: Any) -> Any:
        """Return the answer to a request of `probe`; UnmeasuredError with the reason when it has none."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; what it said last is told below
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._receive()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            words = " ".join(self._errors.read().split())[-_LAST_WORDS:]
            raise ProbeError(f"measuring {self.tree} ended with code {self._process.returncode}: {words}")
        answer = json.loads(line)
        if "error" in answer:
            raise UnmeasuredError(answer["error"])
        return answer["value"]


@contextlib.contextmanager
def probes(*trees: Path) -> Iterator[tuple[Probe, ...]]:
    """Start a probe for each tree, all at once, and end them."""
    with contextlib.ExitStack() as stack:
        started = tuple(stack.enter_context(Probe(tree)) for tree in trees)
        for started_one in started:
            started_one.greet()
        yield started


@dataclass(frozen=True)
class TreeFigures:
    """What one tree answered: `values` by name, and for a name without them the reason in `failures`."""

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
    trees: Sequence[Path], names: Sequence[str], *, samples: int = SAMPLES, pairs: int = 1
) -> tuple[TreeFigures, ...]:
    """Return for each tree `samples` ratios per name, as `take_samples`, from `pairs` sets of new processes.

    Where a process's memory lies is part of its speed; several sets tell it from the tree's.
    """
    found = tuple(TreeFigures({name: [] for name in names}) for _ in trees)
    for pair in range(pairs):
        share = samples * (pair + 1) // pairs - samples * pair // pairs
        with probes(*trees) as started:
            take_samples(started, found, share)
    return found


def take_samples(started: Sequence[Probe], found: Sequence[TreeFigures], samples: int) -> None:
    """Add to each probe's figures `samples` ratios per name of a step time, in turn, the order turning about.

    A name that one tree cannot measure is measured in none.
    """
    for block in range(samples):
        # A B B A: neither side is always the first
        order = list(zip(started, found, strict=True))[:: 1 if block % 2 == 0 else -1]
        for name in list(found[0].values):
            _take_sample(name, order, found)


def _take_sample(
    name: str, order: Sequence[tuple[Probe, TreeFigures]], all_of_them: Sequence[TreeFigures]
) -> None:
    for started, figures in order:
        try:
            figures.values[name].append(float(started.ask(do="time", name=name)))
        except UnmeasuredError as error:
            figures.failures[name] = str(error)
            for side in all_of_them:
                del side.values[name]
            return


@contextlib.contextmanager
def checked_out(revision: str, repository: Path) -> Iterator[Path]:
    """Yield a folder with `revision` of the git repository checked out in it (a worktree), and remove it.

    LookupError when `repository` is none, or has no such revision.
    """
    if _git(repository, "rev-parse", "--is-inside-work-tree").returncode:
        raise LookupError(f"{repository} is not a git repository")
    top = Path(_git(repository, "rev-parse", "--show-toplevel").stdout.strip())
    named = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if named.returncode:
        raise LookupError(f"{top} has no revision {revision!r}")
    with tempfile.TemporaryDirectory(prefix="tngd-bench-base-") as folder:
        place = Path(folder) / "tree"
        made = _git(top, "worktree", "add", "--detach", str(place), named.stdout.strip())
        if made.returncode:
            raise LookupError(f"{revision} cannot be checked out: {made.stderr.strip()}")
        try:
            # the package may lie in a folder of the repository
            yield place / os.path.relpath(repository.resolve(), top.resolve())
        finally:
            _git(top, "worktree", "remove", "--force", str(place))


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # no shell
        ["git", "-C", str(folder), *arguments],  # noqa: S607  # whichever git the user has
        capture_output=True,
        text=True,
        check=False,
    )
