"""NGD-CG: conjugate gradients on GGN products (Table 1 of arXiv 2405.13817)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tngd_bench import arguments
from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import Shifted
from tngd_bench.curvature.route import cg_route
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.solvers.system import LinearSystem, Solver, SolveResult

SPACES = ("auto", "rows", "parameters")
ROUNDINGS = 64.0
"""Part of an inner product, in roundings of its largest possible value, that is taken for none."""


class NoAnswerError(RuntimeError):
    """The preconditioner answers a residual with zero, which gives no direction to go on in."""

    def __init__(self, products: int) -> None:
        super().__init__(
            f"the preconditioner answers a residual with zero after {products} products, as a device does whose "
            "readout is below the least level of its converters"
        )


@dataclass(frozen=True)
class CG(Solver):
    """Conjugate gradients from x = 0 until ‖r‖ ≤ rtol·‖rhs‖ or `max_iterations` products (Hestenes, Stiefel 1952).

    Parameters
    ----------
    max_iterations : int
        Most products.
    rtol : float
        Relative residual to stop at.
    preconditioner : callable, optional
        Maps a residual (N,) to an approximation of (G + λI)⁻¹ r; a fixed symmetric positive definite matrix, or
        `flexible` must be set.
    space : str
        For the batch gradient g = Bᵀw every iterate is x = Bᵀy, so the same recurrence runs on vectors of m rows with
        one product by K = BBᵀ a step, and N appears once, at the end: "rows". "parameters" is the paper's form, one
        product by G and vectors of length N. "auto" takes rows wherever it applies: the right-hand side is the
        gradient, it lies in the range of Bᵀ, and there is no preconditioner.
    flexible : bool
        Each direction is made conjugate to the last by zᵀ(r − r₋), which holds whatever made z (Golub and Ye 1999;
        Notay 2000, FCG(1)), at a product of two vectors and one more of them. Where z is orthogonal to r, as the last
        direction again would be, r takes its place, so that the iterations go on.

    Notes
    -----
    λ = 0 converges to the minimum-norm solution for a rhs in the range of G, and raises ValueError otherwise. With a
    prior p the iterations start there. `.history` of a result holds the residual after each product, relative to the
    one of p, rhs − G p.
    """

    max_iterations: int = 200
    rtol: float = 1e-6
    preconditioner: Callable[[Tensor], Tensor] | None = None
    space: str = "auto"
    flexible: bool = False

    def __post_init__(self) -> None:
        arguments.integer("max_iterations", self.max_iterations, minimum=1)
        arguments.real("rtol", self.rtol, minimum=0.0, below=1.0)
        arguments.choice("space", self.space, SPACES)
        if self.space == "rows" and self.preconditioner is not None:
            raise ValueError("preconditioner must be None with space='rows': it acts on vectors of length N")

    def _solve(self, system: LinearSystem) -> SolveResult:
        ggn, damping = system.ggn, system.damping
        likely = CGIterations(damping, self.rtol, self.max_iterations).beforehand(ggn.rows_per_sample)
        # the start's, the one that lifts the solution, and the prior's
        ggn.expect_products(round(likely) + 2 + (system.prior is not None))
        rows_apply = self.space != "parameters" and self.preconditioner is None
        found = system.rhs.in_range if rows_apply else None
        route = cg_route(self.space, in_range=found is not None and found.rest is None)
        if route.name == "rows":
            moved = system.moved_weights()
            assert moved is not None
            rows, history = self._in_row_space(system.operator, moved.weights)
            return system.solved(ggn.factor_rmatvec(rows), tuple(history))
        solution, history = self._in_parameter_space(system.operator, system.moved_rhs())
        if damping == 0.0 and history and history[-1] > 1.0:
            raise ValueError(
                "damping must be > 0 for this rhs: with damping 0 it has a part outside the range of G, and conjugate "
                f"gradients left it after {len(history)} products (relative residual {history[-1]:.1e})"
            )
        return system.solved(solution, tuple(history))

    def _in_parameter_space(self, operator: Shifted[GGN], rhs: Tensor) -> tuple[Tensor, list[float]]:
        ggn, damping = operator.operator, operator.damping
        precondition = self.preconditioner or (lambda residual: residual)
        norm = float(torch.linalg.vector_norm(rhs))
        solution = torch.zeros_like(rhs)
        history: list[float] = []
        if norm == 0.0:
            return solution, history
        residual = rhs.clone()
        preconditioned, energy = _answered(precondition, residual, 0)
        direction = preconditioned.clone()
        stiffest = 0.0  # largest Rayleigh quotient met: the scale of rounding in the products
        for _ in range(self.max_iterations):
            rows = ggn.factor_matvec(direction)
            length = float(direction @ direction)
            if length == 0.0:
                break  # squares of what is left are below the least number
            curvature = float(rows @ rows) + damping * length
            stiffest = max(stiffest, curvature / length)
            if curvature <= torch.finfo(rhs.dtype).eps * stiffest * length:
                break  # the rest of rhs lies outside the range of G + λI: no step along it solves anything
            alpha = energy / curvature
            solution.add_(direction, alpha=alpha)
            last = residual.clone() if self.flexible else None
            residual.sub_(ggn.factor_rmatvec(rows), alpha=alpha).sub_(direction, alpha=alpha * damping)
            squared = float(residual @ residual)
            history.append(squared**0.5 / norm)
            if history[-1] <= self.rtol or len(history) == self.max_iterations:
                break  # before an answer of the preconditioner that nothing would use
            preconditioned, following = _answered(precondition, residual, len(history))
            kept = 0.0 if last is None else float(last @ preconditioned)
            torch.add(preconditioned, direction, alpha=(following - kept) / energy, out=direction)
            energy = following
        return solution, history

    def _in_row_space(self, operator: Shifted[GGN], weights: Tensor) -> tuple[Tensor, list[float]]:
        """The recurrence for x = Bᵀy, r = Bᵀρ, p = Bᵀπ: ‖r‖² = ρᵀKρ and pᵀ(G + λI)p = (Kπ)ᵀ(Kπ + λπ)."""
        ggn, damping = operator.operator, operator.damping
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


def _answered(
    precondition: Callable[[Tensor], Tensor], residual: Tensor, products: int
) -> tuple[Tensor, float]:
    """Return z for a residual r, and rᵀz; r itself for an answer that is orthogonal to it, as the last direction is."""
    answer = precondition(residual)
    energy = float(residual @ answer)
    if answer is residual:
        return answer, energy
    if not bool(answer.any()):
        raise NoAnswerError(products)
    length = float(torch.linalg.vector_norm(residual))
    largest = length * float(torch.linalg.vector_norm(answer))
    if abs(energy) <= ROUNDINGS * torch.finfo(residual.dtype).eps * largest:
        return residual, length**2
    return answer, energy
