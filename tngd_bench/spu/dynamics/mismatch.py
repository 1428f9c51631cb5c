"""Nodes whose capacitors differ: dx = −D (A x − g) dt + D √(2κᵢ) dW with D the nominal over the actual capacitance.

In the coordinates y = x/√D the drift √D A √D is symmetric again, so means are exact by a spectral function of it. The
noise is not white there. For small N its covariance is exact in the drift's eigenbasis. Beyond, it is drawn as
√D f(√D A √D) √(Dκ) ξ: exact at short times, where A and D commute, and as σ_C → 0. The fast modes of √D A √D are √D
times those of A, so no noise of the null space, which is far larger, leaks into the range of J: the variance in either
is right to O(σ_C). Correlations between them are off by O(σ_C). Where κᵢ differ, their spread adds to σ_C in both.
"""

from functools import cached_property

import torch
from torch import Tensor

from tngd_bench.curvature.operator import LinearOperator, Shifted
from tngd_bench.spu.dynamics import chip
from tngd_bench.spu.dynamics.factor_operator import Balanced
from tngd_bench.spu.dynamics.krylov import KrylovTransition
from tngd_bench.spu.dynamics.spectral import Decay, Response, Spread
from tngd_bench.spu.dynamics.transitions import DenseTransition

LARGEST_DIAGONALISED = 1024
"""N up to which the drift is diagonalised rather than put through Lanczos."""
SMALLEST_CAPACITOR = 0.05
"""Share of its nominal value below which no capacitor falls, however wide the mismatch."""


def node_rates(mismatch: float, instance: int, like: Tensor) -> Tensor:
    """D (N,): one over 1 + σ_C ξ, the same for every run on one chip."""
    deviation = chip.capacitors(instance, like)
    return (1.0 / (1.0 + mismatch * deviation).clamp_min(SMALLEST_CAPACITOR)).to(like)


class MismatchedNodes:
    """The process for a symmetric A (`shifted`), node `rates` D and noise `variance` κ, one or (N,)."""

    def __init__(
        self, shifted: Shifted[LinearOperator], rates: Tensor, rhs: Tensor, variance: float | Tensor
    ) -> None:
        self._root = rates.sqrt()
        self._balanced = Shifted(Balanced(shifted, self._root), 0.0)
        self._rhs = rhs
        self._deviation = self._root * torch.as_tensor(variance, dtype=rates.dtype).sqrt()
        self._noisy = bool((self._deviation > 0).any())
        self._roots: dict[float, Tensor] = {}
        self.small = len(rhs) <= LARGEST_DIAGONALISED

    @property
    def method(self) -> str:
        """The route, and what is approximate."""
        if self.small:
            return "dense (mismatch)"
        return "krylov (mismatch; noise to O(σ_C))" if self._noisy else "krylov (mismatch)"

    def write(self, rhs: Tensor) -> None:
        """Replace the right-hand side, (N,)."""
        self._rhs = rhs

    def sample(self, x0: Tensor, t: float, generator: torch.Generator | None) -> Tensor:
        """One draw of x(t), (N,); `generator` None: torch's default one."""
        root = self._root
        transition = self._dense if self.small else KrylovTransition(self._balanced)
        mean = (root * transition.apply([(Decay(t), x0 / root), (Response(t), root * self._rhs)])).to(
            x0.dtype
        )
        if not self._noisy:
            return mean
        normal = torch.randn(x0.shape, generator=generator, dtype=x0.dtype, device=x0.device)
        if self.small:
            return mean + (self._covariance_root(t) @ normal.to(torch.float64)).to(x0.dtype)
        return mean + root * transition.apply([(Spread(t, 1.0), self._deviation * normal)])

    @cached_property
    def _dense(self) -> DenseTransition:
        return DenseTransition(self._balanced)

    def _covariance_root(self, t: float) -> Tensor:
        """A square root of the covariance of x after t, (N, N): modes i, j share 2(1 − e^{−(aᵢ+aⱼ)t})/(aᵢ+aⱼ)."""
        if t not in self._roots:
            values, vectors = self._dense.eigenvalues, self._dense.vectors
            strength = self._deviation.to(torch.float64)
            driven = vectors.T @ ((strength * strength).unsqueeze(1) * vectors)
            common = 2.0 * Response(t)(values.unsqueeze(1) + values)
            scaled, modes = torch.linalg.eigh(driven * common)
            lifted = self._root.to(torch.float64).unsqueeze(1) * vectors
            self._roots[t] = lifted @ (modes * scaled.clamp_min(0.0).sqrt())
        return self._roots[t]
