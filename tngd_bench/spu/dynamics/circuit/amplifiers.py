"""The amplifiers behind an array: gain error, lag and noise of each, from the conductances that meet at its input.

NG = 1 + ΣG/G_f with G_f = 1/R. The noise of an output is white, of the two-sided density NG² e_n²/2 and, of the cells
and the feedback at the temperature T, 2kTR·NG, in V²/Hz.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench.spu.description import BOLTZMANN, DeviceDescription


@dataclass(frozen=True)
class Stage:
    """The outputs of one array: `noise_gain` NG of each, and what share of its value in A an output shows, `unit`."""

    noise_gain: Tensor
    unit: float

    @classmethod
    def behind(cls, array: Tensor, conductance: float, unit: float, device: DeviceDescription) -> "Stage":
        """Those of the rows of an array, a one of which is `conductance`/R; both cells of every pair are counted."""
        offset = 2.0 * array.shape[1] * (device.conductance_min_siemens or 0.0) * device.resistance_ohm
        held: Tensor = torch.linalg.vector_norm(array, 1, dim=1)
        return cls(1.0 + conductance * held + offset, unit)

    def weakened(self, device: DeviceDescription) -> Tensor | None:
        """1/(1 + NG/A₀); None for an unlimited gain."""
        return (
            None if device.amplifier_gain is None else 1.0 / (1.0 + self.noise_gain / device.amplifier_gain)
        )

    def lag(self, device: DeviceDescription, scale: float) -> Tensor | None:
        """Time constants in units of τ/s; None without a bandwidth."""
        if device.amplifier_bandwidth_hz is None:
            return None
        seconds = self.noise_gain / (2.0 * math.pi * device.amplifier_bandwidth_hz)
        if device.amplifier_gain is not None:
            seconds = seconds / (1.0 + self.noise_gain / device.amplifier_gain)
        return seconds * (scale / device.time_constant_s)

    def noise(self, device: DeviceDescription, scale: float, thermal: bool = False) -> Tensor | None:
        """Intensity q of the outputs' noise, ⟨n(t) n(t′)⟩ = q δ(t − t′) in signal² and units of τ/s; None without."""
        density = 0.0 * self.noise_gain
        if device.amplifier_noise_v_per_rthz:
            density = density + 0.5 * (device.amplifier_noise_v_per_rthz * self.noise_gain) ** 2
        if thermal:
            assert device.temperature_kelvin is not None  # needed with first_stage_noise
            density = (
                density
                + 2.0 * BOLTZMANN * device.temperature_kelvin * device.resistance_ohm * self.noise_gain
            )
        if not bool(density.any()):
            return None
        return density * (scale / device.time_constant_s / (self.unit * device.volts_per_unit) ** 2)
