"""Routes of curvature computations, chosen from sizes alone and without torch, for curvature and for planning.

Products with G or K go by rows of B or through the model. Rows take a batched backward pass a column and are then read
twice a product; a product by J and Jᵀ is some four passes through the model whatever the number of columns. The
constants of `product_route` are seconds on one core of an AMD EPYC (2026-11-29), fitted to 78 places timed by both
routes (`benchmarks.routes`): perceptrons and convolutional networks, N = 3·10³ to 2·10⁶, b = 32 to 4,096, 10 to 250
columns, 8 to 30 products. In all of these, on which they were fitted, the rule names the quicker route or one within
10 % of it. At one further place, left out as mis-timed, it names one that was timed to be 2.5 times as slow as the
other. At 44 places of other sizes, timed on an Intel Xeon, it names the quicker route or one within 5 % of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tngd_bench.layers import Layer, PointwiseLayer

LARGEST_STRUCTURED = 256
"""Outputs per sample up to which r batched backward passes are cheaper than the two passes of every product."""
LARGEST_UNROLLED = 32
"""The same where layers have more output values per sample than there are parameters, as adapters in a sequence model:
a row per output then keeps more than B itself has."""
COLUMNS_AT_ONCE = 8
"""Columns of S whose rows are made at a time where all rows would be too many."""
OPERATION_S, WEIGHT_S, VALUE_S, KERNEL_S, PRODUCT_S = 5.8e-12, 2.2e-9, 5.4e-9, 9.2e-9, 5.2e-4
"""Of a product through the model: for an operation, for a weight whatever the batch, for an output of a layer, beside
that for one at several positions, and whatever the size."""
RATE = 1.45e11
"""Operations per second of large products on that core."""
PASSES = 8
"""Operations of such a product in a multiply-add of a forward pass."""
COLUMN_S, COLUMN_KERNEL_S, MAKING_S = 1.0e-11, 9.6e-10, 3.0e-9
"""Of making the rows, a column: for a multiply-add, for an output at one of several positions, for a number kept."""
READING_S, BETWEEN_S, BLOCK_S, START_S = 3.9e-10, 4.3e-12, 2.1e-7, 1.4e-4
"""Of a product by rows: for a number kept, read twice; for an operation between the readings; for a layer's block of a
sample; and whatever the size."""
EIGENDECOMPOSITION_FLOPS = 9.0
"""Operations per n³ of a full symmetric eigendecomposition (reduction, divide and conquer, back-transform)."""
EIGENDECOMPOSITION, READING = EIGENDECOMPOSITION_FLOPS / 0.7, 1.0 / 0.05
"""Cost of an m×m eigendecomposition in m³, and of an operation on rows that are read for one vector, in operations of
a matrix product. Orders of magnitude on a CPU: such products wait for memory, a twentieth of the speed."""
LANCZOS_SPACES = 2
"""Krylov spaces that a relaxation takes: the start (or the noise) and the right-hand side."""
TOLERANCE = 1e-6
"""Relative error of a Krylov space where nothing else is asked for: that of a single-precision eigendecomposition."""
SMALLEST_LANCZOS, SMALLEST_IN_DOUBLE = 320, 400
"""Rows below which the eigendecomposition of K takes less time than a Lanczos loop on it, whose products are made in
single or in double precision. In double, steps of TNGD at m = 320 took 1.0 to 1.3 times as long by Lanczos, at m = 400
0.6 to 1.0, at m = 640 0.4 to 0.6 (digits-mlp on an AMD EPYC, 2026-11-30, without and with noise)."""
LANCZOS_APPLICATIONS = 2
"""Applications after which eigenvectors, found once, are cheaper than another Krylov space."""
LANCZOS_ROOT, LANCZOS_SHARE = 0.5, 4
"""Products of a Krylov space over √(t ‖K‖), at least: over √(t λ_max) they were 0.55 to 1.1 in a training on MNIST
(m = 640, t = 50 τ, λ_max = 18 to 80). A space may have a quarter of the rows, beyond which the eigenvectors are the
quicker way."""

Layers = Sequence[Layer | PointwiseLayer]


@dataclass(frozen=True)
class Route:
    """The way a computation goes: its `name`, and the `reason` in words."""

    name: str
    reason: str


def product_route(
    layers: Layers | None, columns: int, batch_size: int, parameters: int, products: int | None = None
) -> Route:
    """Return the route of `products` products with G or K, None: any number: by "rows" of B or through the "model".

    `columns` are the rows of B per sample. Without layers a row per output is taken as too expensive where it may be.
    """
    limit = LARGEST_STRUCTURED
    if layers is None or sum(layer.values for layer in layers) > parameters:
        limit = LARGEST_UNROLLED
    if columns > limit:
        return Route("model", f"{columns} rows per sample, more than {limit}, cost more than products do")
    if layers is None or products is None:
        return Route("rows", f"{columns} rows per sample are few, at most {limit}")
    through, making, reading = _product_seconds(layers, columns, batch_size)
    name = "model" if products * through < making + products * reading else "rows"
    by_rows = making + products * reading
    return Route(
        name, f"{products} products: about {by_rows:.1e} s by rows, {products * through:.1e} s by J and Jᵀ"
    )


def _product_seconds(layers: Layers, columns: int, batch_size: int) -> tuple[float, float, float]:
    """Seconds of a product through the model, of making the rows, and of a product by them."""
    b = float(batch_size)
    operations = sum(layer.weights * layer.positions for layer in layers)
    kept = sum(layer.largest_row for layer in layers)
    repeated = sum(layer.values for layer in layers if layer.repeated)
    between = sum(
        min(layer.weights, b * layer.values / 2.0) for layer in layers if not layer.repeated
    )  # by the weight, or by the similarity of the inputs
    through = b * PASSES * OPERATION_S * operations + waiting_seconds(layers, batch_size)
    making = b * columns * (COLUMN_S * operations + COLUMN_KERNEL_S * repeated + MAKING_S * kept)
    reading = b * (2.0 * READING_S * columns * kept + 4.0 * BETWEEN_S * between + BLOCK_S * len(layers))
    return through, making, reading + START_S


def waiting_seconds(layers: Layers, batch_size: int) -> float:
    """Return the seconds of a product by J and Jᵀ beside its operations."""
    outputs, weights = sum(layer.values for layer in layers), sum(layer.weights for layer in layers)
    repeated = sum(layer.values for layer in layers if layer.repeated)
    return batch_size * (VALUE_S * outputs + KERNEL_S * repeated) + WEIGHT_S * weights + PRODUCT_S


def relaxation_route(
    rows: int,
    parameters: int,
    *,
    width: float | None = None,
    tolerance: float = TOLERANCE,
    many_rows: bool = False,
) -> Route:
    """Return the route of functions of A, as a relaxation needs them: "gram" forms K, "krylov" multiplies with it.

    `many_rows`: `product_route` names the model, and no rows are made.
    """
    if many_rows:
        return Route("krylov", f"m = {rows}: no Gram matrix where a row per output is too expensive")
    gram, krylov = relaxation_operations(rows, parameters, width, tolerance)
    name = "gram" if gram <= krylov else "krylov"
    return Route(name, f"m = {rows}: gram about {gram:.1e} flops, krylov {krylov:.1e}")


def relaxation_operations(
    rows: int, parameters: int, width: float | None, tolerance: float
) -> tuple[float, float]:
    """Cost of the gram and krylov routes for m rows and N parameters, in operations of a matrix product.

    gram: 2m²W to form K and its eigendecomposition; krylov: 12 ln(1/tolerance) products of 4mW in each space and their
    orthogonalisation. W is the `width` of a row as it is kept: the outputs of all layers together, taken as 3√N (a few
    layers of even width), or N where rows are a matrix. The b×b products of layers' inputs, which `product_route`
    counts, are left out: with them the rule named the slower route, by 1.3 to 1.5, at three places timed (m = 1,500
    at N = 10⁵ and m = 2,560 at N = 10⁶, perceptrons and a convolutional network).
    """
    m, kept = float(rows), 3.0 * math.sqrt(parameters) if width is None else width
    gram = 2.0 * m * m * kept + EIGENDECOMPOSITION * m**3
    dimension = min(m, 12.0 * math.log(1.0 / min(tolerance, 0.1)))
    krylov = LANCZOS_SPACES * (dimension * 4.0 * m * kept + 4.0 * m * dimension**2) * READING
    return gram, krylov


def gram_function_route(
    rows: int, *, single: bool, application: int = 1, stiffness: float | None = None
) -> Route:
    """Return the route of functions of a K in memory: a few products by "lanczos", or all "eigenvectors".

    `single`: what is asked of K is of single precision. `application` counts from 1. `stiffness`, where its products
    are made in double precision all the same: the Frobenius norm of K, at least its largest eigenvalue, times t or the
    time until all modes have settled.
    """
    if application > LANCZOS_APPLICATIONS:
        return Route(
            "eigenvectors", f"from application {LANCZOS_APPLICATIONS + 1} on they cost less than a space each"
        )
    smallest = SMALLEST_LANCZOS if stiffness is None else SMALLEST_IN_DOUBLE
    if rows < smallest:
        return Route("eigenvectors", f"m = {rows}, below {smallest}")
    if not single:
        return Route("eigenvectors", "double precision")
    if stiffness is not None and LANCZOS_ROOT * math.sqrt(stiffness) > rows // LANCZOS_SHARE:
        return Route("eigenvectors", f"t ‖K‖ = {stiffness:.0f} asks for more than m/{LANCZOS_SHARE} products")
    precision = "single" if stiffness is None else "double"
    return Route("lanczos", f"m = {rows}, products in {precision} precision, application {application}")


def cg_route(space: str, *, in_range: bool) -> Route:
    """Return the space of conjugate gradients: "rows" (m) where it applies, unless `space` is "parameters" (N).

    `in_range`: the right-hand side is the gradient, it lies in the range of Bᵀ, and there is no preconditioner.
    ValueError for `space` "rows" otherwise.
    """
    if in_range and space != "parameters":
        return Route("rows", "the gradient lies in the range of the factor")
    if space == "rows":
        raise ValueError("space='rows' needs rhs to be the batch gradient, in the range of the factor")
    return Route(
        "parameters", "asked for" if space == "parameters" else "rhs is not known to lie in the range"
    )
