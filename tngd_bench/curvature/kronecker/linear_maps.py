"""Weights used as linear maps y = W a + c, and the inputs and output gradients of each use, for Kronecker factors.

Uses come from the calls of a layer (linear, convolution) or from the matrix products in the graph, which cover the
gates of recurrent layers, the projections of attention and any product by hand. At several positions or time steps
each is a use of its own, as in Grosse and Martens 2016 ("expand").
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from tngd_bench.curvature.capture import LayerCall
from tngd_bench.curvature.graph import AutogradGraph
from tngd_bench.curvature.rows.layer_rules import CONVOLUTIONS, convolution_windows
from tngd_bench.curvature.rows.matrix_products import product_uses
from tngd_bench.layers import preconditioning

MAP_KINDS: tuple[type[nn.Module], ...] = (nn.Linear, *CONVOLUTIONS)
VIEWS = ("ViewBackward0", "UnsafeViewBackward0")
"""What may stand between a product and the addition of its bias: the order of the rows stays."""


class RowProduct(NamedTuple):
    """A matrix gᵀa as its rows g (k, d_out) and a (k, d_in), or, with g None, the matrix a itself."""

    g: Tensor | None
    a: Tensor

    @property
    def matrix(self) -> Tensor:
        """(d_out, d_in)."""
        return self.a if self.g is None else self.g.T @ self.a


@dataclass(frozen=True)
class MapUse:
    """One use: the `edge` of y in the graph, and `rows(dtype)`, the inputs a (k, d_in [+1, ones for the bias]).

    `count` is k, `trailing` the number of dimensions of y behind its channels.
    """

    edge: GradientEdge
    rows: Callable[[torch.dtype], Tensor]
    count: int
    trailing: int = 0

    def cotangent_rows(self, cotangents: Tensor) -> Tensor:
        """Gradients of y as rows (…·k, d_out), in the order of `rows`."""
        if self.trailing:
            # held with channels first, as they come: to write them row by row takes twice as long
            return cotangents.movedim(-self.trailing - 1, 0).flatten(1).T
        return cotangents.reshape(-1, cotangents.shape[-1])


@dataclass(frozen=True)
class LinearMap:
    """A trained weight, the bias that is added wherever it is used, if any, and all its uses.

    `transposed`: the weight is held as (d_in, d_out). `samples`: b where rows are in the order of the samples. `names`:
    of the parameters in the model, as their owner gives them.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    uses: tuple[MapUse, ...]
    transposed: bool = False
    samples: int | None = None
    names: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The weight, and the bias where there is one."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def gradient_is_cheaper(self) -> bool:
        """Whether Kronecker inverses on the finished gradient take fewer operations than on the rows it is made of."""
        first = self.weight.shape[0]
        sides = self.weight.numel() // first, first
        d_in, d_out = sides[::-1] if self.transposed else sides
        count = sum(use.count for use in self.uses)
        by_rows, by_gradient = preconditioning(count, d_in + (self.bias is not None), d_out)
        return by_gradient < by_rows

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A (d_out, d_in [+1]) matrix from what has the shapes of `parameters`; a `bias` of None is zero."""
        whole = weight.T if self.transposed else weight.flatten(1)
        if self.bias is None:
            return whole
        last = whole.new_zeros(len(whole)) if bias is None else bias
        return torch.cat([whole, last.unsqueeze(1)], 1)

    def write(self, product: RowProduct, scale: float, out: Sequence[Tensor]) -> None:
        """Write `scale` times a product into tensors in the shapes of `parameters`, its rows straight into place."""
        if product.g is None or self.transposed:
            for target, piece in zip(out, self.pieces(product.matrix), strict=True):
                torch.mul(piece, scale, out=target)
            return
        g, weight = (scale * product.g).T, out[0].view(len(out[0]), -1)
        torch.mm(g, product.a[:, : weight.shape[1]], out=weight)
        if self.bias is not None:
            torch.mv(g, product.a[:, -1], out=out[1])

    def pieces(self, matrix: Tensor) -> tuple[Tensor, ...]:
        """A (d_out, d_in [+1]) matrix in the shapes of `parameters`."""
        weight = matrix if self.bias is None else matrix[:, :-1]
        weight = (weight.T if self.transposed else weight).reshape(self.weight.shape)
        return (weight,) if self.bias is None else (weight, matrix[:, -1])


def layer_map(calls: Sequence[LayerCall], batch_size: int) -> LinearMap | None:
    """Return the map of one layer from its calls, or None where it is none: grouped, or without a batch."""
    module = calls[0].module
    if isinstance(module, CONVOLUTIONS):
        trailing = len(module.kernel_size)
        if module.groups > 1 or any(call.input.dim() != trailing + 2 for call in calls):
            return None
    else:
        trailing = 0
    weight, bias = module.weight, module.bias
    assert isinstance(weight, nn.Parameter)
    uses = tuple(
        MapUse(call.edge, partial(layer_rows, call), call.output_shape.numel() // len(weight), trailing)
        for call in calls
    )
    assert bias is None or isinstance(bias, nn.Parameter)
    by_sample = all(call.input.dim() > 1 and len(call.input) == batch_size for call in calls)
    return LinearMap(weight, bias, uses, samples=batch_size if by_sample else None)


def layer_rows(call: LayerCall, dtype: torch.dtype) -> Tensor:
    """Inputs of a layer as rows (b·T, d_in), sample first, with a column of ones where it has a bias."""
    module, inputs = call.module, call.input.to(dtype)
    if not isinstance(module, CONVOLUTIONS):
        rows = inputs.reshape(-1, inputs.shape[-1])
        return rows if module.bias is None else _with_ones(rows)
    windows, dims = convolution_windows(module, inputs), len(module.kernel_size)
    features = windows.permute(1, *range(2 + dims, 2 + 2 * dims), 0, *range(2, 2 + dims))
    d_in = math.prod(features.shape[: dims + 1])
    # held with features first: to write patches row by row takes four times as long
    held = windows.new_ones(d_in + (module.bias is not None), features.numel() // d_in)
    held[:d_in].view(features.shape).copy_(features)
    return held.T


def product_maps(parameters: Sequence[nn.Parameter], graph: AutogradGraph) -> list[LinearMap]:
    """The maps of those `parameters` that the graph uses in matrix products alone, all one way round.

    A vector that is added to the product at each use of a weight, and nowhere else, is its bias.
    """
    added = {tuple(sorted(_adding(p, graph))): p for p in parameters if p.dim() == 1 and _adding(p, graph)}
    maps = []
    for weight in parameters:
        uses = product_uses(weight, graph) if weight.dim() == 2 else None
        if not uses or len({use.transposed for use in uses}) > 1:
            continue
        bias = added.get(tuple(sorted(id(use.edge.node) for use in uses)))
        found = []
        for use in uses:
            assert use.other is not None
            rows = partial(_product_rows, use.other, bias is not None)
            found.append(MapUse(use.edge, rows, len(use.other)))
        maps.append(LinearMap(weight, bias, tuple(found), transposed=not uses[0].transposed))
    return maps


def _adding(vector: nn.Parameter, graph: AutogradGraph) -> list[int]:
    """The products, as ids of their nodes, to which the vector is added; none where it is used in another way too."""
    found = []
    for node, argument in graph.users(vector):
        product: Any = node
        if node.name() == "AddBackward0" and node._saved_alpha == 1:
            product = node.next_functions[1 - argument][0]
            while (
                product is not None and product.name() in VIEWS and graph.only_consumer(product) is not None
            ):
                product = product.next_functions[0][0]
            if product is None or graph.only_consumer(product) is None:
                return []
        elif (node.name(), argument) != ("AddmmBackward0", 0) or node._saved_beta != 1:
            return []
        found.append(id(product))
    return found


def _product_rows(inputs: Tensor, biased: bool, dtype: torch.dtype) -> Tensor:
    return _with_ones(inputs.to(dtype)) if biased else inputs.to(dtype)


def _with_ones(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
