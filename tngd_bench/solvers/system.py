"""The damped system of one batch, what a solver returns for it, and the interface of all solvers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from tngd_bench import arguments
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import InRange, RightHandSide, Shifted

CROWDED, CROWDED_STRIDE = 512, 64
"""Orders of a Cholesky factor, from the first on multiples of the second, whose columns fall onto few lines of a
processor's cache: with one more row it takes half the time at 640, and a third at 1024."""


@dataclass(frozen=True)
class LinearSystem:
    """(G + λI) x = g + λμp: damped least squares around the `prior` p (N,) times `memory` μ; None: around zero."""

    operator: Shifted[Any]
    rhs: RightHandSide
    prior: Tensor | None = None
    memory: float = 1.0

    @classmethod
    def of(
        cls, ggn: GGN, rhs: Tensor | None, damping: float, prior: Tensor | None, memory: float
    ) -> LinearSystem:
        """Return the system of these arguments, which are checked; `rhs` None: the batch gradient."""
        for name, vector in (("rhs", rhs), ("prior", prior)):
            if vector is not None and vector.shape != (ggn.size,):
                raise ValueError(f"{name} must be a vector ({ggn.size},), not {tuple(vector.shape)}")
        damping = arguments.real("damping", damping, minimum=0.0)
        return cls(Shifted(ggn, damping), RightHandSide.of(ggn, rhs), prior, memory)

    @property
    def ggn(self) -> GGN:
        """G."""
        ggn: GGN = self.operator.operator
        return ggn

    @property
    def damping(self) -> float:
        """λ."""
        return self.operator.damping

    def moved_rhs(self, product: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """g − μ G p, what G + λI maps x − μp to; `product` multiplies by G, by default the GGN's own."""
        right = self.rhs.vector
        if self.prior is None:
            return right
        return torch.sub(right, (product or self.ggn.matvec)(self.prior), alpha=self.memory)

    def moved_weights(self) -> InRange | None:
        """g − μ G p = Bᵀ(w − μ B p) + q by the factor; None where g is a given vector."""
        found = self.rhs.in_range
        if found is None or self.prior is None:
            return found
        image = self.ggn.factor_matvec(self.prior)
        return InRange(torch.sub(found.weights, image, alpha=self.memory), found.rest)

    def solved(self, moved: Tensor, history: tuple[float, ...] = ()) -> SolveResult:
        """The result of a solver that has found x − μp = `moved`, which becomes x in place."""
        if self.prior is not None:
            moved.add_(self.prior, alpha=self.memory)
        return SolveResult(moved, self, history)


@dataclass(frozen=True)
class SolveResult:
    """The `solution` of a `system`; `history`: relative residual norms of an iterative method, one a GGN product."""

    solution: Tensor
    system: LinearSystem
    history: tuple[float, ...] = ()

    @property
    def iterations(self) -> int:
        """GGN products of an iterative method; 0 for a direct one."""
        return len(self.history)

    @cached_property
    def residual_norm(self) -> float:
        """‖(G + λI) x − g − λμp‖₂ by one GGN product, made when first asked for."""
        system, moved = self.system, self.solution
        if system.prior is not None:
            moved = torch.sub(moved, system.prior, alpha=system.memory)
        product = system.operator.operator.matvec(self.solution)
        return float(torch.linalg.vector_norm(product + system.damping * moved - system.rhs.vector))


class Solver(ABC):
    """A method for (G + λI) x = g + λμp."""

    def solve(
        self,
        ggn: GGN,
        rhs: Tensor | None = None,
        damping: float = 0.01,
        prior: Tensor | None = None,
        memory: float = 1.0,
    ) -> SolveResult:
        """Solve (G + λI) x = rhs + λ·memory·prior; `rhs` None: the batch gradient, which some methods exploit."""
        return self._solve(LinearSystem.of(ggn, rhs, damping, prior, memory))

    @abstractmethod
    def _solve(self, system: LinearSystem) -> SolveResult:
        """Solve a checked system."""


def is_negligible(shifted: Shifted[Tensor]) -> bool:
    """Whether λ drowns in the rounding of the positive semi-definite matrix (n, n) that it is added to."""
    matrix = shifted.operator
    return shifted.damping <= 8.0 * torch.finfo(matrix.dtype).eps * float(matrix.diagonal().max())


def solve_shifted(shifted: Shifted[Tensor], rhs: Tensor, *, in_range: bool, power: int = 1) -> Tensor:
    """(M + λI)⁻ᵖ rhs for a positive semi-definite M (n, n), of which what is above the diagonal is not read.

    Cholesky where λ is well above rounding. Otherwise an eigendecomposition in float64: with `in_range` (the
    right-hand side has no null-space part, so what is there is rounding) or λ = 0, eigenvalues below rounding are
    dropped, which gives the minimum-norm solution; without it they count as λ.
    """
    matrix, damping = shifted.operator, shifted.damping
    if not is_negligible(shifted):
        order = len(matrix)
        extra = int(order >= CROWDED and order % CROWDED_STRIDE == 0)
        lifted = pad(matrix, (0, extra, 0, extra))
        lifted.diagonal().add_(damping)
        factor, info = torch.linalg.cholesky_ex(lifted)
        if int(info) == 0:
            result = (pad(rhs, (0, extra)) if extra else rhs).unsqueeze(-1)
            for _ in range(power):
                result = torch.cholesky_solve(result, factor)
            return result[:order, 0]
    values, vectors = torch.linalg.eigh(matrix.to(torch.float64))
    cutoff = matrix.shape[0] * torch.finfo(matrix.dtype).eps * values[-1].clamp_min(0.0)
    kept = values > cutoff
    shift = torch.where(kept, values, 0.0) + damping
    drop = in_range or damping == 0.0
    inverse = torch.where(kept, shift**-power, 0.0) if drop else shift**-power
    solution: Tensor = vectors @ (inverse * (vectors.T @ rhs.to(torch.float64)))
    return solution.to(rhs.dtype)
