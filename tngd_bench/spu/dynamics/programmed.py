"""A device with one pair (G, g) loaded, simulated with all its imperfections.

Values of `method`: "gram", "dense", "krylov", "euler-maruyama" (`OUProcess`; errors of one shared array included) ·
"arrays" (`LinearNetwork`: separate arrays, amplifiers, noise by node) · "stages" (`AllStages`) · "dense (mismatch)" and
"krylov (mismatch)" (`MismatchedNodes`, symmetric drift) · "stepped (rails)" and "stepped (mismatch)" (a drift that is
not symmetric), simulated in time with the error that `HeunStepper` states.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature.operator import ExplicitFactor, RightHandSide, Shifted
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics import arrays as programming
from tngd_bench.spu.dynamics import stability
from tngd_bench.spu.dynamics.circuit.stages import AllStages
from tngd_bench.spu.dynamics.converters import quantize
from tngd_bench.spu.dynamics.factor_operator import ErringFactor
from tngd_bench.spu.dynamics.mismatch import MismatchedNodes, node_rates
from tngd_bench.spu.dynamics.network import LinearNetwork, NodeState
from tngd_bench.spu.dynamics.ou import Method, OUProcess
from tngd_bench.spu.dynamics.route import device_route, drawn_in_law
from tngd_bench.spu.dynamics.stepper import HeunStepper

Advance = Callable[[NodeState, float, torch.Generator | None], NodeState]
"""One draw of the state after a time."""

NOT_STEPPED = ("amplifier_bandwidth_hz", "amplifier_noise_v_per_rthz", "first_stage_noise")


class ProgrammedDevice:
    """The device of `device` after writing (G, g): dx = −s C⁻¹(Â x − ĝ) dt + C⁻¹ √(2κᵢ) dW.

    Parameters
    ----------
    device : Device
        Its imperfections act.
    operator : GGN or object
        With the products of `GGN`, and `factor()` where single cells matter.
    rhs : Tensor, optional
        g, (N,); None: the operator's `gradient`. It passes the DAC.
    damping : float
        λ ≥ 0.
    noise_variance : float
        κ₀ of the device, signal²; thermal noise of `device` comes on top.
    method : str
        As in `OUProcess`, where the device is simulated by one.
    generator : Generator, optional
        Programming error now, noise at each `sample`; None: torch's default one.
    member : tuple of int
        (k, K), this one's place in an ensemble of K programmings.

    Notes
    -----
    The state at a moment, `NodeState`, is that of the nodes and, with an amplifier bandwidth, of lagging amplifiers.
    `settled` begins one, as after writing the arrays, which takes far longer than the lag while the nodes are held;
    `advance` carries it on. `sample` is both. `write` puts another right-hand side on the same arrays.

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
        arguments.real("noise_variance", noise_variance, minimum=0.0)
        if device.dac_bits is not None:
            rhs = quantize(operator.gradient if rhs is None else rhs, device.dac_bits)
        self._rhs = RightHandSide(operator, rhs)
        damping = arguments.real("damping", damping, minimum=0.0)
        arrays: programming.Arrays | None = None
        self._held: Any = operator
        self.scale = 1.0
        if device.needs_arrays and drawn_in_law(device, operator.rows, operator.size, member[1]):
            largest = operator.largest()
            self._held = ErringFactor(operator, device.value_error * largest, generator)
            self.scale = programming.largest_unit(device, largest) ** 2
        elif device.needs_arrays:
            programming.refuse_too_large(operator.rows, operator.size, self.rhs.element_size())
            arrays = programming.program(operator.factor(), device, generator, member)
            self._held, self.scale = ExplicitFactor(arrays.first), arrays.scale
        uniform = (noise_variance + (0.0 if device.row_sum_noise else device.thermal_variance)) / self.scale
        self._variance: float | Tensor = uniform
        if device.row_sum_noise:
            assert arrays is not None
            conductance = arrays.node_conductance + self.scale * damping
            self._variance = uniform + (device.thermal_variance / self.scale) * conductance
        at_outputs = arrays is not None and any(each is not None for each in arrays.noise)
        self.noisy = at_outputs or bool((torch.as_tensor(self._variance) > 0).any())
        self.margin: float | None = None
        self._process: OUProcess | MismatchedNodes | HeunStepper | None = None
        self._network: LinearNetwork | AllStages | None = None
        self.route = device_route(device, ensemble=member[1])
        self._advance: Advance
        if self.route.name in ("arrays", "stages"):
            assert arrays is not None
            self.method, self._advance = self.route.name, self._by_network(Shifted(arrays, damping))
        elif self.route.name.startswith("stepped"):
            drift = Shifted(operator if arrays is None else arrays, damping)
            self.method, self._advance = self.route.name, self._by_stepper(drift, arrays)
        else:
            self.method, self._advance = self._by_functions(Shifted(self._held, damping), method)

    @property
    def rhs(self) -> Tensor:
        """ĝ, (N,), as the DAC gives it."""
        return self._rhs.vector

    @property
    def products(self) -> int:
        """Curvature products made so far by the Krylov route; 0 for the others."""
        return self._process.products if isinstance(self._process, OUProcess) else 0

    @property
    def is_linear(self) -> bool:
        """Whether a readout from a start at zero is a fixed symmetric matrix times the right-hand side."""
        return self.route.name in ("spectral", "mismatch") and not self.varies

    @property
    def varies(self) -> bool:
        """Whether noise, or the levels or the range of converters are in a readout."""
        device = self.device
        levels = (device.dac_bits, device.adc_bits, device.adc_range)
        return bool(self.noisy or device.adc_noise_volts or levels != (None, None, None))

    def write(self, rhs: Tensor) -> None:
        """Put another right-hand side (N,) onto the nodes, through the DAC; the arrays hold what they held."""
        self._rhs = RightHandSide(self._rhs.operator, quantize(rhs, self.device.dac_bits))
        if self._process is not None:
            self._process.write(self.rhs)

    def settled(self, x0: Tensor) -> NodeState:
        """The state after writing with the nodes held at x0: within the rails, the amplifiers settled."""
        held = x0 if self.device.rail_volts is None else x0.clamp(-self.device.rail, self.device.rail)
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
        return quantize(state, self.device.adc_bits, self.device.adc_range)

    def _by_functions(self, symmetric: Shifted[Any], method: Method) -> tuple[str, Advance]:
        if self.route.name == "mismatch":
            rates = self._rates()
            assert rates is not None
            nodes = self._process = MismatchedNodes(symmetric, rates, self.rhs, self._variance)
            return nodes.method, _nodes_only(nodes.sample)
        assert isinstance(self._variance, float)
        # the weights of the gradient in rows belong to the operator itself, not to what the arrays hold of it
        rhs = self._rhs.given if symmetric.operator is self._rhs.operator else self.rhs
        process = self._process = OUProcess(
            symmetric.operator, rhs, symmetric.damping, self._variance, method=method
        )
        return process.method, _nodes_only(process.sample)

    def _by_network(self, held: Shifted[programming.Arrays]) -> Advance:
        network: LinearNetwork | AllStages
        if self.route.name == "stages":
            network = AllStages(held, self._variance, self._rates())
        else:
            network = LinearNetwork(held, self._variance)
        self._network, self.margin = network, network.margin
        return lambda state, t, generator: network.advance(state, self.rhs, t, generator)

    def _by_stepper(self, drift: Shifted[Any], arrays: programming.Arrays | None) -> Advance:
        given = [name for name in NOT_STEPPED if getattr(self.device, name)]
        if given:
            raise ValueError(f"{given[0]} cannot be simulated together with rail_volts or capacitor_mismatch")
        rates = self._rates()
        modes: Tensor | None = None
        if arrays is not None and not arrays.symmetric:
            # the stability of what was programmed is known before anything runs on it
            modes = stability.modes(drift, rates)
            self.margin = stability.least_rate(arrays, modes)
        stepper = self._process = HeunStepper(
            drift, self.rhs, self._variance, rates=rates, limit=self.device.rail, modes=modes
        )
        return _nodes_only(stepper.run)

    def _rates(self) -> Tensor | None:
        """Nominal over actual capacitance of each node, (N,)."""
        mismatch = self.device.capacitor_mismatch
        return node_rates(mismatch, self.device.instance, self.rhs) if mismatch else None


def _nodes_only(draw: Callable[[Tensor, float, torch.Generator | None], Tensor]) -> Advance:
    return lambda state, t, generator: NodeState(draw(state.nodes, t, generator))
