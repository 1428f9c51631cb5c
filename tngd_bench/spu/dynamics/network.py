"""Exact law of the OU process whose drift goes through programmed arrays: Â = J₁ᵀ Ĥ J₂ + λI, not symmetric.

Split x = z − J₁ᵀ q: z is N independent OU processes of rate λ, and q lives in the space of the m rows,

    dz = −(λ z − g) dt + diag(√2κᵢ) dW        q' = −(λ + Ĥ J₂ J₁ᵀ) q + Ĥ J₂ z

so the exact transition needs matrices of m rows alone, those of J₂J₁ᵀ and J₂ diag(κᵢ) J₂ᵀ, whatever N; the modes that
relax at another rate than λ are those of Ĥ J₂ J₁ᵀ (method.md §3). An amplifier lag ε y' = J₂x − y adds m states; what
carries over in time is then (x, y), a `NodeState`. Propagators over t are made by a Taylor series over t/2ᵏ and k
doublings, which no norm of the drift can overflow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tngd_bench.curvature.operator import Shifted
from tngd_bench.spu.dynamics import double_precision, stability
from tngd_bench.spu.dynamics.arrays import Arrays

TAYLOR_ORDER = 14
BASE_NORM = 0.125
"""‖F‖₁h of the first stretch: with covariances growing as 2‖F‖h, 0.25¹⁵/15! is far below rounding."""


@dataclass(frozen=True)
class NodeState:
    """What a device is in at a moment: voltages x of the `nodes` (N,) and y of lagging `amplifiers` (m,), if any."""

    nodes: Tensor
    amplifiers: Tensor | None = None


@dataclass(frozen=True)
class Propagator:
    """One stretch of time h of the state w (k states) driven by p = J₂ z.

    w(h) = E w(0) + Ψ p(0) + Φ J₂ g; noise of w: covariance C, cross-covariance X K with that of p, K = J₂ diag(κ) J₂ᵀ.
    `decay` e^{−λh}, `response` (1 − e^{−λh})/λ, `spread` (1 − e^{−2λh})/λ of a λ-mode.
    """

    E: Tensor
    Psi: Tensor
    Phi: Tensor
    X: Tensor | None
    C: Tensor | None
    decay: float
    response: float
    spread: float

    def plus(self, other: Propagator, weight: float) -> Propagator:
        """The sum with `weight` times another."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        parts: list[Any] = [None if mine is None else mine + weight * theirs for mine, theirs in pairs]
        return Propagator(*parts)

    def doubled(self, K: Tensor | None) -> Propagator:
        """The stretch 2h."""
        E, Psi = self.E, self.Psi
        moved = E @ Psi
        X, C = self.X, self.C
        if K is not None and X is not None and C is not None:
            carried = E @ X
            cross = carried @ K @ Psi.T
            C = C + E @ C @ E.T + self.spread * (Psi @ K @ Psi.T) + cross + cross.T
            X = X + self.decay * (carried + self.spread * Psi)
        return Propagator(
            E @ E,
            moved + self.decay * Psi,
            E @ self.Phi + self.response * Psi + self.Phi,
            X,
            C,
            self.decay**2,
            self.response * (1.0 + self.decay),
            self.spread * (1.0 + self.decay**2),
        )


def node_noise(arrays: Arrays, node_variance: float | Tensor) -> Tensor:
    """κᵢ, float64: `node_variance` with half the noise at the outputs of the last array, which drive the nodes."""
    found = torch.as_tensor(node_variance, dtype=torch.float64, device=arrays.first.device)
    last = arrays.noise[2]
    return found if last is None else found + last.to(torch.float64) / 2.0


class LinearNetwork:
    """dx = −(J₁ᵀ u + λx − g) dt + diag(√2κᵢ) dW with u, J₁, J₂, Ĥ as the arrays hold them; t in units of τ/s.

    Noise at the arrays' outputs adds to J₂x, to u and to J₁ᵀu. `node_variance` κᵢ: one number, or (N,). `margin` is the
    least rate of a mode in 1/τ; raises UnstableDeviceError when it is negative beyond rounding. All of it is computed
    in float64, whatever the arrays' precision.
    """

    def __init__(self, held: Shifted[Arrays], node_variance: float | Tensor = 0.0) -> None:
        arrays = self._arrays = held.operator
        self._damping = held.damping
        self._variance = node_noise(arrays, node_variance)
        self._noisy = bool((self._variance > 0).any()) or any(each is not None for each in arrays.noise)
        self._drift = stability.row_drift(held)
        self.margin = stability.least_rate(arrays, stability.modes(held, in_rows=self._drift))
        m = len(arrays.first)
        one = torch.eye(m, dtype=torch.float64, device=self._drift.device)
        if arrays.lag is None:
            self._input = one if arrays.middle is None else arrays.middle.to(torch.float64)
        else:
            rate = (1.0 / arrays.lag.to(torch.float64)).unsqueeze(1)
            self._input = torch.cat([torch.zeros_like(one), rate * one])
        self._output_noise = self._noise_of_outputs()
        self._row_noise: Tensor | None = None
        if self._noisy:
            weights = self._variance.expand(arrays.first.shape[1])
            self._row_noise = double_precision.gram(arrays.first, arrays.first, weights)
        self._propagators: dict[float, Propagator] = {}
        self._roots: dict[float, Tensor] = {}

    def _noise_of_outputs(self) -> Tensor:
        """Diffusion of the states in row space by the noise of the first two stages."""
        found = torch.zeros_like(self._drift)
        first, middle, _ = self._arrays.noise
        if first is not None:
            found += (self._input * first.to(torch.float64)) @ self._input.T
        if middle is not None:
            found.diagonal()[: len(middle)] += middle.to(torch.float64)
        return found

    def settled(self, x0: Tensor) -> NodeState:
        """The state in which nodes were held at x0 until the amplifiers had settled."""
        lagging = self._arrays.lag is not None
        return NodeState(x0, double_precision.matvec(self._arrays.first, x0) if lagging else None)

    def sample(self, x0: Tensor, rhs: Tensor, t: float, generator: torch.Generator | None) -> Tensor:
        """One draw of x(t), (N,), from x(0) = x0 with the amplifiers settled."""
        return self.advance(self.settled(x0), rhs, t, generator).nodes

    def advance(
        self, state: NodeState, rhs: Tensor, t: float, generator: torch.Generator | None
    ) -> NodeState:
        """One draw of the state after t; `generator` None: torch's default one."""
        if t == 0.0:
            return NodeState(state.nodes.clone(), state.amplifiers)
        arrays, step, x0 = self._arrays, self._propagator(t), state.nodes
        z = step.decay * x0.to(torch.float64) + step.response * rhs.to(torch.float64)
        w = step.Psi @ double_precision.matvec(arrays.first, x0) + step.Phi @ double_precision.matvec(
            arrays.first, rhs
        )
        m = len(arrays.first)
        if state.amplifiers is not None:
            w += step.E[:, m:] @ state.amplifiers
        if self._noisy:
            normal = torch.randn(x0.shape, generator=generator, dtype=x0.dtype, device=x0.device)
            noise = normal.to(torch.float64) * (step.spread * self._variance).sqrt()
            z = z + noise
            assert step.X is not None
            root = self._conditional_root(t, step)
            own = torch.randn(len(root), generator=generator, dtype=torch.float64, device=x0.device)
            # given z, w is Gaussian about X p / v with the rest of its covariance
            w += step.X @ (double_precision.matvec(arrays.first, noise) / step.spread) + root @ own
        x = (z - double_precision.rmatvec(arrays.last, w[:m])).to(x0.dtype)
        return NodeState(x, None if state.amplifiers is None else w[m:])

    def _conditional_root(self, t: float, step: Propagator) -> Tensor:
        if t not in self._roots:
            assert step.X is not None
            assert step.C is not None
            assert self._row_noise is not None
            left = step.C - step.X @ self._row_noise @ step.X.T / step.spread
            values, vectors = torch.linalg.eigh((left + left.T) / 2.0)
            self._roots[t] = vectors * values.clamp_min(0.0).sqrt()
        return self._roots[t]

    def _propagator(self, t: float) -> Propagator:
        if t not in self._propagators:
            norm = float(torch.linalg.matrix_norm(self._drift, 1)) + self._damping
            doublings = max(0, math.ceil(math.log2(max(norm * t / BASE_NORM, 1.0))))
            step = self._first_stretch(t / 2**doublings)
            for _ in range(doublings):
                step = step.doubled(self._row_noise)
            self._propagators[t] = step
        return self._propagators[t]

    def _first_stretch(self, h: float) -> Propagator:
        """Taylor series over a time h."""
        F = self._drift
        one, none = torch.eye(len(F), dtype=torch.float64, device=F.device), 0.0 * self._input
        X, C = (none, 0.0 * F) if self._row_noise is not None else (None, None)
        term = total = Propagator(one, none, none, X, C, 1.0, 0.0, 0.0)
        weight = 1.0
        for order in range(1, TAYLOR_ORDER + 1):
            weight *= h / order
            term = self._derivative(term, 1.0 if order == 1 else 0.0)
            total = total.plus(term, weight)
        return total

    def _derivative(self, at: Propagator, constant: float) -> Propagator:
        """E' = −FE, Ψ' = −FΨ + e^{−λt}G, Φ' = −FΦ + r(t)G, X' = −(F+λ)X + v(t)G and C'; r' and v' hold a `constant`."""
        F, G, K, lam = self._drift, self._input, self._row_noise, self._damping
        X, C = at.X, at.C
        if K is not None and X is not None and C is not None:
            flow = F @ C
            pushed = X @ K @ G.T
            C = pushed + pushed.T - flow - flow.T + constant * self._output_noise
            X = at.spread * G - F @ X - lam * X
        return Propagator(
            -F @ at.E,
            at.decay * G - F @ at.Psi,
            at.response * G - F @ at.Phi,
            X,
            C,
            -lam * at.decay,
            constant - lam * at.response,
            2.0 * constant - 2.0 * lam * at.spread,
        )
