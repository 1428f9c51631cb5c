"""Lanczos bases of several vectors that grow together, by products with one symmetric operator."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

FIRST_DIMENSION = 16
"""Vectors for which a basis has room at first; the room doubles."""


class LanczosBases:
    """Fully reorthogonalised Lanczos bases of `vectors` (count, n), up to `largest` products each.

    `passes` over the basis take out of each image what rounding has left in it. `norms` are those of the vectors;
    after each product `beta` is the new off-diagonal value, 0 where a space is exhausted.
    """

    def __init__(self, vectors: Tensor, largest: int, passes: int) -> None:
        self.norms = torch.linalg.vector_norm(vectors, dim=1)
        self._passes = passes
        self._basis = vectors.new_empty(len(vectors), FIRST_DIMENSION, vectors.shape[1])
        scaled = torch.where(self.norms > 0, self.norms, 1.0).unsqueeze(1)
        torch.div(vectors, scaled, out=self._basis[:, 0])
        # column k of the band: the diagonal of T, and the off-diagonal
        self._diagonal = self.norms.new_zeros(len(vectors), largest)
        self._off_diagonal = torch.zeros_like(self._diagonal)
        self._scale = self.norms.new_full((len(vectors),), 1e-30)
        self._image = vectors
        self.beta = self.norms
        self._size = 0

    def grow(self, product: Callable[[Tensor], Tensor]) -> bool:
        """Make one product for each vector; return whether all spaces are exhausted."""
        if self._size:
            self._append()
        self._size += 1
        k, basis = self._size, self._basis
        newest = basis[:, k - 1]
        image = product(newest[0]).unsqueeze(0) if len(basis) == 1 else product(newest.T).T
        along = (newest * image).sum(1)
        self._diagonal[:, k - 1] = along
        # the recurrence takes the large components away, a pass over the basis what rounding left of the others
        image = torch.addcmul(image, along.unsqueeze(1), newest, value=-1.0)
        if k > 1:
            image.addcmul_(self._off_diagonal[:, k - 2, None], basis[:, k - 2], value=-1.0)
        space, column = basis[:, :k], image.unsqueeze(2)
        for _ in range(self._passes):
            column.baddbmm_(space.mT, torch.bmm(space, column), alpha=-1.0)
        beta = torch.linalg.vector_norm(image, dim=1)
        self._scale = torch.maximum(self._scale, along.abs())
        alive = beta > torch.finfo(beta.dtype).eps * self._scale
        self._image, self.beta = image, torch.where(alive, beta, 0.0)
        return k == basis.shape[2] or not bool(alive.any())

    def _append(self) -> None:
        k = self._size
        if k == self._basis.shape[1]:
            self._basis = torch.cat([self._basis, torch.empty_like(self._basis)], 1)
        self._off_diagonal[:, k - 1] = self.beta
        # an exhausted space goes on with zeros, which its exact result does not see
        divisor = torch.where(self.beta > 0, self.beta, math.inf).unsqueeze(1)
        torch.div(self._image, divisor, out=self._basis[:, k])

    def bands(self) -> tuple[Tensor, Tensor]:
        """Diagonals (count, k) of the tridiagonal matrices, and off-diagonals (count, k − 1)."""
        return self._diagonal[:, : self._size], self._off_diagonal[:, : self._size - 1]

    def combined(self, weights: Tensor) -> Tensor:
        """Σ of the basis vectors times `weights` (count, k), (n,)."""
        space = self._basis[:, : self._size]
        return (weights.to(space).unsqueeze(1) @ space).sum((0, 1))
