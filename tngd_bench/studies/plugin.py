"""Use a plug-in's file: load it, and register the optimizers, problems, devices and engines that it has."""

import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

from tngd_bench import plugin_files
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.plugin_files import PluginFile
from tngd_bench.problems import registry as problems
from tngd_bench.spu import device as devices
from tngd_bench.studies import engines

Kind = Literal["optimizer", "problem", "device", "engine"]
ACCEPTED = "an OptimizerEntry, a ProblemEntry, a Device or an EngineEntry, each under a name at module level"


def use_plugin(path: str | Path) -> PluginFile:
    """Load the plug-in in a file, so that its entries are known by their names, and return it.

    Raises ValueError, and leaves everything as it was, where the file cannot be loaded, one of its entries cannot be
    used, or there is none.
    """
    file = plugin_files.read(path)
    if file in plugin_files.loaded():
        return file
    try:
        changed = plugin_files.install(file)
        if not registered(file):
            raise ValueError(f"plug-in {str(path)!r} registers nothing; accepted: {ACCEPTED}")
    except ValueError:
        plugin_files.forget(file)
        raise
    if changed:
        warnings.warn(
            f"plug-in {file.name} changed {changed} when it was loaded; that was put back",
            UserWarning,
            stacklevel=2,
        )
    return file


def registered(file: PluginFile | None = None) -> dict[Kind, tuple[str, ...]]:
    """Return the names that a file registers, by kind; None: all names."""
    found: dict[Kind, tuple[tuple[str, ...], Callable[[str], EntryPoint | None]]] = {
        "optimizer": (optimizers.names(), optimizers.origin),
        "problem": (problems.names(), problems.origin),
        "device": (devices.Device.presets(), devices.origin),
        "engine": (engines.names(), engines.origin),
    }
    by_kind = {}
    for kind, (names, origin) in found.items():
        points = {name: origin(name) for name in names}
        by_kind[kind] = tuple(
            name
            for name, point in points.items()
            if file is None or (point is not None and plugin_files.file_of(point) == file)
        )
    return {kind: names for kind, names in by_kind.items() if names}
