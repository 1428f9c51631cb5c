"""NGD-CG: conjugate gradients on GGN products (Table 1 of arXiv 2405.13817)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature import GGN
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.solvers.result import SolveResult, checked, is_gradient

SPACES = ("auto", "rows", "parameters")


@dataclass(frozen=True)
class CG:
    """Conjugate gradients from x = 0 until ‖r‖ ≤ rtol·‖rhs‖ or `max_iterations` products (Hestenes, Stiefel 1952).

    For the batch gradient g = Bᵀw every iterate is x = Bᵀy, so the same recurrence runs on vectors of m rows with one
    product by K = BBᵀ a step, and N appears once, at the end: `space` "rows". "parameters" is the paper's form, one
    product by G and vectors of length N. "auto" takes rows wherever it applies: the right-hand side is the gradient,
    it lies in the range of Bᵀ, and there is no preconditioner.

    `preconditioner` maps a residual (N,) to an approximation of (G + λI)⁻¹ r; it must be symmetric positive definite.
    λ = 0 converges to the minimum-norm solution for a rhs in the range of G, and raises ValueError otherwise.
    """

    max_iterations: int = 200
    rtol: float = 1e-6
    preconditioner: Callable[[Tensor], Tensor] | None = None
    space: str = "auto"

    def __post_init__(self) -> None:
        arguments.integer("max_iterations", self.max_iterations, minimum=1)
        arguments.real("rtol", self.rtol, minimum=0.0, below=1.0)
        arguments.choice("space", self.space, SPACES)
        if self.space == "rows" and self.preconditioner is not None:
            raise ValueError("preconditioner must be None with space='rows': it acts on vectors of length N")

    def solve(
        self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01, prior: Tensor | None = None
    ) -> SolveResult:
        """Solve (G + λI) x = rhs + λ·prior; `.history` holds the relative residual after each product.

        With a prior p the iterations start there: their residuals are relative to the one of p, rhs − G p.
        """
        damping = checked(ggn, rhs, damping, prior)
        likely = CGIterations(damping, self.rtol, self.max_iterations).beforehand(ggn.rows_per_sample)
        # the start's, the one that lifts the solution, and the prior's
        ggn.expect_products(round(likely) + 2 + (prior is not None))
        if self.space != "parameters" and self.preconditioner is None and is_gradient(ggn, rhs):
            weights, outside = ggn.gradient_weights
            if outside is None:
                if prior is not None:
                    weights = weights - ggn.factor_matvec(prior)
                rows, history = self._in_row_space(ggn, weights, damping)
                return self._result(ggn.factor_rmatvec(rows), ggn, rhs, damping, prior, history)
        if self.space == "rows":
            raise ValueError("space='rows' needs rhs to be the batch gradient, in the range of the factor")
        right = ggn.gradient if rhs is None else rhs
        if prior is not None:
            right = right - ggn.matvec(prior)
        solution, history = self._in_parameter_space(ggn, right, damping)
        if damping == 0.0 and history and history[-1] > 1.0:
            raise ValueError(
                "damping must be > 0 for this rhs: with damping 0 it has a part outside the range of G, and conjugate "
                f"gradients left it after {len(history)} products (relative residual {history[-1]:.1e})"
            )
        return self._result(solution, ggn, rhs, damping, prior, history)

    @staticmethod
    def _result(
        found: Tensor,
        ggn: GGN,
        rhs: Tensor | None,
        damping: float,
        prior: Tensor | None,
        history: list[float],
    ) -> SolveResult:
        solution = found if prior is None else found + prior
        return SolveResult(solution, ggn, rhs, damping, len(history), tuple(history), prior)

    def _in_parameter_space(self, ggn: GGN, rhs: Tensor, damping: float) -> tuple[Tensor, list[float]]:
        precondition = self.preconditioner or (lambda residual: residual)
        norm = float(torch.linalg.vector_norm(rhs))
        solution = torch.zeros_like(rhs)
        history: list[float] = []
        if norm == 0.0:
            return solution, history
        residual = rhs.clone()
        preconditioned = precondition(residual)
        direction = preconditioned.clone()
        energy = float(residual @ preconditioned)
        stiffest = 0.0  # largest Rayleigh quotient met: the scale of rounding in the products
        for _ in range(self.max_iterations):
            image = ggn.matvec(direction).add_(direction, alpha=damping)
            curvature = float(direction @ image)
            length = float(direction @ direction)
            stiffest = max(stiffest, curvature / length)
            if curvature <= torch.finfo(rhs.dtype).eps * stiffest * length:
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
        return solution, history

    def _in_row_space(self, ggn: GGN, weights: Tensor, damping: float) -> tuple[Tensor, list[float]]:
        """The recurrence for x = Bᵀy, r = Bᵀρ, p = Bᵀπ: ‖r‖² = ρᵀKρ and pᵀ(G + λI)p = (Kπ)ᵀ(Kπ + λπ)."""
        solution = torch.zeros_like(weights)
        residual = weights.clone()
        image = ggn.gram_matvec(residual)  # Kρ
        energy = start = float(residual @ image)
        history: list[float] = []
        direction, direction_image = residual.clone(), image.clone()
        # a residual below rounding of the start cannot be told from zero: ρᵀKρ may even come out negative
        floor = (torch.finfo(weights.dtype).eps ** 2) * start
        for _ in range(self.max_iterations):
            if energy <= floor:
                break
            shifted = direction_image.add(direction, alpha=damping)
            alpha = energy / float(direction_image @ shifted)
            solution.add_(direction, alpha=alpha)
            residual.sub_(shifted, alpha=alpha)
            image = ggn.gram_matvec(residual)
            following = max(float(residual @ image), 0.0)
            history.append((following / start) ** 0.5)
            if history[-1] <= self.rtol:
                break
            ratio = following / energy
            direction.mul_(ratio).add_(residual)
            direction_image.mul_(ratio).add_(image)
            energy = following
        return solution, history
