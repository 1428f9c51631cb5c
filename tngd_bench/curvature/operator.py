"""Operators and right-hand sides of (G + λI) x = g, as solvers and the simulation of the device use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor

from tngd_bench.layers import panel_width


class Products(Protocol):
    """An operator of which nothing but its products is known."""

    def matvec(self, v: Tensor) -> Tensor:
        """G v, a new tensor."""


class LinearOperator(Products, Protocol):
    """A positive semi-definite G (N, N)."""

    @property
    def size(self) -> int:
        """N."""

    def dense(self) -> Tensor:
        """G, (N, N)."""


class FactoredOperator(LinearOperator, Protocol):
    """G = BᵀB with products of its factor B (m, N); `tngd_bench.curvature.GGN` is one."""

    @property
    def rows(self) -> int:
        """m, rows of B."""

    def factor_matvec(self, v: Tensor) -> Tensor:
        """B v."""

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """Bᵀ u."""

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K u = B Bᵀ u."""

    def gram(self) -> Tensor:
        """K = B Bᵀ, (m, m)."""


class GramOperator(FactoredOperator, Protocol):
    """One whose K is at hand."""

    def gram_diagonal(self) -> Tensor:
        """The diagonal of K, (m,)."""


def factored(operator: Products) -> FactoredOperator | None:
    """Return the operator as a factored one, None where it has no `gram_matvec`: Lanczos then works in N-space."""
    return cast(FactoredOperator, operator) if hasattr(operator, "gram_matvec") else None


def goes_through_model(operator: Products) -> bool:
    """Return whether a product takes passes through a whole model: the operator's `matrix_free`, where it has one."""
    return bool(getattr(operator, "matrix_free", False))


Operator = TypeVar("Operator", covariant=True)


@dataclass(frozen=True)
class Shifted(Generic[Operator]):
    """A = G + λI, `damping` λ ≥ 0; `operator` is G, of any kind."""

    operator: Operator
    damping: float

    def matvec(self: Shifted[Products], v: Tensor) -> Tensor:
        """A v."""
        return self.operator.matvec(v).add_(v, alpha=self.damping)

    def dense(self: Shifted[LinearOperator]) -> Tensor:
        """A, (N, N)."""
        matrix = self.operator.dense().clone()
        matrix.diagonal().add_(self.damping)
        return matrix


@dataclass(frozen=True)
class Matrix:
    """G as a dense symmetric matrix (N, N)."""

    values: Tensor

    @property
    def size(self) -> int:
        """N."""
        return len(self.values)

    def matvec(self, v: Tensor) -> Tensor:
        """G v."""
        return self.values @ v

    def dense(self) -> Tensor:
        """G itself."""
        return self.values


@dataclass(frozen=True)
class ExplicitFactor:
    """G = BᵀB for B (m, N), written out."""

    factor: Tensor

    @property
    def size(self) -> int:
        """N."""
        return self.factor.shape[1]

    @property
    def rows(self) -> int:
        """Rows m of B."""
        return self.factor.shape[0]

    @property
    def row_width(self) -> float:
        """Numbers that a row keeps: all of it."""
        return float(self.size)

    def matvec(self, v: Tensor) -> Tensor:
        """G v."""
        return self.factor.T @ (self.factor @ v)

    def factor_matvec(self, v: Tensor) -> Tensor:
        """B v."""
        return self.factor @ v

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """Bᵀ u."""
        return self.factor.T @ u

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K u."""
        return self.factor @ (self.factor.T @ u)

    def gram(self) -> Tensor:
        """K = B Bᵀ."""
        return symmetric_product(self.factor)

    def dense(self) -> Tensor:
        """G, (N, N)."""
        return symmetric_product(self.factor.T)

    def gram_diagonal(self) -> Tensor:
        """The diagonal of K, (m,)."""
        norms: Tensor = torch.linalg.vector_norm(self.factor, dim=1)
        return norms.square()


def symmetric_product(matrix: Tensor) -> Tensor:
    """M Mᵀ, (n, n): the panels below its diagonal are multiplied out, the rest is mirrored."""
    order = len(matrix)
    product, width = matrix.new_empty(order, order), panel_width(order, order)
    for first in range(0, order, width):
        last = min(first + width, order)
        panel = matrix[first:] @ matrix[first:last].T
        product[first:, first:last] = panel
        product[first:last, last:] = panel[last - first :].T
    return product


class InRange(NamedTuple):
    """g = Bᵀ w + q: `weights` w (m,), and `rest` q (N,), None where the range of Bᵀ holds the whole of g."""

    weights: Tensor
    rest: Tensor | None


@dataclass(frozen=True)
class RightHandSide:
    """g of A x = g: a `given` vector, or, for None, the gradient of the batch of `operator`.

    The gradient's forms are computed when first asked for: most methods need one of them.
    """

    operator: Any
    given: Tensor | None = None

    @classmethod
    def of(cls, operator: Any, given: Tensor | None) -> RightHandSide:
        """Return the right-hand side; the operator's own gradient is known when it is given as a vector too."""
        own = given is None or given is getattr(operator, "__dict__", {}).get("gradient")
        return cls(operator, None if own else given)

    @property
    def is_gradient(self) -> bool:
        """Whether its form in the range of Bᵀ is known."""
        return self.given is None

    @property
    def vector(self) -> Tensor:
        """g, (N,)."""
        gradient: Tensor = self.operator.gradient if self.given is None else self.given
        return gradient

    @property
    def in_range(self) -> InRange | None:
        """g by the factor; None for a given vector."""
        return InRange(*self.operator.gradient_weights) if self.given is None else None
