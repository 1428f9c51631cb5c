"""Families of optimizers: whether they use curvature or a modelled device, and what a search tunes of them.

A range applies to the settings that an optimizer has; its own (`Setting.search`) win. Every range holds the setting's
default. Settings without a range are not tuned: device constants (analog time, delay, noise, converter bits) describe
the machine and not the method, and intervals and CG limits trade time for accuracy. A study may ask for more under
[tuning.spaces.NAME]; what it asks for is written into the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tngd_bench.optimizers.entry import Family, SearchRange


@dataclass(frozen=True)
class FamilyInfo:
    """What the optimizers of one family share; `ranges` are those of a search, by setting."""

    second_order: bool
    modelled: bool
    """Whether part of the time per iteration is modelled and not measured."""
    ranges: Mapping[str, SearchRange]


_NATURAL_LR = SearchRange(
    1e-3, 1.0, "1 is the undamped natural step and the upper end of use; the default is 0.01"
)
_DAMPING = SearchRange(1e-4, 1.0, "two decades on either side of the default 0.01")
_KL_CLIP = (
    "the clip, not lr, sets the step early in training; two decades above the default 1e-3 and one below"
)

FAMILIES: Mapping[Family, FamilyInfo] = {
    "first-order": FamilyInfo(
        second_order=False,
        modelled=False,
        ranges={
            "lr": SearchRange(
                1e-3,
                1.0,
                "three decades around SGD's default of 0.1; with momentum 0.9 the effective rate is ten times as large",
            ),
            "momentum": SearchRange(
                0.0, 0.99, "from none, the default, to an average over a hundred steps", "log-complement"
            ),
        },
    ),
    "kfac": FamilyInfo(
        second_order=True,
        modelled=False,
        ranges={
            "lr": _NATURAL_LR,
            "damping": _DAMPING,
            "momentum": SearchRange(0.0, 0.99, "as for SGD; the default is 0.9", "log-complement"),
            "kl_clip": SearchRange(1e-4, 1e-1, _KL_CLIP),
        },
    ),
    "natural-gradient": FamilyInfo(
        second_order=True, modelled=False, ranges={"lr": _NATURAL_LR, "damping": _DAMPING}
    ),
    "thermodynamic": FamilyInfo(
        second_order=True,
        modelled=True,
        ranges={
            "lr": SearchRange(1e-3, 1.0, "that of the natural gradient, which a long relaxation approaches"),
            "damping": SearchRange(
                1e-4,
                1.0,
                "that of the natural gradient; it is a conductance on the device, but the method's to choose",
            ),
        },
    ),
    "torch": FamilyInfo(
        second_order=False,
        modelled=False,
        ranges={
            "lr": SearchRange(
                1e-4, 1.0, "of any torch optimizer: from Adam's rates to a whole step of L-BFGS"
            )
        },
    ),
}
