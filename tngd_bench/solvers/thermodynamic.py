"""The simulated analog device as a solver of (G + λI) x = g."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature import GGN
from tngd_bench.solvers.result import SolveResult, checked
from tngd_bench.spu.converters import quantize
from tngd_bench.spu.device import Device
from tngd_bench.spu.ou import METHODS, Method, OUProcess

STARTS = ("previous", "gradient", "zero")


@dataclass(frozen=True)
class Relaxation:
    """What one run of the device gives: the digital `readout` of x(t), and the analog `state` it goes on from."""

    readout: Tensor
    state: Tensor


@dataclass(frozen=True)
class Thermodynamic:
    """Relaxation of the device for `analog_time` t (units of τ) under dx = −(A x − g) dt + √(2κ₀) dW.

    `start` is x(0): the "gradient" (t = 0 is exactly SGD, t → ∞ exactly NGD), "zero", or the "previous" state with the
    gradient when there is none. After the readout the device keeps relaxing under the same pair (G, g) for
    `delay` t_d ≤ t, and under the next pair for t − t_d (arXiv 2405.13817 §3.4). g passes the DAC and x the ADC of
    `device`. A `generator` is needed where κ₀ = `noise_variance` > 0.
    """

    analog_time: float = 50.0
    delay: float = 0.0
    start: str = "gradient"
    noise_variance: float = 0.0
    device: Device = field(default_factory=Device.ideal)
    method: Method = "auto"
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        arguments.real("analog_time", self.analog_time, minimum=0.0)
        arguments.real("delay", self.delay, minimum=0.0)
        arguments.choice("start", self.start, STARTS)
        arguments.real("noise_variance", self.noise_variance, minimum=0.0)
        arguments.choice("method", self.method, METHODS)
        if self.delay > self.analog_time:
            raise ValueError(f"delay must be <= analog_time = {self.analog_time:g}, not {self.delay:g}")
        if self.delay > 0.0 and self.start != "previous":
            raise ValueError(f"delay > 0 needs start='previous': start={self.start!r} resets the device")
        if self.noise_variance > 0.0 and self.generator is None:
            raise ValueError("generator must be given with noise_variance > 0: noise comes from a named seed")

    def solve(self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01) -> SolveResult:
        """One readout from a device that has no previous state."""
        damping = checked(ggn, rhs, damping)
        return SolveResult(self.relax(ggn, rhs, damping, None).readout, ggn, rhs, damping)

    def relax(self, ggn: GGN, rhs: Tensor | None, damping: float, state: Tensor | None) -> Relaxation:
        """Run the device from `state` (None: nothing on it yet) and read x."""
        dac = self.device.dac_bits
        if dac is not None:
            rhs = quantize(ggn.gradient if rhs is None else rhs, dac)
        process = OUProcess(ggn, rhs, damping, self.noise_variance, method=self.method)
        carried = state is not None and self.start == "previous"
        x0 = state if carried and state is not None else self._fresh(process)
        reached = process.sample(
            x0, self.analog_time - self.delay if carried else self.analog_time, self.generator
        )
        readout = quantize(reached, self.device.adc_bits)
        if self.delay > 0.0:
            # the pair (G, g) stays on the device until the next one is written
            reached = process.sample(reached, self.delay, self.generator)
        return Relaxation(readout, reached)

    def _fresh(self, process: OUProcess) -> Tensor:
        return torch.zeros_like(process.rhs) if self.start == "zero" else process.rhs
