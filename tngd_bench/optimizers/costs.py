"""Closed-form operation and memory counts of one iteration, for planning before anything is run.

Matrix products and factorizations as this package does them, a multiply-add as two operations, elementwise work
left out; their growth is that of Table 1 of arXiv 2405.13817 where the method is the paper's. Exact for models of
linear layers, close for convolutions; an upper bound for the simulated device in single precision from 512 rows on,
where Lanczos takes as many products as the data ask for. They predict what cannot fit; what did run is counted and
reported instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Layer = tuple[int, int, int]
"""(inputs per output position incl. the kernel, outputs, positions) of one weight layer."""

EIGENDECOMPOSITION_FLOPS = 9.0
"""Operations per n³ of a full symmetric eigendecomposition (reduction, divide and conquer, back-transform)."""

PANELS, SMALLEST_PANELLED = 4, 256
"""How a symmetric product is formed, as in `tngd_bench.curvature.ggn`, which this module may not import: torch."""
LARGEST_STRUCTURED, LARGEST_UNROLLED = 256, 32
"""Outputs per sample up to which a row per output is made, as in `tngd_bench.curvature.ggn`."""
LANCZOS_PRODUCTS = 14
"""Products of a relaxation of a few tenths of τ where no rows are made; longer ones take more."""
KFAC_FACTOR_INTERVAL, KFAC_INVERSE_INTERVAL = 10, 100


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
    shapes = layers if layers is not None else [(n, 1.0, 1.0)]
    forward = sum(2.0 * b * d_in * d_out * t for d_in, d_out, t in shapes)
    # the data need no gradient; without layers, the first one is not known
    first = 0.0 if layers is None else 2.0 * b * shapes[0][0] * shapes[0][1] * shapes[0][2]
    activations = sum(b * (d_in + d_out) * t for d_in, d_out, t in shapes)
    widths = sum(float(d_out) * t for _, d_out, t in shapes)
    gradient = 2.0 * forward + (forward - first)
    row_passes = outputs * (forward - first)
    lift = forward + 2.0 * m * widths  # Bᵀu; B v costs the same
    panelled = (PANELS + 1) / (2 * PANELS) if rows >= SMALLEST_PANELLED else 1.0
    forming_gram = sum(2.0 * b * b * d_in * t for d_in, _, t in shapes) + 2.0 * m * m * widths * panelled
    base = 4.0 * n + 2.0 * activations
    structured_memory = base + m * widths + 3.0 * m * m
    if outputs > (LARGEST_STRUCTURED if widths <= n else LARGEST_UNROLLED):
        # products by J and Jᵀ through the whole model: a backward pass, and one through the graph of another
        made = {"ngd-cg": cg_iterations + 1, "tngd": LANCZOS_PRODUCTS, "tngd-adam": LANCZOS_PRODUCTS}.get(
            name
        )
        if made is not None:
            flops = 2.0 * gradient + made * 3.0 * forward
            return PredictedCost(flops, (base + 4.0 * activations + 20.0 * n + 4.0 * m) * itemsize)
    match name:
        case "sgd":
            flops, values = gradient, base
        case "adam":
            flops, values = gradient, base + 2.0 * n
        case "kfac":
            sides = (
                [(d_in + 1.0, float(d_out), float(t)) for d_in, d_out, t in shapes]
                if layers
                else [(n**0.5, n**0.5, 1.0)]
            )
            squares = sum(a * a + g * g for a, g, _ in sides)
            cubes = sum(a**3 + g**3 for a, g, _ in sides)
            applied = sum(
                2.0 * min(b * t * (a * a + g * g) + (b * t) ** 2 * (a + g), a * g * (a + g))
                for a, g, t in sides
            )
            factors = sum(2.0 * b * t * (a * a + g * g) for a, g, t in sides)
            refresh = (factors + forward - first) / KFAC_FACTOR_INTERVAL + cubes / KFAC_INVERSE_INTERVAL
            flops, values = gradient + applied + refresh, base + 3.0 * squares
        case "ngd":
            panels = (PANELS + 1) / (2 * PANELS) if parameters >= SMALLEST_PANELLED else 1.0
            flops = gradient + row_passes + 2.0 * m * n * n * panels + n**3 / 3.0 + 2.0 * n * n
            values = base + 3.0 * n * n + m * n
        case "ngd-woodbury":
            flops = gradient + row_passes + 2.0 * m * m * n + m**3 / 3.0 + 4.0 * m * n
            values = base + m * n + m * m
        case "ngd-gram":
            flops = forward + row_passes + forming_gram + m**3 / 3.0 + 2.0 * m * m + lift
            values = structured_memory
        case "ngd-cg":
            similarity = forming_gram - 2.0 * m * m * widths * panelled
            product = (4.0 * m + 2.0 * b * b) * widths
            flops = forward + row_passes + similarity + (cg_iterations + 1) * product + lift
            values = structured_memory - 3.0 * m * m + n
        case "tngd" | "tngd-adam":
            eigen = EIGENDECOMPOSITION_FLOPS * m**3 + 6.0 * m * m
            flops = forward + row_passes + forming_gram + eigen + 2.0 * lift
            values = structured_memory + 3.0 * m * m + 4.0 * n
        case _:
            flops, values = gradient, base
    return PredictedCost(flops, values * itemsize)
