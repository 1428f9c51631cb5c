"""NGD by layers: the exact Gauss-Newton direction of each layer alone, between K-FAC and NGD."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tngd_bench.curvature import GGN
from tngd_bench.curvature.rows.factor_part import FactorPart
from tngd_bench.solvers.result import SolveResult, checked, is_gradient, solve_shifted


@dataclass(frozen=True)
class Layerwise:
    """x_l = B_lᵀ (B_l B_lᵀ + λI)⁻¹ w for each layer l: the GGN without its blocks between layers.

    A layer is the parameters of one module. One Cholesky a layer: of order m from the Gram blocks whose sum is K, or of
    the layer's own order where that is smaller (layerwise Gauss-Newton: arXiv 2510.09378). Any other right-hand side
    and λ = 0 are solved as by `Gram` and `Dense`, layer by layer.
    """

    def solve(
        self, ggn: GGN, rhs: Tensor | None = None, damping: float = 0.01, prior: Tensor | None = None
    ) -> SolveResult:
        """Solve (G_l + λI) x_l = rhs_l + λ·prior_l for every layer."""
        damping = checked(ggn, rhs, damping, prior)
        weights, outside = ggn.gradient_weights if is_gradient(ggn, rhs) else (None, rhs)
        solution = ggn.parameters.zeros()
        if outside is not None and damping > 0.0:
            solution.add_(outside, alpha=1.0 / damping)  # where no layer writes: parameters without a use
        for layer in ggn.layers:
            _solve_layer(layer, weights, outside, damping, prior, solution)
        if prior is not None:
            solution = solution + prior
        return SolveResult(
            solution, ggn, rhs, damping, prior=prior, product=lambda v: layerwise_product(ggn, v)
        )


def layerwise_product(ggn: GGN, v: Tensor) -> Tensor:
    """B_lᵀ B_l v_l for every layer, (N,): the product with the block-diagonal GGN."""
    out = ggn.parameters.zeros()
    for layer in ggn.layers:
        layer.rmatvec(layer.matvec(v), out)
    return out


def _solve_layer(
    layer: FactorPart,
    weights: Tensor | None,
    outside: Tensor | None,
    damping: float,
    prior: Tensor | None,
    out: Tensor,
) -> None:
    """Write y_l of (G_l + λI) y_l = B_lᵀ(w − B_l prior) + rest into `out` (N,)."""
    if layer.width <= layer.batch_size * layer.rows_per_sample:
        _solve_small(layer, weights, outside, damping, prior, out)
        return
    gram = layer.gram()
    inside = weights
    if prior is not None:
        moved = layer.matvec(prior)
        inside = -moved if inside is None else inside - moved
    if outside is None:
        assert inside is not None
        layer.rmatvec(solve_shifted(gram, inside, damping, in_range=True), out)
        return
    image = layer.matvec(outside)
    if damping > 0.0:
        # (rest − Bᵀ (K + λI)⁻¹ B rest)/λ
        rows = -solve_shifted(gram, image, damping, in_range=False) / damping
    else:
        rows = solve_shifted(gram, image, 0.0, in_range=True, power=2)
    if inside is not None:
        rows = rows + solve_shifted(gram, inside, damping, in_range=True)
    layer.rmatvec(rows, out)
    if damping > 0.0:
        layer.put(layer.take(out) + layer.take(outside) / damping, out)


def _solve_small(
    layer: FactorPart,
    weights: Tensor | None,
    outside: Tensor | None,
    damping: float,
    prior: Tensor | None,
    out: Tensor,
) -> None:
    """The same by G_l itself, for a layer with fewer parameters than the batch has rows."""
    rows = layer.rows()
    matrix = rows.T @ rows
    right = rows.new_zeros(layer.width)
    if weights is not None:
        right = right + rows.T @ layer.column_first(weights)
    if outside is not None:
        right = right + layer.take(outside)
    if prior is not None:
        right = right - matrix @ layer.take(prior)
    layer.put(solve_shifted(matrix, right, damping, in_range=outside is None), out)
