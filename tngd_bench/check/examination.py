"""Examination of plug-ins: each check of `conformance` in a process of its own, stopped at its limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Literal

from tngd_bench import plugins
from tngd_bench.check.conformance import CHECKS, Check
from tngd_bench.check.conformance.small_run import Failure, NotApplicable
from tngd_bench.measure.threads import use_threads
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.plugins import package_of
from tngd_bench.problems import registry as problems
from tngd_bench.spu import device as devices
from tngd_bench.studies import engines
from tngd_bench.studies.errors import EngineError
from tngd_bench.studies.plugin import Kind, registered, use_plugin
from tngd_bench.studies.run.worker_process import Limits, call_in_worker, worker_context

Status = Literal["passed", "failed", "skipped"]
Subject = tuple[Kind, str]
_ORIGINS = {
    "optimizer": optimizers.origin,
    "problem": problems.origin,
    "device": devices.origin,
    "engine": engines.origin,
}
_MEMORY_BYTES = 8e9


@dataclass(frozen=True)
class Examined:
    """Result of a check of one subject: its demand, its status and what was found."""

    kind: Kind
    name: str
    check: str
    demand: str
    status: Status
    found: str


def subjects_of(plugin: str) -> list[Subject]:
    """Return kind and name of all that `plugin` means: FILE.py, a registered name, MODULE:CLASS, or a package.

    Raises ValueError where it is none of them, or a file that cannot be loaded.
    """
    if plugin.endswith(".py"):
        return _listed(registered(use_plugin(plugin)))
    everything = _listed(registered())
    named = [subject for subject in everything if subject[1] == plugin]
    if not named and optimizers.is_known(plugin):
        named = [("optimizer", plugin)]
    points = {subject: _ORIGINS[subject[0]](subject[1]) for subject in everything}
    of_package = [
        subject for subject, point in points.items() if point is not None and package_of(point) == plugin
    ]
    found = named or of_package
    if not found:
        raise ValueError(
            f"{plugin!r} is no plug-in; accepted: FILE.py, a name that `tngd-bench list` shows, MODULE:CLASS of an"
            " optimizer, or an installed package that registers something"
        )
    return found


def _listed(names_by_kind: dict[Kind, tuple[str, ...]]) -> list[Subject]:
    return [(kind, name) for kind, names in names_by_kind.items() for name in names]


def examine(subjects: Sequence[Subject], seconds: float) -> Iterator[Examined]:
    """Yield the finding of every check of every subject; a check that takes longer than `seconds` has failed.

    The checks of an engine, which starts processes of its own, run in this one.
    """
    context = worker_context()
    for kind, name in subjects:
        for check in CHECKS[kind]:
            finding = partial(
                Examined, kind, name, check.__name__.replace("_", " "), (check.__doc__ or "").strip()
            )
            if kind == "engine":
                yield finding(*outcome(check, name))
                continue
            place = CHECKS[kind].index(check)
            try:
                args, limits = (kind, place, name), Limits(seconds, _MEMORY_BYTES)
                yield finding(*call_in_worker(context, _examine_in_worker, args, limits))
            except EngineError as error:
                yield finding("failed", str(error))


def outcome(check: Check, name: str) -> tuple[Status, str]:
    """Make a check in this process; return how it ended, and what was found."""
    try:
        return "passed", check(name)
    except NotApplicable as reason:
        return "skipped", str(reason)
    except Failure as failure:
        return "failed", str(failure)
    except (Exception, SystemExit) as error:  # whatever outside code does
        return "failed", plugins.said(error)


def _examine_in_worker(kind: Kind, place: int, name: str, connection: Connection) -> None:
    use_threads(1)
    connection.send(("done", outcome(CHECKS[kind][place], name)))
