"""Operators made of a factor or of node rates: one shared array, and nodes with unequal capacitors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import lapack
from torch import Tensor
from torch.nn.functional import pad

from tngd_bench.curvature.operator import LinearOperator, Shifted, symmetric_product
from tngd_bench.spu.dynamics.gaussian import standard_normal


@dataclass(frozen=True)
class Balanced:
    """√D (G + λI) √D for node rates D = diag(rates): what D (G + λI) is in the coordinates x/√D, symmetric again."""

    shifted: Shifted[LinearOperator]
    root_rates: Tensor

    @property
    def size(self) -> int:
        """N."""
        return len(self.root_rates)

    def matvec(self, v: Tensor) -> Tensor:
        """√D (G + λI) √D v."""
        return self.root_rates * self.shifted.matvec(self.root_rates * v)

    def dense(self) -> Tensor:
        """The same, (N, N), in double: beside G a small λ is lost in single precision."""
        matrix, root = (
            self.shifted.operator.dense().to(torch.float64, copy=True),
            self.root_rates.to(torch.float64),
        )
        matrix.diagonal().add_(self.shifted.damping)
        return root.unsqueeze(1) * matrix * root


_TINY = 1e-6
"""Length, relative to that of the whole, below which what is left of a vector is rounding."""
_PIVOT = 32.0
"""Pivots of K below so many roundings of its largest are none: its own entries are not known better."""
_PANEL = 96
"""Columns of a root of K that are made at a time."""
_NEAR = 0.1
"""Pivots are taken down to this part of the largest: after smaller ones rounding of the larger would grow."""
_CANCELS = 0.1
"""Part of a squared length below which a difference of squares has lost digits, and vectors are subtracted."""


class _Outside(NamedTuple):
    """A vector orthogonal to the columns of Q, as `vector` (N,) − Q `along` (r,): Q is multiplied once, at the end."""

    vector: Tensor
    along: Tensor

    def dot(self, other: _Outside) -> float:
        """The inner product, of two of which one is orthogonal to Q."""
        return float(torch.dot(self.vector, other.vector) - torch.dot(self.along, other.along))

    def plus(self, factor: float, other: _Outside) -> _Outside:
        """The sum with `factor` times another one."""
        return _Outside(*(torch.add(a, b, alpha=factor) for a, b in zip(self, other, strict=True)))


class ErringFactor:
    """B + σE for a structured B (m, N) and E of independent standard normal numbers, of which few are drawn.

    Equal in law to the `ExplicitFactor` with all m·N cells drawn, jointly for all products with it, to the rounding of
    K = BBᵀ. Write B = L Qᵀ with r = rank B orthonormal columns of Q. E Q is a matrix Z (m, r) of independent normal
    numbers, and on the rest of the space E is T H: T (m, m) the lower triangular factor of a Wishart matrix with N − r
    degrees of freedom (Bartlett, Proc. R. Soc. Edinburgh 53, 1933), H (m, N − r) the first rows of a rotation that is
    uniformly distributed and independent of T. So

        B + σE = M [Qᵀ; H],  M = [L + σZ, σT],  K̃ = M Mᵀ.

    Of the rotation only what products ask for is drawn: it maps a new direction, from either side, to one that is
    uniform among those orthogonal to all that it has mapped before. `generator` None: torch's default one.
    """

    def __init__(self, factor: Any, error: float, generator: torch.Generator | None) -> None:
        self._factor, self._generator = factor, generator
        self.size, self.rows = int(factor.size), int(factor.rows)
        gram = factor.gram()
        lower, self._top, self._pivots = _pivoted_root(gram)
        rank = len(self._pivots)
        width = rank + self.rows
        self._held = standard_normal(self.rows * width, generator, gram).view(self.rows, width).mul_(error)
        self._held[:, :rank] += lower
        # T of the law of Wishart: below its diagonal as drawn, χ on it (Bartlett)
        rest = self._held[:, rank:].tril_(-1)
        rest.diagonal().copy_(error * _chi(self.rows, self.size - rank, generator))
        # unit vectors and their images, H's rows and axes beside
        self._known: list[tuple[_Outside, Tensor]] = []
        self._axes = 0

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the products."""
        return self._held.dtype

    @property
    def row_width(self) -> float:
        """Numbers that a row keeps."""
        return float(self._held.shape[1])

    def matvec(self, v: Tensor) -> Tensor:
        """G v."""
        return self.factor_rmatvec(self.factor_matvec(v))

    def factor_matvec(self, v: Tensor) -> Tensor:
        """(B + σE) v."""
        along = self._along(v)
        image = self._rotated(_Outside(v, along), float(torch.linalg.vector_norm(v)))
        return self._held @ torch.cat([along, image[: self.rows]])

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """(B + σE)ᵀ u."""
        weights = self._held.T @ u
        rank = len(self._pivots)
        outside = self._rotated_back(weights[rank:])
        return self._lifted(weights[:rank] - outside.along).add_(outside.vector)

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K̃ u, for u (m,) or (m, k)."""
        if u.dim() == 1:
            return self._held @ (self._held.T @ u)
        return ((u.T @ self._held) @ self._held.T).T  # by rows: several times quicker for a few vectors

    def gram_diagonal(self) -> Tensor:
        """The diagonal of K̃, (m,), without K̃."""
        norms: Tensor = torch.linalg.vector_norm(self._held, dim=1)
        return norms.square_()

    def gram(self) -> Tensor:
        """K̃, (m, m)."""
        return symmetric_product(self._held)

    def _along(self, v: Tensor) -> Tensor:
        """Qᵀ v."""
        rows: Tensor = self._factor.factor_matvec(v)[self._pivots]
        # a vector as a row: as a column it takes several times as long
        along: Tensor = torch.linalg.solve_triangular(self._top.T, rows.unsqueeze(0), upper=True, left=False)
        return along[0]

    def _lifted(self, along: Tensor) -> Tensor:
        """Q c."""
        weights = torch.linalg.solve_triangular(self._top, along.unsqueeze(0), upper=False, left=False)[0]
        at_pivots = weights.new_zeros(self.rows).index_copy_(0, self._pivots, weights)
        lifted: Tensor = self._factor.factor_rmatvec(at_pivots)
        return lifted

    def _left_of(self, part: _Outside, length: float) -> tuple[_Outside, float]:
        """What is left of a part of a vector of this `length` once the known directions are out of it, and its norm."""
        squared = part.dot(part)
        if squared < _CANCELS * length**2:
            part = _Outside(part.vector - self._lifted(part.along), torch.zeros_like(part.along))
            squared = part.dot(part)
        return part, max(squared, 0.0) ** 0.5

    def _rotated(self, rest: _Outside, length: float) -> Tensor:
        """The image of a vector orthogonal to Q, a part of one of this `length`: m values and more beside them."""
        image = rest.vector.new_zeros(self.rows + self._axes)
        for direction, known in self._known:
            share = direction.dot(rest)
            image[: len(known)] += share * known
            rest = rest.plus(-share, direction)
        rest, left = self._left_of(rest, length)
        if left > _TINY * length:
            new = self._new_image()
            self._known.append((_Outside(rest.vector / left, rest.along / left), new))
            image = pad(image, (0, len(new) - len(image))) + left * new
        return image

    def _new_image(self) -> Tensor:
        """A unit vector, uniform among those orthogonal to the images known, with an axis of its own for the rest.

        There is none once as many directions are known as the space has: the image lies among the axes then.
        """
        freedom = self.size - len(self._pivots) - self.rows - self._axes
        new = standard_normal(self.rows + self._axes, self._generator, self._held)
        if freedom > 0:
            new = torch.cat([new, _chi(1, freedom, self._generator).to(new)])
            self._axes += 1
        for _ in range(2):
            for _, known in self._known:
                new[: len(known)] -= torch.dot(new[: len(known)], known) * known
        unit: Tensor = new / torch.linalg.vector_norm(new)
        return unit

    def _rotated_back(self, weights: Tensor) -> _Outside:
        """The vector orthogonal to Q whose image has these m values and nothing beside them."""
        whole = _Outside(weights.new_zeros(self.size), weights.new_zeros(len(self._pivots)))
        left = pad(weights, (0, self._axes))
        for direction, known in self._known:
            share = float(torch.dot(left[: len(known)], known))
            whole = whole.plus(share, direction)
            left[: len(known)] -= share * known
        length = float(torch.linalg.vector_norm(left))
        if length > _TINY * float(torch.linalg.vector_norm(weights)):
            new = self._new_direction()
            self._known.append((new, left / length))
            whole = whole.plus(length, new)
        return whole

    def _new_direction(self) -> _Outside:
        """A unit vector (N,), uniform among those orthogonal to Q and to the directions known."""
        drawn = standard_normal(self.size, self._generator, self._held)
        new, length = _Outside(drawn, self._along(drawn)), float(torch.linalg.vector_norm(drawn))
        for direction, _ in self._known:
            new = new.plus(-direction.dot(new), direction)
        new, left = self._left_of(new, length)
        return _Outside(new.vector / left, new.along / left)


def _pivoted_root(gram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return L (m, r) with L Lᵀ = K, its lower triangular part (r, r), and in which r rows that is, in order.

    As many columns at a time as the small root below makes in one thread (it loses to its own threads from 256 rows
    on): the rows of which most is left, and of those the ones whose pivots are not far below the largest.
    """
    order, rank = len(gram), 0
    tolerance = _PIVOT * torch.finfo(gram.dtype).eps * float(gram.diagonal().max())
    root, left, free = torch.empty_like(gram), gram.diagonal().clone(), gram.new_ones(order)
    pivots = torch.empty(order, dtype=torch.long, device=gram.device)
    while rank < order:
        longest, rows = left.topk(min(_PANEL, order - rank))
        if not float(longest[0]) > tolerance:
            break
        held = root.index_select(0, rows)[:, :rank]
        rest = gram.index_select(0, rows).addmm_(held, root[:, :rank].T, alpha=-1.0)
        lower, taken = _pivoted_cholesky(
            rest.index_select(1, rows), max(tolerance, _NEAR * float(longest[0]))
        )
        if not len(taken):
            left[rows] = 0.0  # rounding
            continue
        now = slice(rank, rank + len(taken))
        pivots[now] = rows[taken]
        columns = torch.linalg.solve_triangular(lower, rest[taken], upper=False).mul_(free)
        left -= columns.square().sum(0)
        left[pivots[now]], free[pivots[now]] = -torch.inf, 0.0
        root[:, now] = columns.T
        root[pivots[now], now] = lower  # without rounding above its diagonal
        rank = now.stop
    return root[:, :rank], root[pivots[:rank], :rank], pivots[:rank]


def _pivoted_cholesky(matrix: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return the lower triangular root (r, r) of the rows and columns that have pivots above it, and which they are."""
    values = matrix.to("cpu", copy=True).numpy().T  # symmetric, and in the order that LAPACK overwrites
    (factorize,) = lapack.get_lapack_funcs(("pstrf",), (values,))
    factored, order, rank, _ = factorize(values, tol=tolerance, lower=1, overwrite_a=1)
    lower = torch.from_numpy(factored[:rank, :rank]).tril()
    return lower.to(matrix.device), torch.from_numpy(order[:rank].astype(np.int64) - 1).to(matrix.device)


def _chi(number: int, freedom: int, generator: torch.Generator | None) -> Tensor:
    """Return independent draws of χ with `freedom`, `freedom` − 1, … degrees of freedom, float64."""
    seed = int(
        torch.randint(
            2**62, (1,), generator=generator, device=None if generator is None else generator.device
        )
    )
    return torch.from_numpy(np.sqrt(np.random.default_rng(seed).chisquare(freedom - np.arange(number))))
