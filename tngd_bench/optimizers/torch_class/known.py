"""Titles, styles and search ranges of single optimizer classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tngd_bench.optimizers.entry import SearchRange, Style
from tngd_bench.optimizers.first_order.entry import ADAM_LR, BETA1


@dataclass(frozen=True)
class Known:
    """A class's `title` (its name and module where empty), style and search ranges by setting."""

    title: str = ""
    style: Style | None = None
    ranges: Mapping[str, SearchRange] = field(default_factory=dict)


_MOMENTUM = SearchRange(0.0, 0.99, "from none to an average over a hundred steps", "log-complement")
_DECAY = SearchRange(
    1e-4, 1.0, "decoupled, so times lr: from nothing that is felt to the most in use, that of Muon's authors"
)
_MATRIX_EPS = SearchRange(1e-8, 1e-2, "two decades below the default, four above")

KNOWN: Mapping[str, Known] = {
    "torch.optim:AdamW": Known(
        "AdamW", Style("#7b1fa2", "#d59bf0", "8"), {"lr": ADAM_LR, "beta1": BETA1, "weight_decay": _DECAY}
    ),
    "torch.optim:Muon": Known(
        "Muon",
        Style("#5e7400", "#b7d13a", "h"),
        {
            "lr": SearchRange(
                1e-3, 0.3, "around 0.02, that of its authors, with the default at the lower end"
            ),
            "momentum": _MOMENTUM,
            "weight_decay": _DECAY,
            "rest_lr": ADAM_LR,
        },
    ),
    "torch.optim:LBFGS": Known(
        "L-BFGS",
        Style("#5d4037", "#c9ab9f", "d"),
        {"lr": SearchRange(0.03, 1.0, "1 is the whole quasi-Newton step, and the default")},
    ),
    "pytorch_optimizer:SOAP": Known(
        style=Style("#004d4d", "#4fd1c5", "<"),
        ranges={"lr": ADAM_LR, "beta1": BETA1, "weight_decay": _DECAY},
    ),
    "pytorch_optimizer:Shampoo": Known(
        style=Style("#8e244d", "#e58aa8", "1"),
        ranges={
            "lr": SearchRange(1e-3, 1.0, "its steps shrink as statistics add up: larger rates than Adam's"),
            "momentum": _MOMENTUM,
            "matrix_eps": _MATRIX_EPS,
        },
    ),
    "pytorch_optimizer:ScalableShampoo": Known(
        style=Style("#8a1c1c", "#ff9e9e", "|"),
        ranges={
            "lr": SearchRange(1e-3, 1.0, "a layer's step has the length that SGD's would have"),
            "beta1": BETA1,
            "matrix_eps": _MATRIX_EPS,
        },
    ),
}
"""By MODULE:CLASS. A study asks for other ranges under [tuning.spaces."MODULE:CLASS".SETTING]."""
