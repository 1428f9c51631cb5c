"""The simulated analog device as a solver of (G + λI) x = g."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature import GGN
from tngd_bench.solvers.system import LinearSystem, Solver, SolveResult
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.converters import quantize
from tngd_bench.spu.dynamics.ou import METHODS, Method
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice


@dataclass(frozen=True)
class Relaxation:
    """What one run of the device gives: the digital `readout` of x(t), and the analog `state` it goes on from.

    `method` says how it was simulated, `scale` by how much the conductance range shrank A (time runs as 1/scale),
    `products` how many curvature products a Krylov simulation took, 0 for the others, `margin` the least rate of a mode
    in 1/τ where the arrays as programmed can be unstable (least over an ensemble), None where they cannot.
    """

    readout: Tensor
    state: Tensor
    method: str
    scale: float
    products: int = 0
    margin: float | None = None


@dataclass(frozen=True)
class Thermodynamic(AnalogSettings, Solver):
    """Relaxation of the device for `analog_time` t (units of τ) under dx = −(A x − g) dt + √(2κ₀) dW.

    `start` is x(0): the "gradient" (t = 0 is exactly SGD, t → ∞ exactly NGD), "zero", or the "previous" state with the
    gradient when there is none. After the readout the device keeps relaxing under the same pair (G, g) for
    `delay` t_d ≤ t, and under the next pair for t − t_d (arXiv 2405.13817 §3.4). The correlations of several readouts
    are exact. The mean over an ensemble is the state that a carried start writes, through the D/A converters, at the
    head of each of its next programmings. All imperfections of `device` act. What is random is drawn from `generator`,
    None: torch's default one. With an amplifier bandwidth the outputs of the amplifiers carry over from sample to
    sample and through the delay; a new pair (G, g) finds them settled.

    Raises UnstableDeviceError where the arrays as programmed have a growing mode.
    """

    device: Device = field(default_factory=Device.ideal)
    method: Method = "auto"
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments.choice("method", self.method, METHODS)

    def _solve(self, system: LinearSystem) -> SolveResult:
        """One readout from a device that has no previous state; it has no place for a prior."""
        if system.prior is not None:
            raise ValueError(
                "prior must be None on the device, whose memory is the state that it starts from"
            )
        return system.solved(self.relax(system.ggn, system.rhs.given, system.damping, None).readout)

    def relax(self, ggn: GGN, rhs: Tensor | None, damping: float, state: Tensor | None) -> Relaxation:
        """Run the device from `state` (None: nothing on it yet) and read x."""
        runs = []
        for k in range(self.ensemble):
            programmed = ProgrammedDevice(
                self.device,
                ggn,
                rhs,
                damping,
                self.noise_variance,
                method=self.method,
                generator=self.generator,
                member=(k, self.ensemble),
            )
            runs.append(self._run(programmed, state))
        if len(runs) == 1:
            return runs[0]
        readout = torch.stack([run.readout for run in runs]).mean(0)
        products = sum(run.products for run in runs)
        margin = min((run.margin for run in runs if run.margin is not None), default=None)
        return Relaxation(readout, readout, runs[0].method, runs[0].scale, products, margin)

    def _run(self, device: ProgrammedDevice, state: Tensor | None) -> Relaxation:
        if state is None or self.start != "previous":
            x0, t = self._fresh(device), self.analog_time
        else:
            x0 = state if self.ensemble == 1 else quantize(state, self.device.dac_bits)
            t = self.analog_time - self.delay
        reached = device.advance(device.settled(x0), t, self.generator)
        readout = device.read(reached.nodes, self.generator)
        for _ in range(self.samples - 1):
            # the process is Markov: the next sample given the last state has exactly the joint law
            reached = device.advance(reached, self.spacing, self.generator)
            readout = readout + device.read(reached.nodes, self.generator)
        if self.samples > 1:
            readout = readout / self.samples
        if self.delay > 0.0:
            # the pair (G, g) stays on the device until the next one is written
            reached = device.advance(reached, self.delay, self.generator)
        return Relaxation(readout, reached.nodes, device.method, device.scale, device.products, device.margin)

    def _fresh(self, programmed: ProgrammedDevice) -> Tensor:
        return torch.zeros_like(programmed.rhs) if self.start == "zero" else programmed.rhs
