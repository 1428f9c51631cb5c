"""Thermodynamic natural gradient descent: x read from the simulated analog device."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature import GGN
from tngd_bench.curvature.losses import Loss, evaluate
from tngd_bench.curvature.model_call import Inputs, run_model
from tngd_bench.layers import Layer
from tngd_bench.optimizers.forward_state import ForwardState
from tngd_bench.optimizers.natural import NaturalOptimizer, restore_generator
from tngd_bench.optimizers.settings import check_settings
from tngd_bench.optimizers.tngd.entry import ANALOG, described_device, without_device
from tngd_bench.optimizers.tngd.step_errors import ending_step
from tngd_bench.solvers.layer_operators import layer_places
from tngd_bench.solvers.thermodynamic import Thermodynamic
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import Workload, latency
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.ou import Method
from tngd_bench.spu.layer_shapes import recorded_layers
from tngd_bench.spu.ledger import Ledger

DAMPING_BASE = 0.95
"""λ is raised by 0.95^−T or lowered by 0.95^T each T steps (Martens and Grosse 2015 §6.5, ω₁ = (19/20)^T₁)."""
SMALLEST_DAMPING, LARGEST_DAMPING = 1e-8, 1e8


class TNGD(NaturalOptimizer):
    """Natural gradient from a device that relaxes under dx = −((G + λI) x − g) dt + √(2κ₀) dW.

    Parameters
    ----------
    analog_time, delay, start, noise_variance, samples, spacing, ensemble, refinements, scope : float, str or int
        As in `AnalogSettings`.
    device : str or Device
        Preset name or description; its imperfections act on x, its link, converters and τ make `ledger`.
    rule : str
        "sgd" (with `momentum`) or "adam" (with `betas`, `eps`; the paper's TNGD-Adam has betas (0, 0)).
    method : str
        Simulation of the device, as in `OUProcess`.
    damping_rule : str
        "constant", or "levenberg-marquardt": every `damping_interval` steps the batch's loss is taken once more, and λ
        raised where Δℓ/Δq < 1/4, lowered where it is > 3/4 (q the damped quadratic model; app. A).
    generator : Generator, optional
        Source of the device's noise and programming error, kept in `state_dict`; None: torch's default one, whose
        state is the caller's to keep, as for dropout.

    Notes
    -----
    After a step `natural_gradient` holds the readout x, `ledger` the device's modelled seconds for it, `method` how it
    was simulated, `iterations` the curvature products of a Krylov simulation, `reduction_ratio` the last Δℓ/Δq,
    `stability_margin` the least rate of a mode in 1/τ (None where the device cannot be unstable), `residuals`
    ‖g − A x‖/‖g‖ before and after each refinement. A step raises `UnstableStepError` where the arrays as programmed are
    unstable and `DivergingStepError` where refinements do not converge, both a `DivergedError`, with the parameters
    untouched. Source: arXiv 2405.13817, Algorithm 1, §3.4.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        lr: float = 0.01,
        damping: float = 0.01,
        analog_time: float = AnalogSettings.analog_time,
        delay: float = AnalogSettings.delay,
        start: str = AnalogSettings.start,
        noise_variance: float = AnalogSettings.noise_variance,
        device: str | Device = "paper",
        rule: str = "sgd",
        *,
        momentum: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        method: Method = "auto",
        samples: int = AnalogSettings.samples,
        spacing: float = AnalogSettings.spacing,
        ensemble: int = AnalogSettings.ensemble,
        refinements: int = AnalogSettings.refinements,
        scope: str = AnalogSettings.scope,
        damping_rule: str = "constant",
        damping_interval: int = 5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            model, loss, lr=lr, damping=damping, rule=rule, momentum=momentum, betas=betas, eps=eps
        )
        check_settings(ANALOG, damping_rule=damping_rule, damping_interval=damping_interval)
        self._adapts = damping_rule != "constant"
        self._damping_interval = damping_interval
        if self._adapts and damping == 0.0:
            raise ValueError("damping must be > 0 with damping_rule='levenberg-marquardt': it is scaled")
        self.solver = Thermodynamic(
            analog_time=analog_time,
            delay=delay,
            start=start,
            noise_variance=noise_variance,
            device=Device.of(device),
            method=method,
            generator=generator,
            samples=samples,
            spacing=spacing,
            ensemble=ensemble,
            refinements=refinements,
            scope=scope,
        )
        self._analog_state: Tensor | None = None
        self._rows = 0
        self._batch_size = 0
        self._scale = 1.0
        self._layers: tuple[Layer, ...] | None = None
        self._curvature_of_step: GGN | None = None
        self.method: str | None = None
        self.reduction_ratio: float | None = None
        self.stability_margin: float | None = None
        self.residuals: tuple[float, ...] = ()

    @property
    def device(self) -> Device:
        """The device's description."""
        return self.solver.device

    @property
    def host_products(self) -> int:
        """Curvature products that the host makes in an iteration."""
        return self.solver.ensemble * self.solver.refinements

    @property
    def ledger(self) -> Ledger | None:
        """Modelled seconds of the last iteration on the device; None before the first."""
        if not self._rows:
            return None
        return self._bill(self._rows, self._batch_size, self._layers, self._scale)

    def bill(self, rows: int, batch_size: int, layers: tuple[Layer, ...] | None = None) -> Ledger:
        """Modelled seconds of an iteration on m `rows`, without making one.

        `layers` as recorded in a forward pass are needed with a factored upload. Raises ValueError where the bill
        depends on what a simulation finds (`Device.bill_needs_simulation`).
        """
        if self.device.bill_needs_simulation:
            raise ValueError(
                "the bill of a device with conductance_max_siemens depends on the scale that its arrays take: "
                "make a step and read `ledger`"
            )
        return self._bill(rows, batch_size, layers, 1.0)

    def _bill(self, rows: int, batch_size: int, layers: tuple[Layer, ...] | None, scale: float) -> Ledger:
        modules = tuple(place.stop - place.start for place in layer_places(self.parameters).values())
        work = Workload(self.parameters.count, rows, self.solver, scale, layers, batch_size, modules)
        return latency(self.device, work)

    def step(  # type: ignore[override]  # torch's takes a closure; a second-order step needs the batch itself
        self, inputs: Inputs, targets: Tensor
    ) -> float:
        """One iteration on one batch; returns the loss before it.

        Raises DivergedError, with the parameters untouched, when the loss or the direction is not finite, and
        UnstableStepError or DivergingStepError when the device's answer is none.
        """
        if not (self._adapts and (self.iteration + 1) % self._damping_interval == 0):
            return super().step(inputs, targets)
        before = [p.detach().clone() for p in self.parameters.tensors]
        state = ForwardState.capture(self.parameters.device, self.model)
        value = super().step(inputs, targets)
        after = [p.detach().clone() for p in self.parameters.tensors]
        change = self.parameters.flatten(after) - self.parameters.flatten(before)
        with state.replay(self.model):
            gained = self._loss_at(inputs, targets) - value
        ggn, self._curvature_of_step = self._curvature_of_step, None
        if ggn is None:
            # products would need the graph of the parameters that the step has overwritten
            self._put(before)
            with state.replay(self.model):
                ggn = GGN(self.model, self.loss, inputs, targets, verify=self.verification)
                self._adapt_damping(ggn, change, gained)
            self._put(after)
        else:
            self._adapt_damping(ggn, change, gained)
        return value

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for p, value in zip(self.parameters.tensors, values, strict=True):
            p.copy_(value)

    def _direction(self, inputs: Inputs, targets: Tensor) -> tuple[float, Tensor]:
        factored = self.device.upload == "factored" and self._layers is None
        with recorded_layers(self.model) if factored else nullcontext() as layers:
            value, ggn = self._curvature(inputs, targets)
        with ending_step(self.iteration):
            relaxation = self.solver.relax(ggn, None, self.settings["damping"], self._analog_state)
        self._check_finite("the device's readout", relaxation.readout)
        if relaxation.state is not relaxation.readout:
            self._check_finite("the device's state", relaxation.state)
        if self._adapts and (self.iteration + 1) % self._damping_interval == 0 and not ggn.matrix_free:
            # before the update, while the graph is that of these parameters
            _ = ggn.gradient_weights, ggn.blocks
            self._curvature_of_step = ggn
        self._analog_state = relaxation.state
        self._rows, self._batch_size = ggn.rows, ggn.batch_size
        self._scale, self.method = relaxation.scale, relaxation.method
        self.stability_margin, self.residuals = relaxation.margin, relaxation.residuals
        self.iterations = relaxation.products or None
        if layers is not None:
            self._layers = tuple(layers)
        return value, relaxation.readout

    def _loss_at(self, inputs: Inputs, targets: Tensor) -> float:
        """The batch's loss at the parameters as they are now."""
        with torch.no_grad():
            return float(evaluate(self.loss, run_model(self.model, inputs), targets))

    def _adapt_damping(self, ggn: GGN, change: Tensor, gained: float) -> None:
        """λ by the ratio of the loss's change to that of q(δ) = gᵀδ + ½ δᵀ(G + λI)δ, both along the step δ taken."""
        weights, outside = ggn.gradient_weights
        rows = ggn.factor_matvec(change)
        damping = self.settings["damping"]
        slope = float(weights @ rows) + (0.0 if outside is None else float(outside @ change))
        predicted = slope + 0.5 * (float(rows @ rows) + damping * float(change @ change))
        # a model that promises no descent is not to be trusted with less damping
        ratio = gained / predicted if predicted < 0.0 and math.isfinite(gained) else -math.inf
        factor = DAMPING_BASE**self._damping_interval
        if ratio < 0.25:
            damping = min(damping / factor, LARGEST_DAMPING)
        elif ratio > 0.75:
            damping = max(damping * factor, SMALLEST_DAMPING)
        self.settings["damping"] = damping
        self.reduction_ratio = ratio

    def _carried(self) -> dict[str, Any]:
        generator = self.solver.generator
        return {
            **super()._carried(),
            "analog_state": None if self._analog_state is None else self._analog_state.clone(),
            "generator": None if generator is None else generator.get_state(),
            "rows": self._rows,
            "batch_size": self._batch_size,
            "scale": self._scale,
            "layers": None if self._layers is None else [list(layer) for layer in self._layers],
        }

    def _restore(self, carried: Mapping[str, Any]) -> None:
        super()._restore(carried)
        self._analog_state = self.parameters.adopted(carried["analog_state"])
        self._rows, self._batch_size = carried["rows"], carried["batch_size"]
        layers = carried["layers"]
        self._scale = carried["scale"]
        self._layers = None if layers is None else tuple(Layer(*layer) for layer in layers)
        restore_generator(self.solver.generator, carried["generator"])


def make_tngd(
    model: nn.Module,
    loss: nn.Module,
    *,
    generator: torch.Generator | None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    **settings: Any,
) -> TNGD:
    """Make TNGD from a study's settings, fields of its device among them."""
    return TNGD(
        model,
        loss,
        device=described_device(settings),
        betas=(beta1, beta2),
        generator=generator,
        **without_device(settings),
    )
