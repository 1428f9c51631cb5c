"""Pages of the API reference: a page a floor, from the names that the package itself calls public."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tngd_bench.field_docstrings import field_docstrings

FLOORS = {
    "curvature": "Curvature of one batch",
    "solvers": "Solvers of (G + λI) x = g",
    "spu": "The device",
    "optimizers": "Optimizers",
    "problems": "Problems",
    "studies": "Studies",
    "analysis": "Results",
    "report": "Reports",
}
"""The floors with public names, and the titles of their pages."""
_STEP_ERRORS = ("tngd.step_errors.UnstableStepError", "tngd.step_errors.DivergingStepError")
FURTHER = {
    "solvers": ("layer_operators.LayerOperator",),
    "spu": ("analog_settings.AnalogSettings", "billing.Workload", "description.DeviceDescription"),
    "optimizers": (
        "entry.OptimizerEntry",
        "entry.Setting",
        "entry.Style",
        "natural.NaturalOptimizer",
        *_STEP_ERRORS,
    ),
    "problems": ("entry.ProblemEntry", "metrics.Metric"),
    "studies": ("engines.EngineEntry", "store.records.Records", "store.records.read_records"),
}
"""Names in modules of a floor that plug-ins and readers of a store need."""
PLAIN = {"name", "title", "summary", "records", "html"}
"""Parameters whose names say what they are."""


def public_names() -> dict[str, list[str]]:
    """Return the dotted names of each floor's page: those of its `__all__`, then the further ones."""
    return {
        floor: [
            f"tngd_bench.{floor}.{name}"
            for name in (*import_module(f"tngd_bench.{floor}").__all__, *FURTHER.get(floor, ()))
        ]
        for floor in FLOORS
    }


def public_object(name: str) -> Any:
    """Return the object of a dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def described_words(thing: Any) -> set[str]:
    """Return the words of the docstrings of a public object, of its bases, and below their fields."""
    found: set[str] = set()
    for owner in thing.__mro__ if isinstance(thing, type) else (thing,):
        if owner.__module__.startswith("tngd_bench"):
            found.update(re.findall(r"\w+", owner.__doc__ or ""))
            found.update(field_docstrings(owner) if isinstance(owner, type) else ())
    return found


def undescribed() -> Mapping[str, list[str]]:
    """Return the parameters of public names that no docstring names; exceptions are raised, not made, by a reader."""
    found = {}
    for name in (name for names in public_names().values() for name in names):
        thing = public_object(name)
        if isinstance(thing, type) and issubclass(thing, BaseException | tuple):
            continue
        described = PLAIN | described_words(thing)
        if missing := [each for each in inspect.signature(thing).parameters if each not in described]:
            found[name] = missing
    return found


def write_pages(folder: Path) -> None:
    """Write a page for each floor, where it differs from what is there: Sphinx reads again what has changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for floor, names in public_names().items():
        title = FLOORS[floor]
        parts = [title, "=" * len(title), "", f".. currentmodule:: tngd_bench.{floor}", ""]
        for name in names:
            kind = "class" if isinstance(public_object(name), type) else "function"
            parts += [f".. auto{kind}:: {name}", ""]
        text = "\n".join(parts)
        page = folder / f"{floor}.rst"
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
