"""Operators made of a factor or of node rates: one shared array, and nodes with unequal capacitors."""

from dataclasses import dataclass

from torch import Tensor

from tngd_bench.curvature.operator import LinearOperator, Shifted, symmetric_product


@dataclass(frozen=True)
class ExplicitFactor:
    """G = BᵀB for B (m, N)."""

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
        """The same, (N, N)."""
        return self.root_rates.unsqueeze(1) * self.shifted.dense() * self.root_rates
