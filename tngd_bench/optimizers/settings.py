"""Settings that several optimizers have, and the checks of values that their entries share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tngd_bench import arguments
from tngd_bench.optimizers.entry import Setting

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


NATURAL = {
    "lr": Setting(0.01, POSITIVE),
    "momentum": Setting(0.0, FRACTION),
    "damping": Setting(0.01, NON_NEGATIVE),
}
"""Settings of a natural gradient with the plain update."""
