"""Contracts between the entry of an optimizer and its class."""

from __future__ import annotations

import ast
import inspect
import itertools
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tngd_bench
from tngd_bench.optimizers import KFAC, NGD, TNGD, registry
from tngd_bench.optimizers.families import FAMILIES
from tngd_bench.solvers import CG

OURS = [registry.get(name) for name in registry.names() if registry.origin(name) is None]
CLASSES = {"kfac": KFAC, "tngd": TNGD} | {
    entry.name: NGD for entry in OURS if entry.family == "natural-gradient"
}
CG_ARGUMENTS = {"cg_iterations": "max_iterations", "cg_rtol": "rtol", "cg_space": "space"}
LOSS = nn.CrossEntropyLoss()
VALUES = (
    -1,
    -0.5,
    0,
    0.0,
    1e-9,
    0.3,
    0.5,
    1,
    1.0,
    1.5,
    2,
    7,
    math.nan,
    math.inf,
    True,
    None,
    "text",
    "previous",
)


def arguments_of(function: Any) -> dict[str, Any]:
    return {p.name: p.default for p in inspect.signature(function).parameters.values()}


OF_ITS_OWN = {"spring": {"memory"}}
"""Settings whose default is what makes the entry another one than its class."""


@pytest.mark.parametrize("name", CLASSES)
def test_defaults_of_the_entry_are_those_of_the_class(name: str) -> None:
    theirs = arguments_of(CLASSES[name])
    theirs |= {setting: arguments_of(CG)[argument] for setting, argument in CG_ARGUMENTS.items()}
    shared = registry.get(name).defaults.keys() & theirs.keys() - OF_ITS_OWN.get(name, set())
    assert {"lr", "damping", "momentum"} <= shared
    assert {key: registry.get(name).defaults[key] for key in shared} == {key: theirs[key] for key in shared}


@pytest.mark.parametrize("name", CLASSES)
def test_the_entry_refuses_the_values_that_the_class_refuses(name: str) -> None:
    entry, model = registry.get(name), nn.Linear(2, 2)
    shared = [setting for setting in entry.settings if setting in arguments_of(CLASSES[name])]
    for setting, value in itertools.product(shared, VALUES):
        by_entry = accepts(entry.check_complete, {setting: value})
        assert by_entry == accepts(partial(CLASSES[name], model, LOSS), **{setting: value}), (setting, value)


def accepts(call: Callable[..., object], *positional: object, **named: object) -> bool:
    try:
        call(*positional, **named)
    except (ValueError, TypeError):
        return False
    return True


@pytest.mark.parametrize(("factor_interval", "inverse_interval"), [(10, 100), (1, 1), (20, 5)])
def test_the_cycle_of_the_entry_is_that_of_the_class(factor_interval: int, inverse_interval: int) -> None:
    settings = {"factor_interval": factor_interval, "inverse_interval": inverse_interval}
    entry = registry.get("kfac")
    made = entry.create(nn.Linear(2, 2), LOSS, settings)
    assert entry.cycle({**entry.defaults, **settings}) == made.cycle  # type: ignore[attr-defined]


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: str(entry.name))
def test_an_entry_of_ours_is_complete(entry: registry.OptimizerEntry) -> None:
    assert entry.family in FAMILIES
    assert entry.cost is not None
    assert entry.style is not None
    if entry.name != "kfac":
        made = entry.create(nn.Linear(2, 2), LOSS, {}, torch.Generator().manual_seed(0))
        assert entry.cycle(entry.defaults) == getattr(made, "cycle", 1)


def test_each_has_a_marker_and_a_place_of_its_own() -> None:
    markers = [entry.style.marker for entry in OURS if entry.style is not None]
    places = [entry.exact for entry in OURS if entry.exact]
    assert len(set(markers)) == len(OURS)
    assert sorted(places) == [*range(1, len(places) + 1)]
    assert registry.exact_natural()[0] == "ngd-gram"
    assert set(registry.digital()) == {entry.name for entry in OURS if not entry.simulated}


def test_no_other_module_lists_the_optimizers() -> None:
    """Such a list has to be found and lengthened for every new one; the paper's table and the gate's are their own."""
    root = Path(tngd_bench.__file__).parent
    apart = {"analysis/cost/paper_costs.py", "check/probe.py"}
    lists = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        if (
            name.startswith("optimizers/")
            or name in apart
            or not any(f'"{each.name}"' in text for each in OURS)
        ):
            continue
        for node in ast.walk(ast.parse(text)):
            parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
            named = {part.value for part in parts if isinstance(part, ast.Constant)}
            if len(named & {each.name for each in OURS}) > 2:
                lists.append((name, node.lineno))
    assert lists == []
