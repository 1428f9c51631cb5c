"""Rows of B, or the model itself: by which of the two a few products with G or K cost less.

Rows take a batched backward pass a column and are then read twice a product; a product by J and Jᵀ is three passes
through the model whatever the number of columns. The constants are of one core of an AMD EPYC (2026-11-28): for 22
products at b = 32 on perceptrons of N = 3·10⁵ and 2·10⁶, two convolutional networks and a language model, with 20 to
160 columns, they name the route that was measured to be the quicker one in 14 cases of 15; the other is a tie. They
are for that comparison alone, and predict no time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from tngd_bench.curvature.capture import LayerCall

OPERATIONS_PER_NUMBER = 12
"""Operations in the time that reading one number of the rows takes: a product with them waits for memory."""
COLUMN_SHARE = 0.25
"""Time of an operation in the batched passes that make the rows, in those of a product by J and Jᵀ."""
MAKING = 8
"""Readings of the rows that making them is worth."""
PRODUCT_START = 6e7
"""Operations in the time that a product by J and Jᵀ takes however small the model."""


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
    operations = sum(shape.operations for shape in shapes)
    kept = sum(shape.kept for shape in shapes)
    rows = 2 * COLUMN_SHARE * columns * operations
    rows += OPERATIONS_PER_NUMBER * columns * kept * (2 * products + MAKING)
    return products * (6 * operations + PRODUCT_START / batch_size) < rows
