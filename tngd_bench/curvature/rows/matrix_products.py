"""Rows of a parameter from the matrix products that use it anywhere in the graph.

A weight matrix used as Y = X W at a node of the graph has, for the cotangent g of Y, the gradient Xᵀ g: a sample's row
is x_n ⊗ g_n, summed over the uses. That covers products by `functional.linear`, tied weights and the derivatives by
the inputs inside a forward pass (physics-informed networks, forces of an energy), whose graph uses a weight several
times behind one transpose. Rules assume samples along the first dimension; `verification.py` checks.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from tngd_bench.curvature.capture import dense
from tngd_bench.curvature.graph import AutogradGraph, Use

TRANSPOSES = ("TBackward0", "TransposeBackward0")


@dataclass(frozen=True)
class ProductUse:
    """One use of a parameter: where its cotangent g (b, p) is taken, and the other operand X (b, k).

    `transposed`: the product is X Wᵀ, so a row is g ⊗ x, not x ⊗ g. X None: a bias, whose row is g itself. `values` is
    the size of one cotangent.
    """

    edge: GradientEdge
    other: Tensor | None
    transposed: bool
    values: int

    def rows(self, cotangents: Tensor) -> Tensor:
        """Rows (r·b, size) from cotangents (r, b, p)."""
        if self.other is None:
            return cotangents.flatten(0, 1)
        g, x = cotangents, self.other.to(cotangents.dtype)
        outer = g.unsqueeze(3) * x[:, None, :] if self.transposed else x[:, :, None] * g.unsqueeze(2)
        return outer.reshape(g.shape[0] * g.shape[1], -1)


def product_uses(
    parameter: nn.Parameter, graph: AutogradGraph, batch_size: int | None = None
) -> list[ProductUse] | None:
    """Return all uses of a parameter in the graph, or None where one of them is not a product of this kind.

    With a `batch_size` b every product must have b rows.
    """
    found: list[ProductUse] = []
    pending: list[tuple[Use, bool]] = [(use, False) for use in graph.users(parameter)]
    while pending:
        (node, argument), transposed = pending.pop()
        if parameter.dim() == 2 and _is_transpose(node):
            pending += [(use, not transposed) for use in graph.consumers(node)]
            continue
        use = _use(node, argument, transposed, parameter, batch_size)
        if use is None:
            return None
        found.append(use)
    return found or None


def _is_transpose(node: Any) -> bool:
    """Whether an operation on a matrix transposes it; `x @ w.T` is recorded as a permutation to (1, 0) or (−1, −2)."""
    return node.name() in TRANSPOSES or (node.name() == "PermuteBackward0" and node._saved_dims[0] % 2 == 1)


def _use(
    node: Any, argument: int, transposed: bool, parameter: nn.Parameter, batch_size: int | None
) -> ProductUse | None:
    kind = (node.name(), argument, parameter.dim())
    if kind not in _OPERANDS or any(getattr(node, key, 1) != 1 for key in ("_saved_alpha", "_saved_beta")):
        return None
    saved = _OPERANDS[kind]
    other: Tensor | None = None if saved is None else dense(getattr(node, saved).detach())
    rows = node._saved_mat1_sym_sizes[0] if other is None else other.shape[0]
    if batch_size is not None and rows != batch_size:
        return None
    width = parameter.shape[0] if other is None or transposed else parameter.shape[1]
    return ProductUse(GradientEdge(node, 0), other, transposed, rows * width)


_OPERANDS: dict[tuple[str, int, int], str | None] = {
    ("AddmmBackward0", 0, 1): None,
    ("AddmmBackward0", 2, 2): "_saved_mat1",
    ("MmBackward0", 1, 2): "_saved_self",
}
"""By operation, argument and the parameter's dimensions: where the operand X lies; None for a bias."""
