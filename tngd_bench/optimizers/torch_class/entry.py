"""Optimizers by the name of their class: "torch.optim:Muon", "pytorch_optimizer:SOAP"; any `torch.optim.Optimizer`.

Their settings are the arguments of the class with its defaults; a pair such as `betas` is `beta1` and `beta2`. Four
settings are ours. `route` and `rest` say which parameters AdamW gets instead, with the rate `rest_lr`
(`optimizer.routed`). `cycle` is the number of steps after which costs repeat; None: the interval of the
preconditioner where the class has such an argument, 1 elsewhere. What the suite knows of single classes is in
`known.KNOWN`.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tngd_bench import arguments, plugins
from tngd_bench.optimizers.entry import OptimizerEntry, Setting
from tngd_bench.optimizers.settings import COUNT, POSITIVE, choice, optional
from tngd_bench.optimizers.torch_class.known import KNOWN, Known

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tngd_bench.optimizers.torch_class.optimizer import TorchOptimizer

FORM = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<attribute>[A-Za-z_]\w*)")
ROUTES = ("all", "matrices")
MATRICES_ALONE = ("Muon",)
"""Classes that are made for matrices: they get no other parameters unless `route = "all"` says so."""
INTERVALS = ("precondition_frequency", "preconditioning_compute_steps")
"""Arguments that say after how many steps a preconditioner is renewed: costs repeat after as many."""


EXTRA = {"pytorch_optimizer": "tngd-bench[rivals]"}
"""What installs a module that this package names itself."""
_IMPORTED_FOR_RECORDS = ("torch", *EXTRA)
"""Packages that reading a record may import; any other is imported only where a study or a command line names it."""


def is_class_name(name: object) -> bool:
    """Whether a name has the form MODULE:CLASS."""
    return isinstance(name, str) and FORM.fullmatch(name) is not None


def recorded_entry(name: str) -> OptimizerEntry | None:
    """Return the entry of the class MODULE:CLASS that a record names, without settings where its module is not ours.

    A store may come from anybody, so it does not choose what is imported. None where there is no such class.
    """
    module = name.partition(":")[0]
    if module.partition(".")[0] not in _IMPORTED_FOR_RECORDS:
        return _entry(name, {})
    try:
        return entry_of(name)
    except ValueError:
        return None


def _entry(name: str, settings: Mapping[str, Setting], **further: Any) -> OptimizerEntry:
    module, _, short = name.partition(":")
    known = KNOWN.get(name, Known())
    return OptimizerEntry(
        name,
        known.title or f"{short} ({module})",
        f"{short} of {module}",
        "torch",
        "tngd_bench.optimizers.torch_class.entry:make",
        settings,
        style=known.style,
        **further,
    )


@cache
def entry_of(name: str) -> OptimizerEntry:
    """Return the entry of the optimizer class MODULE:CLASS.

    Raises ValueError where there is no such module or class, and where the class is no `torch.optim.Optimizer`.
    """
    found = _class(name)
    settings, pairs, needed = _settings(found)
    short = name.partition(":")[2]
    ranges = KNOWN.get(name, Known()).ranges
    ours = {
        "route": Setting("matrices" if short in MATRICES_ALONE else "all", choice(*ROUTES)),
        "rest": Setting(None, optional(_pattern)),
        "rest_lr": Setting(1e-3, POSITIVE),
        "cycle": Setting(None, optional(COUNT)),
    }
    clash = sorted(ours.keys() & settings.keys())
    if clash:
        raise ValueError(f"optimizer {name!r} has arguments of its own with the names {', '.join(clash)}")
    return _entry(
        name,
        {key: replace(setting, search=ranges.get(key)) for key, setting in {**settings, **ours}.items()},
        fixed={"name": name, "pairs": tuple(pairs.items())},
        together=partial(_together, name, needed),
        cycle=_cycle,
    )


def make(
    model: nn.Module,
    loss: nn.Module,
    *,
    generator: torch.Generator | None,
    name: str,
    pairs: tuple[tuple[str, tuple[str, ...]], ...],
    route: str,
    rest: str | None,
    rest_lr: float,
    cycle: int | None,
    **settings: Any,
) -> TorchOptimizer:
    """Make the optimizer: the class over the parameters routed to it, AdamW over the others."""
    from tngd_bench.optimizers.torch_class.optimizer import TorchOptimizer, routed

    found = _class(name)
    for whole, parts in pairs:
        settings[whole] = tuple(settings.pop(part) for part in parts)
    defaults = {p.name: p.default for p in _arguments(found)}
    given = {key: value for key, value in settings.items() if value is not None or defaults.get(key) is None}
    taken, others = routed(model, route, rest)
    try:
        optimizer = found([p for _, p in taken], **given)
    except (Exception, SystemExit) as error:  # whatever an outside class finds wrong
        raise ValueError(f"optimizer {name!r} cannot be made: {plugins.said(error)}") from error
    return TorchOptimizer(model, loss, optimizer, taken, others, rest_lr, _cycle({"cycle": cycle, **given}))


def _cycle(settings: Mapping[str, Any]) -> int:
    """Return the steps after which costs repeat: as set, or the preconditioner's interval."""
    return next((int(settings[key]) for key in ("cycle", *INTERVALS) if settings.get(key) is not None), 1)


def _class(name: str) -> Any:
    match = FORM.fullmatch(name)
    if match is None:
        raise ValueError(f"an optimizer class is written MODULE:CLASS, not {name!r}")
    module_name, attribute = match["module"], match["attribute"]
    try:
        with plugins.kept_process(f"module {module_name}"):
            module = import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever outside code does when it is imported
        hint = f"; pip install '{EXTRA[module_name]}'" if module_name in EXTRA else ""
        said = f"{plugins.said(error)}{hint}"
        raise ValueError(f"optimizer {name!r}: module {module_name} cannot be imported ({said})") from None
    import torch

    classes = {
        key: value
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
    }
    if attribute not in classes:
        there = hasattr(module, attribute)
        what = "is no torch.optim.Optimizer" if there else f"is not in {module_name}"
        raise ValueError(f"optimizer {name!r}: {attribute} {what}{arguments.suggestion(attribute, classes)}")
    return classes[attribute]


def _arguments(found: Any) -> list[inspect.Parameter]:
    """The arguments of the class behind the parameters."""
    kept = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    every = [p for p in inspect.signature(found.__init__).parameters.values() if p.kind in kept]
    return every[2:]  # after self and params


def _settings(
    found: Any,
) -> tuple[dict[str, Setting], dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Settings from the class's arguments; the pairs among them, by argument; those that must be given."""
    settings: dict[str, Setting] = {}
    pairs: dict[str, tuple[str, ...]] = {}
    needed = []
    for argument in _arguments(found):
        default = argument.default
        if default is inspect.Parameter.empty:
            needed.append(argument.name)
            settings[argument.name] = Setting(None, _scalar)
        elif isinstance(default, tuple) and default and all(_is_number(value) for value in default):
            stem = argument.name.removesuffix("s")
            pairs[argument.name] = tuple(f"{stem}{place}" for place in range(1, len(default) + 1))
            settings |= {
                part: Setting(value, arguments.real)
                for part, value in zip(pairs[argument.name], default, strict=True)
            }
        elif default is None:
            settings[argument.name] = Setting(None, _scalar)
        elif isinstance(default, bool):
            settings[argument.name] = Setting(default, arguments.flag)
        elif _is_number(default):
            check = _whole if argument.annotation in (int, "int") else _number
            settings[argument.name] = Setting(default, check)
        elif isinstance(default, str):
            settings[argument.name] = Setting(default, arguments.text)
    return settings, pairs, tuple(needed)


def _together(name: str, needed: tuple[str, ...], settings: Mapping[str, object]) -> None:
    missing = [key for key in needed if settings.get(key) is None]
    if missing:
        raise ValueError(f"optimizer {name!r} needs {', '.join(missing)}: its class has no default")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(name: str, value: object) -> object:
    if not _is_number(value) or not math.isfinite(float(value)):  # type: ignore[arg-type]
        raise TypeError(f"{name} must be a finite number, not {value!r}")
    return value


def _whole(name: str, value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return value


def _scalar(name: str, value: object) -> object:
    if value is not None and not isinstance(value, str | bool | int | float):
        raise TypeError(f"{name} must be a number, a text, true or false, not {value!r}")
    return value


def _pattern(name: str, value: object) -> object:
    try:
        re.compile(arguments.text(name, value))
    except re.error as error:
        raise ValueError(f"{name} must be a regular expression, not {value!r} ({error})") from None
    return value
