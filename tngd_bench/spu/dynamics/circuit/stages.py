"""Exact law of the whole circuit, the amplifiers of all stages lagging and capacitors differing, for small sizes.

    dx = −D (v + λx − g) dt + D √(2κ) dW    ε₁ y' = J₂ x − y + n₁    ε₂ u' = Ĥ y − u + n₂    ε₃ v' = J₁ᵀ u − v + n₃

κ by node, n white noise of the outputs. Where the middle array is wires, u is y. One linear system of all states: its
propagator over t comes from exponentials over t/2ᵏ and k doublings, in float64, right to rounding times ‖F‖t.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tngd_bench.curvature.operator import Shifted
from tngd_bench.spu.dynamics import stability
from tngd_bench.spu.dynamics.arrays import Arrays
from tngd_bench.spu.dynamics.network import NodeState

LARGEST_STATES = 1024
"""States of the circuit up to which it is simulated."""
BASE_NORM = 0.125


class _Step(NamedTuple):
    """w(h) = E w(0) + Φ f with the covariance C."""

    E: Tensor
    Phi: Tensor
    C: Tensor

    def doubled(self) -> _Step:
        E, Phi, C = self
        return _Step(E @ E, Phi + E @ Phi, C + E @ C @ E.T)


class AllStages:
    """The circuit of `held` with κ `node_variance`, one number or (N,), and node rates D, (N,), None: one.

    `margin` is the least rate of a mode in 1/τ; raises UnstableDeviceError where it is negative beyond rounding, and
    ValueError beyond `LARGEST_STATES` states.
    """

    def __init__(
        self, held: Shifted[Arrays], node_variance: float | Tensor = 0.0, rates: Tensor | None = None
    ) -> None:
        arrays = self._arrays = held.operator
        assert arrays.lag is not None
        assert arrays.later_lags is not None
        lags = [arrays.lag, *(each for each in arrays.later_lags if each is not None)]
        m, n = arrays.first.shape
        states = n + sum(map(len, lags))
        if states > LARGEST_STATES:
            raise ValueError(
                f"lagging_stages = 'all' at m = {m}, N = {n} has {states} states, more than the {LARGEST_STATES} that "
                "are simulated; accepted: 'first', a smaller model or batch"
            )
        self._held = [each.to(torch.float64) for each in self._matrices()]
        speed = torch.ones(n) if rates is None else rates
        self._rates = torch.cat([speed.to(arrays.first), *(1.0 / lag for lag in lags)]).to(torch.float64)
        self._drift = self._made(held.damping)
        self._diffusion = self._rates**2 * self._noise(node_variance)
        self._nodes = n
        self.margin = stability.least_rate(arrays, torch.linalg.eigvals(self._drift))
        self._steps: dict[float, _Step] = {}
        self._roots: dict[float, Tensor] = {}

    def _matrices(self) -> list[Tensor]:
        """What the outputs of each lagging stage follow: J₂, Ĥ where it is an array, J₁ᵀ."""
        arrays = self._arrays
        assert arrays.later_lags is not None
        one = torch.eye(len(arrays.first), dtype=arrays.first.dtype, device=arrays.first.device)
        middle = one if arrays.middle is None else arrays.middle
        if arrays.later_lags[0] is None:  # wires: gains of the first stage go with the last array
            return [arrays.first, arrays.last.T @ middle]
        return [arrays.first, middle, arrays.last.T]

    def _made(self, damping: float) -> Tensor:
        n, states = self._held[0].shape[1], len(self._rates)
        found = torch.eye(states, dtype=torch.float64, device=self._rates.device)
        found[:n] = 0.0
        found[:n, :n].diagonal().fill_(damping)
        found[:n, states - n :].diagonal().fill_(1.0)
        to, since = n, 0
        for matrix in self._held:
            outputs, inputs = matrix.shape
            found[to : to + outputs, since : since + inputs] = -matrix
            to, since = to + outputs, since + inputs
        return self._rates.unsqueeze(1) * found

    def _noise(self, node_variance: float | Tensor) -> Tensor:
        """Intensities at the nodes and the outputs of the stages, (states,)."""
        n = self._held[0].shape[1]
        noise = self._arrays.noise if len(self._held) == 3 else self._arrays.noise[::2]
        at_nodes = torch.as_tensor(node_variance, dtype=torch.float64, device=self._rates.device).expand(n)
        parts = [
            torch.zeros(len(matrix), dtype=torch.float64, device=self._rates.device) if each is None else each
            for each, matrix in zip(noise, self._held, strict=True)
        ]
        return torch.cat([2.0 * at_nodes, *(part.to(torch.float64) for part in parts)])

    def settled(self, x0: Tensor) -> NodeState:
        """The state in which nodes were held at x0 until the amplifiers had settled."""
        outputs = [x0.to(torch.float64)]
        for matrix in self._held:
            outputs.append(matrix @ outputs[-1])
        return NodeState(x0, torch.cat(outputs[1:]))

    def advance(
        self, state: NodeState, rhs: Tensor, t: float, generator: torch.Generator | None
    ) -> NodeState:
        """One draw of the state after t; `generator` None: torch's default one."""
        step, x0, n = self._step(t), state.nodes, self._nodes
        assert state.amplifiers is not None
        force = torch.zeros_like(self._rates)
        force[:n] = self._rates[:n] * rhs.to(torch.float64)
        w = step.E @ torch.cat([x0.to(torch.float64), state.amplifiers]) + step.Phi @ force
        if bool(self._diffusion.any()):
            normal = torch.randn(w.shape, generator=generator, dtype=torch.float64, device=w.device)
            w += self._root(t) @ normal
        return NodeState(w[:n].to(x0.dtype), w[n:])

    def _root(self, t: float) -> Tensor:
        if t not in self._roots:
            values, vectors = torch.linalg.eigh(self._step(t).C)
            self._roots[t] = vectors * values.clamp_min(0.0).sqrt()
        return self._roots[t]

    def _step(self, t: float) -> _Step:
        if t not in self._steps:
            norm = float(torch.linalg.matrix_norm(self._drift, 1))
            doublings = max(0, math.ceil(math.log2(max(norm * t / BASE_NORM, 1.0))))
            step = self._first(t / 2**doublings)
            for _ in range(doublings):
                step = step.doubled()
            self._steps[t] = step
        return self._steps[t]

    def _first(self, h: float) -> _Step:
        """Over a short h by exponentials of enlarged systems (Van Loan, IEEE Trans. Autom. Control 23, 1978)."""
        F, k = self._drift, len(self._drift)
        one = torch.eye(k, dtype=torch.float64, device=F.device)

        def upper(corner: Tensor, other: Tensor) -> Tensor:
            enlarged = torch.cat([torch.cat([-F, corner], 1), torch.cat([0.0 * F, other], 1)])
            found: Tensor = torch.linalg.matrix_exp(h * enlarged)[:k]
            return found

        response = upper(one, 0.0 * F)
        E = response[:, :k]
        C = upper(torch.diag(self._diffusion), F.T)[:, k:] @ E.T
        return _Step(E, response[:, k:], (C + C.T) / 2.0)
