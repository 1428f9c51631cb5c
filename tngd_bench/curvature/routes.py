"""What the rules of `route_rules` need to know of a model's layers, from one recorded forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from tngd_bench.curvature import route_rules
from tngd_bench.curvature.capture import LayerCall


@dataclass(frozen=True)
class LayerShape:
    """Of one use of a layer, for one sample: multiply-adds of its forward pass, numbers that one of its rows keeps."""

    operations: int
    kept: int


def layer_shape(call: LayerCall) -> LayerShape:
    """Return the shape of a call; a weight used at many positions keeps its rows written out, at most."""
    module, values = call.module, math.prod(call.output_shape[1:])
    if isinstance(module, nn.Embedding):
        return LayerShape(0, values)
    parameter = module.weight
    assert isinstance(parameter, Tensor)
    weight = parameter.numel()
    if not isinstance(module, nn.Linear) and parameter.dim() < 3:
        return LayerShape(0, 2 * weight)  # a normalisation
    channels = parameter.shape[0]
    positions = values // channels
    return LayerShape(weight * positions, channels if positions == 1 else weight + channels)


def model_is_cheaper(layers: Iterable[LayerShape], columns: int, batch_size: int, products: int) -> bool:
    """Whether `products` products cost less by J and Jᵀ than by making `columns` rows a sample and reading them."""
    shapes = tuple(layers)
    operations, kept = sum(shape.operations for shape in shapes), sum(shape.kept for shape in shapes)
    return route_rules.model_is_cheaper(operations, kept, columns, batch_size, products)
