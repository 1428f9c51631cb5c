"""The layers of any model in the sizes that predictions take, from one call of it, on torch's meta device too."""

import math
from collections.abc import Sequence

from torch import nn

from tngd_bench.curvature.model_call import Inputs, run_model
from tngd_bench.layers import Layer
from tngd_bench.problems.outside.weight_products import WeightProducts


def traced_layers(model: nn.Module, inputs: Inputs) -> tuple[tuple[Layer, ...], int]:
    """Return the layers that `model` uses on a batch, in order, and its outputs per sample, in the mode that it is in.

    Every matrix that a product takes is a layer, at as many positions as the product has operations by torch's count;
    slices that are taken apart are layers of their own. A matrix that is not used has no positions. Parameters of
    none (norms, scales) stand together, before the last, and so do products of two values, as in attention. ValueError
    where the outputs have no sample first.
    """
    with WeightProducts(
        model.parameters()
    ) as products:  # with gradients: some differentiate inside `forward`
        outputs = run_model(model, inputs)
    if outputs.dim() == 0:
        raise ValueError("the model must return (b, …), the outputs of each sample, not a single number")
    owners = {p: module for module in model.modules() for p in module.parameters(recurse=False)}
    layers, left = _used(products, owners, len(outputs)), []
    for p, module in owners.items():
        if p.dim() > 1 and p not in products.used:
            left.append(_layer(p, module, 0))
    outside = products.tables - {p for p, *_ in products.by_weight}
    trained = sum(p.numel() for p in owners if p.requires_grad and p not in outside)
    rest = trained - sum(layer.parameters for layer in (*layers, *left))
    left += [Layer(0, rest)] if rest > 0 else []
    left += [_of_values(flops, shape, len(outputs)) for flops, shape in products.of_values if flops]
    return (*layers[:-1], *left, *layers[-1:]), math.prod(outputs.shape[1:])


def _used(products: WeightProducts, owners: dict[nn.Parameter, nn.Module], batch: int) -> list[Layer]:
    """Return the layers of the weights that products take, slices apart where they make up the whole."""
    sliced: dict[nn.Parameter, int] = {}
    for p, _, size in products.by_weight:
        sliced[p] = sliced.get(p, 0) + size
    layers: dict[object, Layer] = {}
    for part, flops in products.by_weight.items():
        p, _, size = part
        apart = sliced[p] == p.numel() and size % p[0].numel() == 0
        key, taken = (
            (part, flops) if apart else (p, sum(f for q, f in products.by_weight.items() if q[0] is p))
        )
        places = max(1, round(taken / (2.0 * batch * (size if apart else p.numel()))))
        layers.setdefault(key, _layer(p, owners[p], places, size if apart else p.numel()))
    return list(layers.values())


def _layer(p: nn.Parameter, module: nn.Module, positions: int, size: int | None = None) -> Layer:
    """Return the layer of a weight, or `size` values of it; a transposed convolution goes from places of its input."""
    d_in, rows = p[0].numel(), len(p)
    if getattr(module, "transposed", False):
        groups: int = module.groups  # type: ignore[assignment]
        return Layer(rows // groups, groups * d_in, positions, p.requires_grad, bias=False)
    bias = p in _biased(module)
    return Layer(d_in, (size or p.numel()) // d_in, positions, p.requires_grad, bias)


def _biased(module: nn.Module) -> set[nn.Parameter]:
    """Return a module's own matrices that have a trained bias: a vector of their rows, or their part of a longer one.

    A value of a vector belongs to one matrix, so that no more are counted than there are.
    """
    own = [p for p in module.parameters(recurse=False) if p.requires_grad]
    matrices = [p for p in own if p.dim() > 1]
    left = {p: p.numel() for p in own if p.dim() == 1}
    found: set[nn.Parameter] = set()
    for whole in (True, False):
        for matrix in matrices:
            rows = len(matrix)
            fitting = (
                vector
                for vector, values in left.items()
                if values >= rows and (vector.numel() == rows if whole else vector.numel() % rows == 0)
            )
            vector = None if matrix in found else next(fitting, None)
            if vector is not None:
                left[vector] -= rows
                found.add(matrix)
    return found


def _of_values(flops: float, shape: Sequence[int], batch: int) -> Layer:
    """Return the layer for a product of two values: inner size, outputs and rows of its result, of one sample."""
    values = max(1, math.prod(shape) // batch)
    rows = max(1, shape[-2]) if len(shape) > 1 else 1
    places = rows if values % rows == 0 else 1
    inner = max(1, round(flops / (2.0 * batch * values)))
    return Layer(inner, values // places, places, False, False, of_values=True)
