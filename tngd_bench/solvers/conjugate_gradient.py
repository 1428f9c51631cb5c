"""NGD-CG: conjugate gradients on GGN-vector products (Table 1 of arXiv 2405.13817)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature import GGN
from tngd_bench.solvers.result import SolveResult, checked


@dataclass(frozen=True)
class CG:
    """Conjugate gradients from x = 0 until ‖r‖ ≤ rtol·‖rhs‖ or `max_iterations` products.

    `preconditioner` maps a residual (N,) to an approximation of (G + λI)⁻¹ r; it must be symmetric positive
    definite. (Hestenes and Stiefel 1952; λ = 0 converges to the minimum-norm solution for rhs in the range of G.)
    """

    max_iterations: int = 200
    rtol: float = 1e-6
    preconditioner: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        arguments.integer("max_iterations", self.max_iterations, minimum=1)
        arguments.real("rtol", self.rtol, minimum=0.0, below=1.0)

    def solve(self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01) -> SolveResult:
        """Solve (G + λI) x = rhs; `.history` holds the relative residual after each product."""
        damping = checked(ggn, rhs, damping)
        right = ggn.gradient if rhs is None else rhs
        precondition = self.preconditioner or (lambda residual: residual)
        norm = float(torch.linalg.vector_norm(right))
        solution = torch.zeros_like(right)
        if norm == 0.0:
            return SolveResult(solution, ggn, rhs, damping)
        residual = right.clone()
        preconditioned = precondition(residual)
        direction = preconditioned.clone()
        energy = float(residual @ preconditioned)
        history: list[float] = []
        stiffest = 0.0  # largest Rayleigh quotient met: the scale of rounding in the products
        for _ in range(self.max_iterations):
            image = ggn.matvec(direction).add_(direction, alpha=damping)
            curvature = float(direction @ image)
            length = float(direction @ direction)
            stiffest = max(stiffest, curvature / length)
            if curvature <= torch.finfo(right.dtype).eps * stiffest * length:
                break  # what is left of rhs lies outside the range of G + λI: no step along it solves anything
            alpha = energy / curvature
            solution.add_(direction, alpha=alpha)
            residual.sub_(image, alpha=alpha)
            history.append(float(torch.linalg.vector_norm(residual)) / norm)
            if history[-1] <= self.rtol:
                break
            preconditioned = precondition(residual)
            following = float(residual @ preconditioned)
            direction.mul_(following / energy).add_(preconditioned)
            energy = following
        if damping == 0.0 and history and history[-1] > 1.0:
            raise ValueError(
                "damping must be > 0 for this rhs: with damping 0 it has a part outside the range of G, and conjugate "
                f"gradients left it after {len(history)} products (relative residual {history[-1]:.1e})"
            )
        return SolveResult(solution, ggn, rhs, damping, len(history), tuple(history))
