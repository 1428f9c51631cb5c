"""The simulated analog device as a solver of (G + λI) x = g."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import Shifted
from tngd_bench.solvers.layer_operators import layer_operators
from tngd_bench.solvers.refinement import at_size, refined
from tngd_bench.solvers.system import LinearSystem, Solver, SolveResult
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.chip import instance_of
from tngd_bench.spu.dynamics.converters import quantize
from tngd_bench.spu.dynamics.network import NodeState
from tngd_bench.spu.dynamics.ou import METHODS, Method
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice


@dataclass(frozen=True)
class Relaxation:
    """What one run of the device gives: the digital `readout` of x(t), and the analog `state` it goes on from.

    `method` says how it was simulated (on each kind of layer), `scale` by how much the conductance range shrank A (time
    runs as 1/scale; the least of all devices), `products` how many curvature products a Krylov simulation took, 0 for
    the others, `margin` the least rate of a mode in 1/τ where the arrays as programmed can be unstable (least over an
    ensemble and over layers), None where they cannot. `residuals`: ‖g − A x‖/‖g‖ before and after each refinement,
    the largest of an ensemble or of layers; empty without refinements.
    """

    readout: Tensor
    state: Tensor
    method: str
    scale: float
    products: int = 0
    margin: float | None = None
    residuals: tuple[float, ...] = ()


@dataclass(frozen=True)
class Thermodynamic(AnalogSettings, Solver):
    """Relaxation of the device for `analog_time` t (units of τ) under dx = −(A x − g) dt + √(2κ₀) dW.

    `start` is x(0): the "gradient" (t = 0 is exactly SGD, t → ∞ exactly NGD), "zero", or the "previous" state with the
    gradient when there is none. After the readout the device keeps relaxing under the same pair (G, g) for
    `delay` t_d ≤ t, and under the next pair for t − t_d (arXiv 2405.13817 §3.4). The correlations of several readouts
    are exact. The mean over an ensemble is the state that a carried start writes, through the D/A converters, at the
    head of each of its next programmings. All imperfections of `device` act. With an amplifier bandwidth the outputs of
    the amplifiers carry over from sample to sample and through the delay; a new pair (G, g) finds them settled. Under
    `scope` "layer" each layer has such a device: with noise, scale, converters, capacitors and dead cells of its own.
    What is random is drawn from `generator`, None: torch's default one.

    Each of the `refinements` takes an exact product by A (under `scope` "layer" by the layer's own) and relaxes for t
    on the same arrays from zero, whatever `start` is: a correction has no previous value. On the ideal device it is as
    if t went on. The refined x is the state that a carried start writes, through the D/A converters.

    Raises
    ------
    UnstableDeviceError
        The arrays as programmed have a growing mode.
    RefinementError
        The last refinement made the residual larger.
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

    def preconditioner(self, ggn: GGN, damping: float) -> DevicePreconditioner:
        """Program the device with a batch, to answer residuals: one programming, for `scope` "model"."""
        if self.ensemble > 1 or self.scope != "model":
            raise ValueError(
                "ensemble must be 1 and scope 'model' for a preconditioner: one device, programmed once"
            )
        return DevicePreconditioner(self, self._programmed(self.device, ggn, None, damping))

    def relax(self, ggn: GGN, rhs: Tensor | None, damping: float, state: Tensor | None) -> Relaxation:
        """Run the device from `state` (None: nothing on it yet) and read x."""
        if self.scope == "model":
            return self._ensemble(self.device, ggn, rhs, damping, state)
        runs = []
        for number, layer in enumerate(layer_operators(ggn)):
            own = self.device.override(instance=instance_of(self.device.instance, number))
            right, before = (None if v is None else v[layer.place] for v in (rhs, state))
            runs.append(self._ensemble(own, layer, right, damping, before))
        readout, reached = (torch.cat([getattr(run, name) for run in runs]) for name in ("readout", "state"))
        methods = ", ".join(dict.fromkeys(run.method for run in runs))
        return Relaxation(readout, reached, methods, min(run.scale for run in runs), *_together(runs))

    def _ensemble(
        self, device: Device, operator: Any, rhs: Tensor | None, damping: float, state: Tensor | None
    ) -> Relaxation:
        """Run one device, as many times as it is programmed."""
        runs = []
        for k in range(self.ensemble):
            programmed = self._programmed(device, operator, rhs, damping, k)
            runs.append(self._run(programmed, state, Shifted(operator, damping), rhs))
        if len(runs) == 1:
            return runs[0]
        readout = torch.stack([run.readout for run in runs]).mean(0)
        return Relaxation(readout, readout, runs[0].method, runs[0].scale, *_together(runs))

    def _programmed(
        self, device: Device, operator: Any, rhs: Tensor | None, damping: float, k: int = 0
    ) -> ProgrammedDevice:
        return ProgrammedDevice(
            device,
            operator,
            rhs,
            damping,
            self.noise_variance,
            method=self.method,
            generator=self.generator,
            member=(k, self.ensemble),
        )

    def _run(
        self, device: ProgrammedDevice, state: Tensor | None, exact: Shifted[Any], rhs: Tensor | None
    ) -> Relaxation:
        """Run one programming: the first readout, and its refinements by `exact` A and the wanted `rhs`."""
        if state is None or self.start != "previous":
            x0, t = self._fresh(device), self.analog_time
        else:
            held = state if self.device.held == 1.0 else state * self.device.held
            x0 = quantize(state, self.device.dac_bits) if self.writes_state else held
            t = self.analog_time - self.delay
        readout, reached = self._read(device, x0, t)
        if self.refinements:
            readout, residuals = self._refined(device, readout, exact, rhs)
            reached = NodeState(readout)
        else:
            residuals = ()
        if self.delay > 0.0:
            # the pair (G, g) stays on the device until the next one is written
            reached = device.advance(reached, self.delay, self.generator)
        about = device.method, device.scale, device.products, device.margin
        return Relaxation(readout, reached.nodes, *about, residuals)

    def _refined(
        self, device: ProgrammedDevice, first: Tensor, exact: Shifted[Any], rhs: Tensor | None
    ) -> tuple[Tensor, tuple[float, ...]]:
        wanted = exact.operator.gradient if rhs is None else rhs

        answer = partial(self.answer, device)
        return refined(first, wanted, exact.matvec, answer, self.refinements, varies=device.varies)

    def answer(self, device: ProgrammedDevice, residual: Tensor) -> Tensor:
        """Write a residual (N,) onto a programmed device, relax from zero and read."""
        device.write(residual)
        return self._read(device, torch.zeros_like(residual), self.analog_time)[0]

    def _read(self, device: ProgrammedDevice, x0: Tensor, t: float) -> tuple[Tensor, NodeState]:
        """The mean of the readouts from t on after a start at x0, and the state at the last of them."""
        reached = device.advance(device.settled(x0), t, self.generator)
        readout = device.read(reached.nodes, self.generator)
        for _ in range(self.samples - 1):
            # the process is Markov: the next sample given the last state has exactly the joint law
            reached = device.advance(reached, self.spacing, self.generator)
            readout = readout + device.read(reached.nodes, self.generator)
        return (readout / self.samples if self.samples > 1 else readout), reached

    def _fresh(self, programmed: ProgrammedDevice) -> Tensor:
        return torch.zeros_like(programmed.rhs) if self.start == "zero" else programmed.rhs


@dataclass
class DevicePreconditioner:
    """A residual r to the readout of its relaxation from zero, about (G + λI)⁻¹ r after a long t.

    `applications` counts them. `is_linear`: it is a fixed symmetric matrix, as standard conjugate gradients need.
    """

    solver: Thermodynamic
    device: ProgrammedDevice
    applications: int = 0
    _size: float = 0.0

    def __call__(self, residual: Tensor) -> Tensor:
        """Answer a residual (N,), sent at the size of the first."""
        self.applications += 1
        norm = float(torch.linalg.vector_norm(residual))
        self._size = self._size or norm
        return at_size(partial(self.solver.answer, self.device), residual, norm, self._size)

    @property
    def is_linear(self) -> bool:
        """Whether the answers are a fixed symmetric matrix times the residuals."""
        return self.device.is_linear


def _together(runs: Sequence[Relaxation]) -> tuple[int, float | None, tuple[float, ...]]:
    """Return the products, the least margin and the largest residuals of several runs."""
    margins = [run.margin for run in runs if run.margin is not None]
    residuals = tuple(map(max, zip(*(run.residuals for run in runs), strict=True)))
    return sum(run.products for run in runs), min(margins, default=None), residuals
