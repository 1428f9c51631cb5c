"""The network that a prediction is for: its layers, or square ones that stand in for N parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tngd_bench import arguments
from tngd_bench.layers import Layer


@dataclass(frozen=True)
class Model:
    """The network that a prediction is for: N `parameters` in `layers`, and in words what they are.

    `from_size`: the layers are square ones that were made from N, not those of a network. `outputs`: those of a sample,
    at all of its positions, where the network has a number of its own. `batch_statistics`: it normalises by those of
    the batch in training.
    """

    parameters: int
    layers: tuple[Layer, ...]
    text: str
    from_size: bool = False
    outputs: int | None = None
    batch_statistics: bool = False


def square_model(parameters: int | None, depth: int, positions: float = 1.0) -> Model:
    """Return the stand-in for a network of N `parameters`: see `square_layers`."""
    parameters = arguments.integer("parameters", parameters, minimum=1)
    arguments.integer("depth", depth, minimum=1)
    arguments.real("positions", positions, minimum=1.0)
    layers = square_layers(parameters, depth, positions)
    widths = sorted({layer.d_out for layer in layers})
    used = sorted({layer.positions for layer in layers})
    often = "once" if used == [1] else f"{' or '.join(f'{places:,}' for places in used)} times"
    text = f"{len(layers)} square layers of width {' and '.join(f'{width:,}' for width in widths)}, "
    text += f"each weight used {often} a sample"
    return Model(parameters, layers, text, from_size=True)


def square_layers(parameters: int, depth: int, positions: float = 1.0) -> tuple[Layer, ...]:
    """Return `depth` layers of width √(N/depth), each weight used at `positions` places of a sample.

    Between two whole numbers of places the layers divide between both, so that a forward pass has the operations that
    N weights used at `positions` places take; that needs two layers or more.
    """
    fewer = math.floor(positions)
    share = positions - fewer
    if share == 0.0:
        return (_square(parameters / depth, fewer),) * depth
    if depth == 1:
        raise ValueError(
            f"positions must be a whole number with depth = 1, not {positions:g}; accepted: depth >= 2"
        )
    many = min(max(round(share * depth), 1), depth - 1)
    first = (_square(share * parameters / many, fewer + 1),) * many
    return first + (_square((1.0 - share) * parameters / (depth - many), fewer),) * (depth - many)


def _square(weights: float, positions: int) -> Layer:
    width = max(1, round(math.sqrt(weights)))
    return Layer(width, width, positions)


def positions_of(forward_flops: float, parameters: int) -> float:
    """Return at how many places of a sample N weights are used by a forward pass of so many operations a sample."""
    least = 2.0 * parameters
    if arguments.real("forward_flops", forward_flops, above=0.0) < least * (1.0 - 1e-9):
        raise ValueError(
            f"forward_flops must be >= 2N = {least:.4g}, a multiplication and an addition for each weight, not "
            f"{forward_flops:.4g}; models that use part of their weights for a sample have no prediction"
        )
    return max(1.0, forward_flops / least)
