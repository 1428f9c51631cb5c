"""Lanczos bases of several vectors that grow together, by products with one symmetric operator."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

FIRST_DIMENSION = 16
"""Vectors for which a basis has room at first; the room doubles."""


class LanczosBases:
    """Fully reorthogonalised Lanczos bases of `vectors` (count, n), with tridiagonal matrices T.

    `passes` over the basis take out of each image what rounding has left in it. `norms` are those of the vectors;
    after each product `beta` are the new off-diagonal values, 0 where a space is exhausted, and `residuals` those of
    (T + `shift`) x = e₁ in the whole spaces, by the recurrence of the last pivot.
    """

    def __init__(self, vectors: Tensor, passes: int, shift: float) -> None:
        self.norms = torch.linalg.vector_norm(vectors, dim=1)
        self._passes, self._shift = passes, shift
        self._basis = vectors.new_empty(len(vectors), FIRST_DIMENSION, vectors.shape[1])
        scaled = torch.where(self.norms > 0, self.norms, 1.0).unsqueeze(1)
        torch.div(vectors, scaled, out=self._basis[:, 0])
        # values of all spaces at each product, on the host: they are few, and each call of torch costs more than they
        self._diagonal: list[list[float]] = []
        self._off_diagonal: list[list[float]] = []
        self._scale = [1e-30] * len(vectors)
        self._pivots = [math.inf] * len(vectors)
        self._image, self._lengths = vectors, self.norms.unsqueeze(1)
        self.beta, self.residuals = [0.0] * len(vectors), [1.0] * len(vectors)
        self._size = 0

    def grow(self, product: Callable[[Tensor], Tensor]) -> bool:
        """Make one product for each vector; return whether all spaces are exhausted."""
        if self._size:
            self._append()
        self._size += 1
        k, basis = self._size, self._basis
        newest = basis[:, k - 1]
        image = product(newest[0]).unsqueeze(0) if len(basis) == 1 else product(newest.T).T
        coefficient = (newest * image).sum(1, keepdim=True)
        # the recurrence takes the large components away, a pass over the basis what rounding left of the others
        image = torch.addcmul(image, coefficient, newest, value=-1.0)
        if k > 1:
            image.addcmul_(self._lengths, basis[:, k - 2], value=-1.0)
        space = basis[:, :k]
        for _ in range(self._passes):
            shares = torch.bmm(space, image.unsqueeze(2))
            # as rows: as columns it takes four times as long
            image.unsqueeze(1).baddbmm_(shares.mT, space, alpha=-1.0)
        self._image, self._lengths = image, torch.linalg.vector_norm(image, dim=1, keepdim=True)
        along, beta = torch.cat([coefficient, self._lengths], 1).T.tolist()
        self._note(along, beta, torch.finfo(image.dtype).eps)
        return k == basis.shape[2] or not any(self.beta)

    def _note(self, along: list[float], beta: list[float], rounding: float) -> None:
        """Keep the new values of T, and carry the residuals on."""
        for i, (a, b) in enumerate(zip(along, beta, strict=True)):
            self._scale[i] = max(self._scale[i], abs(a))
            if not b > rounding * self._scale[i]:
                beta[i] = 0.0
            self._pivots[i] = a + self._shift - self.beta[i] ** 2 / self._pivots[i]
            self.residuals[i] *= abs(beta[i] / self._pivots[i]) if self._pivots[i] else math.inf
        self._diagonal.append(along)
        self.beta = beta

    def _append(self) -> None:
        k = self._size
        if k == self._basis.shape[1]:
            self._basis = torch.cat([self._basis, torch.empty_like(self._basis)], 1)
        self._off_diagonal.append(self.beta)
        divisor = self._lengths
        if not all(self.beta):  # an exhausted space goes on with zeros, which its exact result does not see
            self._lengths = divisor.new_tensor(self.beta).unsqueeze(1)
            divisor = torch.where(self._lengths > 0, self._lengths, torch.inf)
        torch.div(self._image, divisor, out=self._basis[:, k])

    def bands(self, size: int) -> tuple[Tensor, Tensor]:
        """Diagonals (count, size) of the leading blocks of T, and off-diagonals (count, size − 1), on the CPU."""
        noted = self._diagonal[:size], self._off_diagonal[: size - 1]
        diagonal, off_diagonal = (
            torch.tensor(values, dtype=torch.float64).view(-1, len(self.beta)).T for values in noted
        )
        return diagonal, off_diagonal

    def combined(self, weights: Tensor) -> Tensor:
        """Σ of the basis vectors times `weights` (count, k), (n,)."""
        space = self._basis[:, : self._size]
        return (weights.to(space).unsqueeze(1) @ space).sum((0, 1))
