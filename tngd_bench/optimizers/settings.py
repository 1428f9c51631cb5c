"""Settings that several optimizers have, and the checks of values that their entries share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tngd_bench import arguments
from tngd_bench.optimizers.entry import SearchRange, Setting

Check = Callable[[str, object], object]

POSITIVE: Check = partial(arguments.real, above=0.0)
NON_NEGATIVE: Check = partial(arguments.real, minimum=0.0)
FRACTION: Check = partial(arguments.real, minimum=0.0, below=1.0)
COUNT: Check = partial(arguments.integer, minimum=1)


def choice(*options: str) -> Check:
    """Return the check that a value is one of `options`."""
    return lambda name, value: arguments.choice(name, value, options)


def optional(check: Check) -> Check:
    """Return the check that a value is None or passes `check`."""
    return lambda name, value: None if value is None else check(name, value)


def check_settings(settings: Mapping[str, Setting], **values: object) -> None:
    """Raise ValueError or TypeError for a value that the setting of its name refuses."""
    for name, value in values.items():
        settings[name].check(name, value)


def rate(lr: float, search: SearchRange | None = None) -> dict[str, Setting]:
    """Return the learning rate with its default."""
    return {"lr": Setting(lr, POSITIVE, search)}


def momentum(default: float) -> dict[str, Setting]:
    """Return the momentum with its default."""
    return {"momentum": Setting(default, FRACTION)}


def adam(beta1: float, beta2: float) -> dict[str, Setting]:
    """Return β₁, β₂ and ε of Adam's rule with their defaults."""
    return {
        "beta1": Setting(beta1, FRACTION),
        "beta2": Setting(beta2, FRACTION),
        "eps": Setting(1e-8, POSITIVE),
    }


DAMPING = {"damping": Setting(0.01, NON_NEGATIVE)}
NATURAL = {**rate(0.01), **momentum(0.0), **DAMPING}
"""Settings of a natural gradient with the plain update."""
