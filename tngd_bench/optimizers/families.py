"""Families of optimizers: whether they use curvature or a modelled device, and what a search tunes of them.

A range applies to the settings that an optimizer has; its own (`Setting.search`) win. Every range holds the setting's
default. Settings without a range are not tuned: device constants (analog time, delay, noise, converter bits) describe
the machine and not the method, and intervals and CG limits trade time for accuracy. A study may ask for more under
[tuning.spaces.NAME]; what it asks for is written into the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tngd_bench.optimizers.entry import Family, SearchRange


@dataclass(frozen=True)
class FamilyInfo:
    """What the optimizers of one family share; `ranges` are those of a search, by setting."""

    ranges: Mapping[str, SearchRange]
    second_order: bool = False
    modelled: bool = False
    """Whether part of the time per iteration is modelled and not measured."""
    caveat: str = ""
    """What every page with such an optimizer says of it."""


_NATURAL = {
    "lr": SearchRange(
        1e-3, 1.0, "1 is the undamped natural step and the upper end of use; the default is 0.01"
    ),
    "damping": SearchRange(1e-4, 1.0, "two decades on either side of the default 0.01"),
}
_FIRST_ORDER = {
    "lr": SearchRange(
        1e-3, 1.0, "around SGD's default; with momentum 0.9 the effective rate is ten times as large"
    ),
    "momentum": SearchRange(0.0, 0.99, "from none to an average over a hundred steps", "log-complement"),
}
_KFAC = {
    **_NATURAL,
    "momentum": _FIRST_ORDER["momentum"],
    "kl_clip": SearchRange(1e-4, 1e-1, "the clip, not lr, sets the step early in training"),
}
_THERMODYNAMIC = {
    "lr": SearchRange(1e-3, 1.0, "that of the natural gradient, which a long relaxation approaches"),
    "damping": SearchRange(
        1e-4, 1.0, "that of the natural gradient; a conductance, but the method's to choose"
    ),
}
_TORCH = {"lr": SearchRange(1e-4, 1.0, "from Adam's rates to a whole step of L-BFGS")}

FAMILIES: Mapping[Family, FamilyInfo] = {
    "first-order": FamilyInfo(_FIRST_ORDER),
    "kfac": FamilyInfo(_KFAC, second_order=True),
    "natural-gradient": FamilyInfo(_NATURAL, second_order=True),
    "thermodynamic": FamilyInfo(_THERMODYNAMIC, second_order=True, modelled=True),
    "thermodynamic-kfac": FamilyInfo(
        _KFAC,
        second_order=True,
        modelled=True,
        caveat="Our own reconstruction of what the abstract of arXiv 2502.08603 describes; the rest of that paper was "
        "not read. Each layer's damped Kronecker factors are held by the device, which answers the rows of the "
        "gradient and then its columns; gradient and factors are the host's. A bill is the mean of the iterations "
        "between two refreshes; layers follow one another.",
    ),
    "preconditioned": FamilyInfo(
        _NATURAL,
        second_order=True,
        modelled=True,
        caveat="The device answers each residual of conjugate gradients, whose products by the exact curvature are the "
        "host's. How many there are is measured; where nothing was run, as many are predicted as without a device, "
        "which is an upper bound where the device helps.",
    ),
    "torch": FamilyInfo(_TORCH),
}
