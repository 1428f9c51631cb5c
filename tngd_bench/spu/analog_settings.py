"""Settings of an analog run: how long the device relaxes, from where, and how often it is read and programmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tngd_bench.spu.field_info import (
    NON_NEGATIVE,
    check_fields,
    choice,
    described,
    field_infos,
    imperfection,
    whole,
)


@dataclass(frozen=True)
class AnalogSettings:
    """How one iteration uses the device, and the noise there; times in units of τ."""

    analog_time: float = described("analog time", NON_NEGATIVE, default=50.0, symbol="t", unit="τ")
    """Relaxation before the readout."""
    delay: float = described("delay", NON_NEGATIVE, default=0.0, symbol="t_d", unit="τ")
    """The part of t that runs beside the host's work, under the same pair (G, g), before the next one is written."""
    start: str = described("start", choice("previous", "gradient", "zero"), default="previous", symbol="x(0)")
    """Previous state (at first the gradient), the gradient, or zero."""
    noise_variance: float = imperfection(
        "thermal noise κ₀",
        NON_NEGATIVE,
        milder="smaller",
        default=0.0,
        scale="variance, signal²",
        random="in time",
    )
    """Variance κ₀ of noise beyond that of the device's temperature; it costs nothing."""
    samples: int = described("readouts", whole(1), default=1)
    """Readouts averaged, the first at t."""
    spacing: float = described("spacing of readouts", NON_NEGATIVE, default=1.0, unit="τ")
    """Time between two readouts."""
    ensemble: int = described("programmings", whole(1), default=1, symbol="K")
    """Programmings with different rounding events whose readouts are averaged (arXiv 2401.16231)."""
    refinements: int = described("refinements", whole(0), default=0, symbol="k")
    """Rounds x ← x + Â⁻¹(g − A x) after the first readout: a digital product by A each, and a run from zero on the same
    arrays. A carried start is then written."""
    scope: str = described("scope", choice("model", "layer"), default="model")
    """One device for the model, or one for each layer, written one after another, relaxing at once: G then has no
    blocks between layers."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.delay > self.analog_time:
            raise ValueError(f"delay must be <= analog_time = {self.analog_time:g}, not {self.delay:g}")
        if self.delay > 0.0 and self.start != "previous":
            raise ValueError(f"delay > 0 needs start = 'previous', not {self.start!r}")
        if self.delay > 0.0 and self.ensemble > 1:
            raise ValueError(
                f"delay must be 0 with ensemble = {self.ensemble}: each programming replaces the last"
            )
        if self.delay > 0.0 and self.refinements:
            raise ValueError(
                f"delay must be 0 with refinements = {self.refinements}: each round replaces what the nodes hold"
            )

    @property
    def writes_state(self) -> bool:
        """Whether a carried start has to be written: the nodes hold one programming's share of x, or a correction."""
        return self.start == "previous" and (self.ensemble > 1 or self.refinements > 0)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> AnalogSettings:
        """The analog settings among others; defaults where they are not given."""
        return cls(**{name: settings[name] for name in ANALOG_FIELDS if name in settings})


ANALOG_FIELDS = field_infos(AnalogSettings)
"""Description of each analog setting, by name."""
BILLED_FIELDS = {name: info for name, info in ANALOG_FIELDS.items() if not info.imperfection}
"""The analog settings that the cost of an iteration depends on."""
