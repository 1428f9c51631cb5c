"""Matrix-free functions of A by Lanczos on GGN products, for m too large for a Gram matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tngd_bench.spu.spectral import SpectralFunction
from tngd_bench.spu.transitions import Term


class KrylovTransition:
    """f(A) v ≈ ‖v‖ V_k f(T_k) e₁ with a fully reorthogonalised Lanczos basis (Saad 1992).

    A basis grows until two things hold. The result changed by less than `tolerance`, relative to it, in each of the
    last two steps; and (A + I/t) x = v, whose answer has the same scale of variation as f(A) v, is solved in the basis
    to a relative residual below `tolerance`: without the second, a slow mode that no Ritz value has come near
    yet would go unnoticed. `RuntimeError` when `max_dimension` comes first. `products` counts the products made.
    """

    def __init__(
        self,
        matvec: Callable[[Tensor], Tensor],
        damping: float,
        *,
        tolerance: float = 1e-6,
        max_dimension: int = 300,
    ) -> None:
        self._matvec = matvec
        self._damping = damping
        self._tolerance = tolerance
        self._max_dimension = max_dimension
        self.products = 0

    def apply(self, terms: Sequence[Term], in_range: Sequence[Term] = ()) -> Tensor:
        """Σ f(A) v, one Krylov space per vector."""
        if in_range:
            raise TypeError("a Krylov transition takes vectors, not weights of the factor")
        results = [self._single(function, vector) for function, vector in terms]
        return torch.stack(results).sum(0) if len(results) > 1 else results[0]

    def _single(self, function: SpectralFunction, vector: Tensor) -> Tensor:
        norm = float(torch.linalg.vector_norm(vector))
        if norm == 0.0:
            return torch.zeros_like(vector)
        basis = [vector / norm]
        diagonal: list[float] = []
        off_diagonal: list[float] = []
        previous: Tensor | None = None
        settled = 0
        while True:
            image = self._matvec(basis[-1]).add_(basis[-1], alpha=self._damping)
            self.products += 1
            diagonal.append(float(basis[-1] @ image))
            space = torch.stack(basis)
            for _ in range(2):  # twice is enough (Kahan, Parlett)
                image = image - space.T @ (space @ image)
            beta = float(torch.linalg.vector_norm(image))
            coefficients = self._coefficients(function, diagonal, off_diagonal)
            if previous is not None:
                change = coefficients.clone()
                change[: len(previous)] -= previous
                small = torch.linalg.vector_norm(change) <= self._tolerance * torch.linalg.vector_norm(
                    coefficients
                )
                settled = settled + 1 if bool(small) else 0
            scale = max(abs(value) for value in diagonal)
            exhausted = beta <= torch.finfo(vector.dtype).eps * max(scale, 1e-30) or len(basis) == len(vector)
            if exhausted or (settled >= 2 and self._solved(function.t, diagonal, off_diagonal, beta)):
                return norm * (space.T @ coefficients.to(vector.dtype))
            if len(basis) >= self._max_dimension:
                raise RuntimeError(
                    f"Lanczos did not reach the tolerance {self._tolerance:g} in {self._max_dimension} products: "
                    "raise max_dimension, or use method='gram'"
                )
            previous = coefficients
            off_diagonal.append(beta)
            basis.append(image / beta)

    def _solved(self, t: float, diagonal: list[float], off_diagonal: list[float], beta: float) -> bool:
        """Whether the residual β_k |e_kᵀ (T_k + I/t)⁻¹ e₁| of the shifted system is below the tolerance."""
        shifted = _tridiagonal(diagonal, off_diagonal)
        shifted.diagonal().add_(1.0 / t)
        unit = torch.zeros(len(diagonal), dtype=torch.float64)
        unit[0] = 1.0
        return beta * abs(float(torch.linalg.solve(shifted, unit)[-1])) <= self._tolerance

    @staticmethod
    def _coefficients(function: SpectralFunction, diagonal: list[float], off_diagonal: list[float]) -> Tensor:
        values, vectors = torch.linalg.eigh(_tridiagonal(diagonal, off_diagonal))
        coefficients: Tensor = vectors @ (function(values.clamp_min(0.0)) * vectors[0])
        return coefficients


def _tridiagonal(diagonal: list[float], off_diagonal: list[float]) -> Tensor:
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if off_diagonal:
        band = torch.tensor(off_diagonal[: len(diagonal) - 1], dtype=torch.float64)
        matrix += torch.diag(band, 1) + torch.diag(band, -1)
    return matrix
