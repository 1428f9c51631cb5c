"""A device with one pair (G, g) loaded: its imperfections together, and the exact route to its law if there is one.

Routes, as `method` tells them: "gram", "dense", "krylov", "euler-maruyama" (`OUProcess`; errors of one shared array
included) · "arrays" (`LinearNetwork`: separate arrays, amplifiers, noise by node) · "dense (mismatch)" and "krylov
(mismatch)" (`MismatchedNodes`, symmetric drift) · "stepped (rails)" and "stepped (mismatch)" (mismatch with a drift
that is not symmetric), where only stepping is general enough; the state then carries the error that `Stepper` states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics import arrays as programming
from tngd_bench.spu.dynamics import stability
from tngd_bench.spu.dynamics.converters import quantize
from tngd_bench.spu.dynamics.factor_operator import ExplicitFactor
from tngd_bench.spu.dynamics.mismatch import MismatchedNodes, node_rates
from tngd_bench.spu.dynamics.network import LinearNetwork, NodeState
from tngd_bench.spu.dynamics.ou import Method, OUProcess
from tngd_bench.spu.dynamics.stepper import Stepper

Advance = Callable[[NodeState, float, torch.Generator | None], NodeState]
"""One draw of the state after a time."""


class ProgrammedDevice:
    """The device of `device` after writing (G, g): dx = −s C⁻¹(Â x − ĝ) dt + C⁻¹ √(2κᵢ) dW.

    Parameters
    ----------
    operator : `GGN` (or any object with its products, and `factor()` where single cells matter).
    rhs : g, (N,); None: the operator's `gradient`. It passes the DAC.
    noise_variance : κ₀ of the device, signal²; thermal noise of `device` comes on top.
    generator : programming error now, noise at each `sample`; None: torch's default one.
    member : (k, K), this one's place in an ensemble of K programmings.

    The state at a moment, `NodeState`, is that of the nodes and, with an amplifier bandwidth, of lagging amplifiers.
    `settled` begins one, as after writing the arrays, which takes far longer than the lag while the nodes are held;
    `advance` carries it on. `sample` is both.

    Time runs in units of τ/s, in which the drift is A: with a conductance range (s < 1) a device needs t τ/s for t,
    and noise weighs 1/s as much. Raises UnstableDeviceError, and ValueError for arrays too large to form.
    """

    def __init__(
        self,
        device: Device,
        operator: Any,
        rhs: Tensor | None,
        damping: float,
        noise_variance: float = 0.0,
        *,
        method: Method = "auto",
        generator: torch.Generator | None = None,
        member: tuple[int, int] = (0, 1),
    ) -> None:
        self.device = device
        self._damping = arguments.real("damping", damping, minimum=0.0)
        arguments.real("noise_variance", noise_variance, minimum=0.0)
        self._given_rhs = rhs
        if device.dac_bits is not None:
            self._given_rhs = quantize(operator.gradient if rhs is None else rhs, device.dac_bits)
        self._operator = operator
        held = self._programmed(generator, member) if device.needs_arrays else None
        self.scale = 1.0 if held is None else held.scale
        uniform = (noise_variance + (0.0 if device.row_sum_noise else device.thermal_variance)) / self.scale
        variance: float | Tensor = uniform
        if device.row_sum_noise:
            assert held is not None
            conductance = held.node_conductance + self.scale * damping
            variance = uniform + (device.thermal_variance / self.scale) * conductance
        self._process: OUProcess | None = None
        self.noisy = bool((torch.as_tensor(variance) > 0).any())
        self.margin: float | None = None
        self._network: LinearNetwork | None = None
        self.method, self._advance = self._route(held, variance, method)

    @property
    def rhs(self) -> Tensor:
        """ĝ, (N,), as the DAC gives it."""
        given = self._given_rhs
        gradient: Tensor = self._operator.gradient if given is None else given
        return gradient

    @property
    def products(self) -> int:
        """Curvature products made so far by the Krylov route; 0 for the others."""
        return 0 if self._process is None else self._process.products

    def settled(self, x0: Tensor) -> NodeState:
        """The state after writing with the nodes held at x0: within the rails, the amplifiers settled."""
        held = x0.clamp(-self.device.rail, self.device.rail)
        return NodeState(held) if self._network is None else self._network.settled(held)

    def advance(self, state: NodeState, t: float, generator: torch.Generator | None = None) -> NodeState:
        """One draw of the state t later; `generator` None: torch's default one."""
        arguments.real("t", t, minimum=0.0)
        if t == 0.0:
            return NodeState(state.nodes.clone(), state.amplifiers)
        return self._advance(state, t, generator)

    def sample(self, x0: Tensor, t: float, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x(t), (N,), from `settled` at x0."""
        return self.advance(self.settled(x0), t, generator).nodes

    def read(self, state: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One conversion of the nodes by the ADC: its noise, then its levels."""
        if self.device.adc_noise_volts:
            deviation = self.device.adc_noise_volts / self.device.volts_per_unit
            normal = torch.randn(state.shape, generator=generator, dtype=state.dtype, device=state.device)
            state = state + deviation * normal
        return quantize(state, self.device.adc_bits)

    def _programmed(self, generator: torch.Generator | None, member: tuple[int, int]) -> programming.Arrays:
        operator = self._operator
        programming.refuse_too_large(operator.rows, operator.size, self.rhs.element_size())
        return programming.program(operator.factor(), self.device, generator, member)

    def _route(
        self, held: programming.Arrays | None, variance: float | Tensor, method: Method
    ) -> tuple[str, Advance]:
        device = self.device
        by_node = isinstance(variance, Tensor)
        symmetric = held is None or held.symmetric
        if device.rail_volts is not None or (device.capacitor_mismatch and not symmetric):
            kind = "rails" if device.rail_volts is not None else "mismatch"
            return f"stepped ({kind})", _nodes_only(self._stepper(held, variance).run)
        if device.capacitor_mismatch:
            rates = self._rates()
            assert rates is not None
            operator = self._operator if held is None else ExplicitFactor(held.first)
            nodes = MismatchedNodes(operator, self._damping, rates, self.rhs, variance)
            return nodes.method, _nodes_only(nodes.sample)
        if held is not None and (by_node or not symmetric):
            network = self._network = LinearNetwork(held, self._damping, variance)
            self.margin = network.margin
            return "arrays", lambda state, t, generator: network.advance(state, self.rhs, t, generator)
        assert isinstance(variance, float)
        operator = self._operator if held is None else ExplicitFactor(held.first)
        rhs = self._given_rhs if held is None else self.rhs
        process = self._process = OUProcess(operator, rhs, self._damping, variance, method=method)
        return process.method, _nodes_only(process.sample)

    def _rates(self) -> Tensor | None:
        """Nominal over actual capacitance of each node, (N,)."""
        mismatch = self.device.capacitor_mismatch
        return node_rates(mismatch, self.device.instance, self.rhs) if mismatch else None

    def _stepper(self, held: programming.Arrays | None, variance: float | Tensor) -> Stepper:
        if held is not None and held.lag is not None:
            raise ValueError(
                "amplifier_bandwidth_hz cannot be simulated together with rail_volts or capacitor_mismatch"
            )
        rates = self._rates()
        modes: Tensor | None = None
        if held is not None and not held.symmetric:
            # the stability of what was programmed is known before anything runs on it
            modes = stability.modes(held, self._damping, rates)
            self.margin = stability.least_rate(held, modes)
        return Stepper(
            self._operator.matvec if held is None else _through(held),
            self.rhs,
            self._damping,
            variance,
            rates=rates,
            limit=self.device.rail,
            modes=modes,
        )


def _nodes_only(draw: Callable[[Tensor, float, torch.Generator | None], Tensor]) -> Advance:
    return lambda state, t, generator: NodeState(draw(state.nodes, t, generator))


def _through(held: programming.Arrays) -> Callable[[Tensor], Tensor]:
    def product(v: Tensor) -> Tensor:
        rows = held.first @ v
        return held.last.T @ (rows if held.middle is None else held.middle @ rows)

    return product
