"""What a solver returns, and the checks all solvers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature import GGN


@dataclass(frozen=True)
class SolveResult:
    """Solution of (G + λI) x = rhs + λ·prior.

    `product` applies the matrix of the solver where it is not G itself. `iterations` is the number of GGN products of
    an iterative method, 0 for a direct one; `history` its relative residual norms, one per iteration.
    """

    solution: Tensor
    ggn: GGN
    rhs: Tensor | None
    damping: float
    iterations: int = 0
    history: tuple[float, ...] = field(default=())
    prior: Tensor | None = None
    product: Callable[[Tensor], Tensor] | None = None

    @cached_property
    def residual_norm(self) -> float:
        """‖(G + λI) x − rhs − λ·prior‖₂ by one GGN product, made when first asked for."""
        rhs = self.ggn.gradient if self.rhs is None else self.rhs
        moved = self.solution if self.prior is None else self.solution - self.prior
        product = (self.product or self.ggn.matvec)(self.solution)
        return float(torch.linalg.vector_norm(product + self.damping * moved - rhs))


class Solver(Protocol):
    """A method for (G + λI) x = rhs + λ·prior: the damped least squares around `prior` (N,); None: around zero."""

    def solve(
        self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01, prior: Tensor | None = None
    ) -> SolveResult:
        """Return the solution; `rhs` None stands for the batch gradient, which some methods exploit."""


def checked(ggn: GGN, rhs: Tensor | None, damping: float, prior: Tensor | None = None) -> float:
    """Refuse vectors of the wrong length and a negative or non-finite damping."""
    for name, vector in (("rhs", rhs), ("prior", prior)):
        if vector is not None and vector.shape != (ggn.size,):
            raise ValueError(f"{name} must be a vector ({ggn.size},), not {tuple(vector.shape)}")
    return arguments.real("damping", damping, minimum=0.0)


def is_gradient(ggn: GGN, rhs: Tensor | None) -> bool:
    """Whether the right-hand side is the batch gradient itself, so that g = Bᵀw can be used."""
    return rhs is None or rhs is ggn.__dict__.get("gradient")


def is_negligible(matrix: Tensor, damping: float) -> bool:
    """Whether λ drowns in the rounding of a positive semi-definite matrix (n, n)."""
    return damping <= 8.0 * torch.finfo(matrix.dtype).eps * float(matrix.diagonal().max())


def solve_shifted(matrix: Tensor, rhs: Tensor, damping: float, *, in_range: bool, power: int = 1) -> Tensor:
    """(M + λI)⁻ᵖ rhs for a positive semi-definite M (n, n).

    Cholesky where λ stands clear of rounding. Otherwise an eigendecomposition in float64: with `in_range` (the
    right-hand side has no null-space part, so what is there is rounding) or λ = 0, eigenvalues below rounding are
    dropped, which gives the minimum-norm solution; without it they count as λ.
    """
    if not is_negligible(matrix, damping):
        shifted = matrix.clone()
        shifted.diagonal().add_(damping)
        factor, info = torch.linalg.cholesky_ex(shifted)
        if int(info) == 0:
            result = rhs.unsqueeze(-1)
            for _ in range(power):
                result = torch.cholesky_solve(result, factor)
            return result.squeeze(-1)
    values, vectors = torch.linalg.eigh(matrix.to(torch.float64))
    cutoff = matrix.shape[0] * torch.finfo(matrix.dtype).eps * values[-1].clamp_min(0.0)
    kept = values > cutoff
    shift = torch.where(kept, values, 0.0) + damping
    drop = in_range or damping == 0.0
    inverse = torch.where(kept, shift**-power, 0.0) if drop else shift**-power
    solution: Tensor = vectors @ (inverse * (vectors.T @ rhs.to(torch.float64)))
    return solution.to(rhs.dtype)
