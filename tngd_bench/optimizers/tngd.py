"""Thermodynamic natural gradient descent: x read from the simulated analog device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench import arguments
from tngd_bench.curvature import TrainableParameters
from tngd_bench.optimizers.natural import NaturalOptimizer, update_rule
from tngd_bench.solvers.thermodynamic import Thermodynamic
from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.ou import Method


class TNGD(NaturalOptimizer):
    """Natural gradient from a device that relaxes under dx = −((G + λI) x − g) dt + √(2κ₀) dW.

    Parameters
    ----------
    analog_time, delay : t and t_d in units of τ, t_d ≤ t.
    start : x(0): "previous" state (first iteration: the gradient), "gradient" or "zero".
    noise_variance : κ₀, signal².
    device : preset name or `Device`; its converters act on g and x, its link and τ make `ledger`.
    rule : "sgd" (with `momentum`) or "adam" (with `betas`, `eps`; the paper's TNGD-Adam has betas (0, 0)).
    generator : source of the device's noise; needed where κ₀ > 0.

    After a step `natural_gradient` holds the readout x and `ledger` the device's modelled seconds for it.
    Source: arXiv 2405.13817, Algorithm 1 and §3.4 (delay).
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        lr: float = 0.01,
        damping: float = 0.01,
        analog_time: float = 50.0,
        delay: float = 0.0,
        start: str = "previous",
        noise_variance: float = 0.0,
        device: str | Device = "paper",
        rule: str = "sgd",
        *,
        momentum: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        method: Method = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        arguments.real("damping", damping, minimum=0.0)
        self.solver = Thermodynamic(
            analog_time=analog_time,
            delay=delay,
            start=start,
            noise_variance=noise_variance,
            device=Device.preset(device) if isinstance(device, str) else device,
            method=method,
            generator=generator,
        )
        inner = update_rule(TrainableParameters(model), rule, lr=lr, momentum=momentum, betas=betas, eps=eps)
        super().__init__(model, loss, inner, damping=damping)
        self._analog_state: Tensor | None = None
        self._rows = 0

    @property
    def device(self) -> Device:
        """The device's description."""
        return self.solver.device

    @property
    def ledger(self) -> Ledger | None:
        """Modelled seconds of the last iteration on the device; None before the first."""
        if not self._rows:
            return None
        return self.device.latency(self.parameters.count, self._rows, self.solver.analog_time)

    def _direction(self, inputs: Tensor | Mapping[str, Any], targets: Tensor) -> tuple[float, Tensor]:
        value, ggn = self._curvature(inputs, targets)
        relaxation = self.solver.relax(ggn, None, self.settings["damping"], self._analog_state)
        self._check_finite("the device's readout", relaxation.readout)
        self._check_finite("the device's state", relaxation.state)
        self._analog_state = relaxation.state
        self._rows = ggn.rows
        return value, relaxation.readout

    def _carried(self) -> dict[str, Any]:
        generator = self.solver.generator
        return {
            **super()._carried(),
            "analog_state": None if self._analog_state is None else self._analog_state.clone(),
            "generator": None if generator is None else generator.get_state(),
            "rows": self._rows,
        }

    def _restore(self, carried: Mapping[str, Any]) -> None:
        super()._restore(carried)
        state = carried["analog_state"]
        self._analog_state = None if state is None else state.clone()
        self._rows = carried["rows"]
        if carried["generator"] is not None:
            if self.solver.generator is None:
                raise ValueError("generator must be given to resume a run that had one")
            self.solver.generator.set_state(carried["generator"])


def make_tngd(
    model: nn.Module,
    loss: nn.Module,
    *,
    generator: torch.Generator | None,
    device: str,
    dac_bits: int | None,
    adc_bits: int | None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    **settings: Any,
) -> TNGD:
    """Make TNGD from a study's settings; converter bits, where given, override the preset's."""
    described = Device.preset(device)
    return TNGD(
        model,
        loss,
        device=dataclasses.replace(
            described,
            dac_bits=described.dac_bits if dac_bits is None else dac_bits,
            adc_bits=described.adc_bits if adc_bits is None else adc_bits,
        ),
        betas=(beta1, beta2),
        generator=generator,
        **settings,
    )
