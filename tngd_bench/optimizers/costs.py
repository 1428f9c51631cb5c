"""Closed-form operation and memory counts of one iteration, for planning before anything is run.

The counts follow Table 1 of arXiv 2405.13817 with the constants filled in; a multiply-add is two operations.
They predict what cannot fit; what did run is counted exactly elsewhere and reported instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Layer = tuple[int, int, int]
"""(inputs per output position incl. the kernel, outputs, positions) of one weight layer."""

EIGENDECOMPOSITION_FLOPS = 9.0
"""Operations per n³ of a full symmetric eigendecomposition (reduction, divide and conquer, back-transform)."""


@dataclass(frozen=True)
class PredictedCost:
    """Operations (`flops`) and working memory (`bytes`, parameters included) of one iteration."""

    flops: float
    bytes: float


def predicted_cost(
    name: str,
    *,
    parameters: int,
    rows: int,
    batch_size: int,
    outputs: int,
    layers: Sequence[Layer] | None = None,
    itemsize: int = 4,
    cg_iterations: int = 200,
) -> PredictedCost:
    """Return the predicted cost of one iteration of optimizer `name`.

    `rows` is m = batch_size·outputs. `layers` (input, output, positions) sharpen the counts; without them the
    model is taken as one with every weight used once per sample.
    """
    n, m, b = float(parameters), float(rows), float(batch_size)
    if layers is None:
        forward, activations, widths = 2.0 * b * n, 0.0, 0.0
    else:
        forward = sum(2.0 * b * d_in * d_out * positions for d_in, d_out, positions in layers)
        activations = sum(b * (d_in + d_out) * positions for d_in, d_out, positions in layers)
        widths = sum(float(d_out) * positions for _, d_out, positions in layers)
    gradient = 3.0 * forward
    base = 4.0 * n + 2.0 * activations
    backward_rows = outputs * forward
    structured = forward + backward_rows + 2.0 * m * m * widths + 4.0 * b * n
    structured_memory = base + m * widths + 3.0 * m * m
    match name:
        case "sgd":
            flops, values = gradient + 2.0 * n, base
        case "adam":
            flops, values = gradient + 12.0 * n, base + 2.0 * n
        case "kfac":
            sides = _kronecker_sides(layers, n)
            squares = sum(a * a + g * g for a, g in sides)
            cubes = sum(a**3 + g**3 for a, g in sides)
            flops = gradient + 2.0 * b * squares + 0.2 * b * squares + 0.02 * cubes
            values = base + 3.0 * squares
        case "ngd":
            flops = gradient + backward_rows + 2.0 * m * n * n + n**3 / 3.0
            values = base + 2.0 * n * n + m * n
        case "ngd-woodbury":
            flops = gradient + backward_rows + 2.0 * m * m * n + m**3 / 3.0
            values = base + m * n + m * m
        case "ngd-gram":
            flops, values = structured + m**3 / 3.0, structured_memory
        case "ngd-cg":
            flops = structured - 2.0 * m * m * widths + cg_iterations * (4.0 * m + 2.0 * b * b) * widths
            values = structured_memory - 3.0 * m * m + n
        case "tngd" | "tngd-adam":
            flops = gradient + structured + EIGENDECOMPOSITION_FLOPS * m**3 + 4.0 * b * n
            values = structured_memory + 3.0 * m * m + 4.0 * n
        case _:
            flops, values = gradient, base
    return PredictedCost(flops, values * itemsize)


def _kronecker_sides(layers: Sequence[Layer] | None, parameters: float) -> list[tuple[float, float]]:
    if layers is None:
        side = parameters**0.5
        return [(side, side)]
    return [(d_in + 1.0, float(d_out)) for d_in, d_out, _ in layers]
