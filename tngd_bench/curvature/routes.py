"""What the rules of `route_rules` need to know of a model's layers, from one recorded forward pass."""

from __future__ import annotations

import math

from torch import Tensor, nn

from tngd_bench.curvature.capture import LayerCall
from tngd_bench.curvature.route_rules import LayerShape


def layer_shape(call: LayerCall) -> LayerShape:
    """Return the shape of a call; a weight used at many positions keeps its rows written out, at most."""
    module, values = call.module, math.prod(call.output_shape[1:])
    if isinstance(module, nn.Embedding):
        return LayerShape(0.0, values, values)
    parameter = module.weight
    assert isinstance(parameter, Tensor)
    weight = parameter.numel()
    if not isinstance(module, nn.Linear) and parameter.dim() < 3:
        return LayerShape(0.0, values, 2 * weight)  # a normalisation
    channels = parameter.shape[0]
    positions = values // channels
    kept = channels if positions == 1 else weight + channels
    return LayerShape(weight, values, kept, positions)
