"""Names of the engines, which run trials: this machine, a Dask cluster, and those of outside packages and files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tngd_bench import arguments, plugins
from tngd_bench.plugin_files import cached

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "tngd_bench.engines"


@dataclass(frozen=True)
class EngineEntry:
    """A registered engine; `factory` is "module:attribute" of a callable that opens one for a `Study`.

    What it returns is a context manager of an `Engine` (`studies.run.engine`).
    """

    name: str
    summary: str
    factory: str

    def check_fields(self) -> None:
        """Raise TypeError for fields that are not text, ValueError for a factory that is none."""
        for name in ("name", "summary"):
            arguments.text(name, getattr(self, name))
        plugins.check_factory(self.factory)

    def open(self, study: Any) -> AbstractContextManager[Any]:
        """Return the engine for a study, to be entered."""
        module, attribute = self.factory.split(":")
        make: Callable[[Any], AbstractContextManager[Any]] = getattr(import_module(module), attribute)
        return make(study)


_OWN = (
    EngineEntry(
        "local", "trials in processes of this machine", "tngd_bench.studies.run.local_engine:open_local"
    ),
    EngineEntry(
        "dask", "trials on the machines of a Dask cluster", "tngd_bench.studies.run.clusters:open_dask"
    ),
)


@cached
def _found() -> plugins.Found[EngineEntry]:
    own = {entry.name: entry for entry in _OWN}
    points = plugins.entry_points(ENTRY_POINT_GROUP)
    return plugins.collect(
        "engine", EngineEntry, own, points, ENTRY_POINT_GROUP, check=EngineEntry.check_fields
    )


def names() -> tuple[str, ...]:
    """Return the names of all registered engines, ours first."""
    return tuple(_found().entries)


def origin(name: str) -> EntryPoint | None:
    """Return the entry point that adds the engine `name`; None for one of ours."""
    return _found().points.get(name)


def get(name: str) -> EngineEntry:
    """Return the entry called `name`; ValueError with a suggestion, or with why it is left out, when there is none."""
    return _found().get(name)
