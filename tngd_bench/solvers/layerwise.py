"""NGD by layers: the exact Gauss-Newton direction of each layer alone, between K-FAC and NGD."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tngd_bench.curvature import GGN
from tngd_bench.curvature.operator import Shifted
from tngd_bench.curvature.rows.factor_part import FactorPart
from tngd_bench.solvers.system import LinearSystem, Solver, SolveResult, solve_shifted


@dataclass(frozen=True)
class LayerBlocks:
    """The GGN without its blocks between layers."""

    ggn: GGN

    def matvec(self, v: Tensor) -> Tensor:
        """B_lᵀ B_l v_l for every layer, (N,)."""
        out = self.ggn.blank()[0]
        for layer in self.ggn.layers:
            layer.rmatvec(layer.matvec(v), out)
        return out


@dataclass(frozen=True)
class Layerwise(Solver):
    """x_l = B_lᵀ (B_l B_lᵀ + λI)⁻¹ w for each layer l: the GGN without its blocks between layers.

    A layer is the parameters of one module. One Cholesky a layer: of order m from the Gram blocks whose sum is K, or of
    the layer's own order where that is smaller (layerwise Gauss-Newton: arXiv 2510.09378). Any other right-hand side
    and λ = 0 are solved as by `Gram` and `Dense`, layer by layer.
    """

    def _solve(self, system: LinearSystem) -> SolveResult:
        ggn, damping = system.ggn, system.damping
        system = replace(system, operator=Shifted(LayerBlocks(ggn), damping))
        weights, rest = system.rhs.in_range or (None, system.rhs.vector)
        if weights is not None:
            weights = ggn.column_first(weights)
        solution = ggn.blank()[0]
        if rest is not None and damping > 0.0:
            torch.div(rest, damping, out=solution)  # where no layer writes: parameters without a use
        for layer in ggn.layers:
            _LayerSystem(layer, weights, rest, system).solve(solution)
        return system.solved(solution)


@dataclass(frozen=True)
class _LayerSystem:
    """(G_l + λI) y_l = B_lᵀ w + q_l − μ G_l p_l of one layer; `weights` w and `rest` q are not both None."""

    layer: FactorPart
    weights: Tensor | None
    rest: Tensor | None
    system: LinearSystem

    def solve(self, out: Tensor) -> None:
        """Write y_l into its places of `out` (N,)."""
        layer, damping, prior = self.layer, self.system.damping, self.system.prior
        if layer.width <= layer.batch_size * layer.rows_per_sample:
            layer.put(self._by_parameters(), out)
            return
        gram, inside = Shifted(layer.gram(mirrored=False), damping), self.weights
        if prior is not None:
            moved = layer.matvec(prior).mul_(-self.system.memory)
            inside = moved if inside is None else moved.add_(inside)
        if self.rest is None:
            assert inside is not None
            layer.rmatvec(solve_shifted(gram, inside, in_range=True), out)
            return
        image = layer.matvec(self.rest)
        if damping > 0.0:
            # (rest − Bᵀ (K + λI)⁻¹ B rest)/λ
            rows = -solve_shifted(gram, image, in_range=False) / damping
        else:
            rows = solve_shifted(gram, image, in_range=True, power=2)
        if inside is not None:
            rows = rows + solve_shifted(gram, inside, in_range=True)
        layer.rmatvec(rows, out)
        if damping > 0.0:
            layer.put(layer.take(out) + layer.take(self.rest) / damping, out)

    def _by_parameters(self) -> Tensor:
        """y_l by G_l itself, for a layer with fewer parameters than the batch has rows."""
        layer, rows = self.layer, self.layer.rows()
        matrix, right = rows.T @ rows, rows.new_zeros(layer.width)
        if self.weights is not None:
            right = right + rows.T @ self.weights
        if self.rest is not None:
            right = right + layer.take(self.rest)
        if self.system.prior is not None:
            right = right - matrix @ (self.system.memory * layer.take(self.system.prior))
        return solve_shifted(Shifted(matrix, self.system.damping), right, in_range=self.rest is None)
