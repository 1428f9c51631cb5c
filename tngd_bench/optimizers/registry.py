"""Names of the optimizers, their settings and how to make them; importing this module imports no torch.

An optimizer of this package is a folder, whose `ENTRIES` are listed here. Outside packages add one by an entry point in
the group `tngd_bench.optimizers` that loads to an `OptimizerEntry`, files by such an object at module level; any torch
optimizer is there by its class, MODULE:CLASS (`torch_class/entry.py`).
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import get_args

from tngd_bench import arguments, plugins
from tngd_bench.optimizers.cost_model import CostModel
from tngd_bench.optimizers.device_cg.entry import ENTRIES as DEVICE_CG
from tngd_bench.optimizers.entry import (
    Billed,
    Family,
    Hosted,
    OptimizerEntry,
    Phased,
    SearchRange,
    Setting,
    Stepper,
    Style,
)
from tngd_bench.optimizers.families import FAMILIES
from tngd_bench.optimizers.first_order.entry import ENTRIES as FIRST_ORDER
from tngd_bench.optimizers.kfac.entry import ENTRIES as KFAC
from tngd_bench.optimizers.ngd.entry import ENTRIES as NGD
from tngd_bench.optimizers.tkfac.entry import ENTRIES as TKFAC
from tngd_bench.optimizers.tngd.entry import ENTRIES as TNGD
from tngd_bench.optimizers.torch_class.entry import entry_of, is_class_name, recorded_entry
from tngd_bench.optimizers.torch_class.known import KNOWN
from tngd_bench.plugin_files import cached
from tngd_bench.plugins import entry_points

__all__ = [
    "Billed",
    "Family",
    "Hosted",
    "OptimizerEntry",
    "Phased",
    "Setting",
    "Stepper",
    "get",
    "names",
    "origin",
]

ENTRY_POINT_GROUP = "tngd_bench.optimizers"
_OWN = (*FIRST_ORDER, *KFAC, *NGD, *TNGD, *TKFAC, *DEVICE_CG)


@cached
def _found() -> plugins.Found[OptimizerEntry]:
    own = {entry.name: entry for entry in _OWN}
    points = entry_points(group=ENTRY_POINT_GROUP)
    return plugins.collect("optimizer", OptimizerEntry, own, points, ENTRY_POINT_GROUP, check=_check_entry)


def _check_entry(entry: OptimizerEntry) -> None:
    """Raise TypeError or ValueError for an outside entry whose fields are not what they have to be."""
    for name in ("title", "summary"):
        arguments.text(name, getattr(entry, name))
    if is_class_name(entry.name):
        raise ValueError(f"name must not have the form MODULE:CLASS, which names a class, not {entry.name!r}")
    plugins.check_factory(entry.factory)
    arguments.choice("family", entry.family, get_args(Family))
    settings: object = entry.settings
    if not isinstance(settings, Mapping):
        raise TypeError(f"settings must be a mapping of names to Setting, not {settings!r:.80}")
    for name, setting in settings.items():
        if not isinstance(setting, Setting):
            raise TypeError(f"settings[{name!r}] must be a Setting, not {setting!r:.80}")
        setting.check(name, setting.default)
        if setting.search is not None and not isinstance(setting.search, SearchRange):
            raise TypeError(f"settings[{name!r}].search must be a SearchRange, not {setting.search!r:.80}")
    for name in ("together", "device", "cost", "host", "products", "cycle"):
        value = getattr(entry, name)
        if value is not None and not isinstance(value, CostModel):
            arguments.function(name, value)
    if entry.style is not None and not isinstance(entry.style, Style):
        raise TypeError(f"style must be a Style, not {entry.style!r:.80}")
    arguments.integer("exact", entry.exact, minimum=0)
    arguments.flag("break_even", entry.break_even)
    arguments.flag("bill_needs_step", entry.bill_needs_step)


def names() -> tuple[str, ...]:
    """Return the names of all registered optimizers, ours first; those named by their class are not among them."""
    return tuple(_found().entries)


def own_modules() -> tuple[str, ...]:
    """Return the modules that make the optimizers of this package."""
    return tuple(dict.fromkeys(entry.factory.partition(":")[0] for entry in _OWN))


def digital() -> tuple[str, ...]:
    """Return the names of the optimizers without a device whose cost is described: those of every prediction."""
    entries = _found().entries.values()
    return tuple(e.name for e in entries if e.cost is not None and not FAMILIES[e.family].modelled)


def exact_natural() -> tuple[str, ...]:
    """Return the names of the optimizers that take the exact natural gradient's step, the cheapest first.

    Where losses are compared, the first of them that ran stands for all.
    """
    exact = [entry for entry in _found().entries.values() if entry.exact]
    return tuple(entry.name for entry in sorted(exact, key=lambda entry: entry.exact))


def styles() -> dict[str, Style]:
    """Return the styles of all registered optimizers that have one, by name, and of the classes known by name."""
    found = {name: entry.style for name, entry in _found().entries.items()}
    found |= {name: known.style for name, known in KNOWN.items()}
    return {name: style for name, style in found.items() if style is not None}


def is_known(name: str) -> bool:
    """Whether `get` has an entry called `name`."""
    try:
        get(name)
    except ValueError:
        return False
    return True


def recorded(name: str) -> OptimizerEntry | None:
    """Return the entry of an optimizer that a record names, None where there is none.

    A class of an outside module is described by its name alone: a record decides about no import.
    """
    return recorded_entry(name) if is_class_name(name) else _found().entries.get(name)


def origin(name: str) -> EntryPoint | None:
    """Return the entry point that adds the optimizer `name`, or that its class would have; None for one of ours."""
    if is_class_name(name):
        return EntryPoint(name, name, ENTRY_POINT_GROUP)
    return _found().points.get(name)


def get(name: str) -> OptimizerEntry:
    """Return the entry called `name`; ValueError with a suggestion when there is none."""
    if is_class_name(name):
        return entry_of(name)
    return _found().get(name)
