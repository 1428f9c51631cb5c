"""Natural gradient by conjugate gradients whose preconditioner is the simulated analog device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench import arguments
from tngd_bench.curvature.losses import Loss
from tngd_bench.curvature.model_call import Inputs
from tngd_bench.layers import Layer
from tngd_bench.optimizers.natural import restore_generator
from tngd_bench.optimizers.ngd.optimizer import NGD
from tngd_bench.optimizers.tngd.entry import described_device, without_device
from tngd_bench.optimizers.tngd.step_errors import ending_step
from tngd_bench.solvers.conjugate_gradient import CG
from tngd_bench.solvers.thermodynamic import Thermodynamic
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import Workload, latency
from tngd_bench.spu.device import Device
from tngd_bench.spu.layer_shapes import recorded_layers
from tngd_bench.spu.ledger import Ledger


class DeviceCG(NGD):
    """NGD by conjugate gradients to `cg_rtol`, each residual answered by a device programmed with the batch.

    Standard conjugate gradients where those answers are a fixed symmetric matrix (`ProgrammedDevice.is_linear`),
    flexible ones where they are noisy, converted, or of arrays that err apart.

    Parameters
    ----------
    analog_time, noise_variance, samples : of each relaxation, which starts at zero, as in `AnalogSettings`.
    device : preset name or `Device`; its imperfections act on each answer, its link, converters and τ make `ledger`.
    cg_iterations, cg_rtol : limit and tolerance, as in `CG`.
    generator : source of the device's noise and programming error, kept in `state_dict`; None: torch's default one.
    ngd : further parameters as in `NGD`, all but `solver`.

    After a step `iterations` are the curvature products of its host, `applications` the residuals that the device
    answered, `residual` the last ‖g − A x‖/‖g‖, and `ledger` the device's modelled seconds: the arrays once, and a
    right-hand side, a relaxation and a readout for each application. A step raises UnstableStepError, a DivergedError,
    with the parameters untouched, where the arrays as programmed are unstable, and UnansweredStepError where the device
    answers with zero.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        lr: float = 0.01,
        damping: float = 0.01,
        *,
        analog_time: float = AnalogSettings.analog_time,
        noise_variance: float = AnalogSettings.noise_variance,
        samples: int = AnalogSettings.samples,
        device: str | Device = "paper",
        cg_iterations: int = CG.max_iterations,
        cg_rtol: float = CG.rtol,
        generator: torch.Generator | None = None,
        **ngd: Any,
    ) -> None:
        arguments.real("analog_time", analog_time, above=0.0)
        self._plain = CG(cg_iterations, cg_rtol, space="parameters")
        super().__init__(model, loss, lr, damping, self._plain, **ngd)
        self.analog = Thermodynamic(
            analog_time,
            start="zero",
            noise_variance=noise_variance,
            samples=samples,
            device=Device.of(device),
            generator=generator,
        )
        self.applications = 0
        self.residual: float | None = None
        self._work: Workload | None = None
        self._layers: tuple[Layer, ...] | None = None

    @property
    def device(self) -> Device:
        """The device's description."""
        return self.analog.device

    @property
    def host_products(self) -> int | None:
        """Curvature products that the host made in the last iteration; None before the first."""
        return self.iterations

    @property
    def ledger(self) -> Ledger | None:
        """Modelled seconds of the last iteration on the device; None before the first."""
        return None if self._work is None else latency(self.device, self._work)

    def _direction(self, inputs: Inputs, targets: Tensor) -> tuple[float, Tensor]:
        factored = self.device.upload == "factored" and self._layers is None
        with recorded_layers(self.model) if factored else nullcontext() as layers:
            value, ggn = self._curvature(inputs, targets)
        damping = self.settings["damping"]
        with ending_step(self.iteration):
            answers = self.analog.preconditioner(ggn, damping)
            solver = replace(self._plain, preconditioner=answers, flexible=not answers.is_linear)
            result = solver.solve(ggn, damping=damping, prior=self._kept, memory=self.memory)
        self.iterations, self.applications = result.iterations, answers.applications
        self.residual = result.history[-1] if result.history else 0.0
        if layers is not None:
            self._layers = tuple(layers)
        self._work = Workload(
            self.parameters.count,
            ggn.rows,
            self.analog,
            answers.device.scale,
            self._layers,
            ggn.batch_size,
            applications=self.applications,
        )
        return value, result.solution

    def _carried(self) -> dict[str, Any]:
        generator = self.analog.generator
        return {**super()._carried(), "generator": None if generator is None else generator.get_state()}

    def _restore(self, carried: Mapping[str, Any]) -> None:
        super()._restore(carried)
        restore_generator(self.analog.generator, carried["generator"])


def make_device_cg(
    model: nn.Module, loss: nn.Module, *, generator: torch.Generator | None, **settings: Any
) -> DeviceCG:
    """Make DeviceCG from a study's settings, fields of its device among them."""
    return DeviceCG(
        model, loss, device=described_device(settings), generator=generator, **without_device(settings)
    )
