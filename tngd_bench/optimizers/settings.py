"""Settings that several optimizers have, and the checks of values that their entries share."""

from collections.abc import Callable, Mapping

from tngd_bench.optimizers.entry import Setting
from tngd_bench.spu import field_info

Check = Callable[[str, object], object]

POSITIVE: Check = field_info.POSITIVE.check
NON_NEGATIVE: Check = field_info.NON_NEGATIVE.check
FRACTION: Check = field_info.FRACTION.check
COUNT: Check = field_info.whole(1).check


def choice(*options: str) -> Check:
    """Return the check that a value is one of `options`."""
    return field_info.choice(*options).check


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
