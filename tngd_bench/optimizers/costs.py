"""Closed-form operation and memory counts of one iteration, for planning before anything is run.

Matrix products and factorizations as this package does them, a multiply-add as two operations, elementwise work
left out; their growth is that of Table 1 of arXiv 2405.13817 where the method is the paper's. Held against real steps
over N, b and d_z (tests/optimizers/test_cost_grid.py): to 1.5 % for models of linear layers and convolutions, to a
third for the language model, whose layers say nothing of attention and tables, to a half for adapters, whose layers do
not say which are frozen (NGD-Gram: an upper bound). The products of a relaxation depend on the data and are taken as
those of a long one. They predict what cannot fit; what did run is counted and reported instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tngd_bench import plugins
from tngd_bench.curvature.route import COLUMNS_AT_ONCE, EIGENDECOMPOSITION_FLOPS, LANCZOS_SPACES
from tngd_bench.layers import Layer, panelled, preconditioning
from tngd_bench.optimizers.array_costs import array_cost
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu.device import Device

LANCZOS_DIMENSION = 24
"""Products that each Krylov space of a relaxation takes: 16 to 32 at t = 50 τ and λ = 0.01, 8 from there on down."""
INCREMENT_PRODUCTS = 14
"""Products of a relaxation of a few tenths of τ where no rows are made, in one space; longer ones take more."""
KFAC_FACTOR_INTERVAL, KFAC_INVERSE_INTERVAL = 10, 100


@dataclass(frozen=True)
class PredictedCost:
    """Operations (`flops`) and working memory (`bytes`, parameters included) of one iteration; NaN: not known."""

    flops: float
    bytes: float

    @property
    def known(self) -> bool:
        """Whether there is a description to predict from."""
        return not (math.isnan(self.flops) or math.isnan(self.bytes))


def _sgd(it: Iteration) -> tuple[float, float]:
    return it.gradient, it.held


def _adam(it: Iteration) -> tuple[float, float]:
    return it.gradient, it.held + 2.0 * it.parameters


def _kfac(it: Iteration) -> tuple[float, float]:
    n, b = float(it.parameters), float(it.batch_size)
    sides = (
        [(d_in + 1.0, float(d_out), float(t)) for d_in, d_out, t in it.shapes]
        if it.layers
        else [(n**0.5, n**0.5, 1.0)]
    )
    squares = sum(a * a + g * g for a, g, _ in sides)
    cubes = sum(a**3 + g**3 for a, g, _ in sides)
    applied = sum(_preconditioned(b * t, a, g) for a, g, t in sides)
    factors = sum(2.0 * b * t * (a * a + g * g) for a, g, t in sides)
    backward = it.forward - it.first
    refresh = (factors + backward) / KFAC_FACTOR_INTERVAL + cubes / KFAC_INVERSE_INTERVAL
    return it.forward + backward + applied + refresh, it.held + 3.0 * squares


def _preconditioned(rows: float, a: float, g: float) -> float:
    """A layer's direction from its k `rows`, by rows or by the gradient (`KroneckerFactors.precondition`)."""
    return 2.0 * (rows * a * g + min(preconditioning(rows, a, g)))


def _dense(it: Iteration) -> tuple[float, float]:
    n, m = float(it.parameters), float(it.rows)
    forming = 2.0 * m * n * n * panelled(it.parameters)
    flops = it.gradient + it.row_passes + it.written + forming + n**3 / 3.0 + 2.0 * n * n
    return flops, it.held + 3.0 * n * n + m * n


def _woodbury(it: Iteration) -> tuple[float, float]:
    n, m = float(it.parameters), float(it.rows)
    flops = it.gradient + it.row_passes + it.written + 2.0 * m * m * n + m**3 / 3.0 + 4.0 * m * n
    return flops, it.held + m * n + m * m


def _gram(it: Iteration) -> tuple[float, float]:
    m = float(it.rows)
    flops = it.forward + it.row_passes + it.forming + m**3 / 3.0 + 2.0 * m * m + it.lift
    return flops, it.held + m * it.widths + 3.0 * m * m


def _layerwise(it: Iteration) -> tuple[float, float]:
    """One solve a layer: of order m, or of the layer's own order where it has fewer parameters than rows."""
    m = float(it.rows)
    flops, largest = it.forward + it.row_passes + it.written + it.lift, 0.0
    for layer in it.shapes:
        width = (layer.d_in + 1.0) * layer.d_out
        if width <= m:
            flops += 2.0 * m * width * width + width**3 / 3.0 + 2.0 * width * width
            largest = max(largest, m * width)
        else:
            flops += it.formed(layer) + m**3 / 3.0 + 2.0 * m * m
    if it.embedded:  # two tables, each a layer
        flops += it.tables + 2.0 * (m**3 / 3.0 + 2.0 * m * m)
    return flops, it.held + m * it.widths + 3.0 * m * m + largest


def _memory_of(name: str, it: Iteration) -> float:
    """What a memory μ adds: the product of B with the last direction, and by G where there is no push-through."""
    n, m = float(it.parameters), float(it.rows)
    if name == "ngd":
        return 2.0 * n * n
    if name == "ngd-woodbury":
        return 4.0 * m * n
    return it.product_by_model / 2.0 if it.by_model(name) else it.lift


def _cg(it: Iteration) -> tuple[float, float]:
    m, iterations = float(it.rows), it.iterations_of_cg
    inner = (4.0 * iterations + 2.0) * m  # products of two vectors
    if it.by_model("ngd-cg"):
        flops, held = _by_products(it, iterations + 1)
        return flops + inner, held
    products = (iterations + 1) * it.gram_product + it.similarity_for_products
    flops = it.forward + it.row_passes + it.written + products + it.lift
    return flops + inner, it.held + m * it.kept + it.parameters


def _thermodynamic(it: Iteration) -> tuple[float, float]:
    """The simulation of a device without programmed arrays, by the route that `spu.ou` takes."""
    m = float(it.rows)
    if it.matrix_free:
        k, n = float(INCREMENT_PRODUCTS), float(it.parameters)
        flops, held = _by_products(it, k + 1.0)
        return flops + 4.0 * n * k * k + 2.0 * n * k, held + n * k  # orthogonalised twice
    passes = it.forward + it.row_passes + 2.0 * it.lift
    if it.forms_gram:
        held = it.held + m * it.widths + 6.0 * m * m + 4.0 * it.parameters
        return passes + it.forming + _functions_of_gram(it), held
    k = float(min(LANCZOS_DIMENSION, it.rows))
    made = it.written + LANCZOS_SPACES * k * it.gram_product + it.similarity_for_products
    held = it.held + m * (it.kept + LANCZOS_SPACES * k) + 4.0 * it.parameters
    return passes + made + _orthogonalised(it), held


def _on_arrays(it: Iteration, device: Device, ensemble: int) -> tuple[float, float]:
    """The simulation of a device whose imperfections act on single cells: B is formed, programmed, and then used."""
    made = it.gradient + it.row_passes + it.written
    arrays = array_cost(it, device, ensemble)
    # the right-hand side as the converters give it has no weights in rows: eigenvectors, whatever m
    functions = _by_eigenvectors(float(it.rows)) if arrays.spectral else 0.0
    return made + arrays.flops + functions, it.held + float(it.rows) * it.widths + arrays.held


def _functions_of_gram(it: Iteration) -> float:
    """Functions of a K in memory, by its eigenvectors or by Lanczos."""
    m = float(it.rows)
    if it.takes_eigenvectors:
        return _by_eigenvectors(m)
    return LANCZOS_SPACES * min(LANCZOS_DIMENSION, it.rows) * 2.0 * m * m + _orthogonalised(it)


def _by_eigenvectors(m: float) -> float:
    return EIGENDECOMPOSITION_FLOPS * m**3 + 6.0 * m * m


def _orthogonalised(it: Iteration) -> float:
    """The vectors of Krylov spaces in rows, each against those before it, and their sum."""
    m, k = float(it.rows), float(min(LANCZOS_DIMENSION, it.rows))
    return LANCZOS_SPACES * (2.0 * m * k * k + 2.0 * m * k)


def _by_products(it: Iteration, products: float) -> tuple[float, float]:
    """Products by J and Jᵀ: the graph of a backward pass, what asks for products, and a backward pass at the end."""
    flops = it.forward + 2.0 * it.backward + products * it.product_by_model
    return flops, it.held + 4.0 * it.activations + 20.0 * it.parameters + 4.0 * it.rows


def host_cost(
    *,
    parameters: int,
    rows: int,
    batch_size: int,
    outputs: int,
    layers: Sequence[Layer] | None = None,
    upload: str = "full",
    itemsize: int = 4,
) -> PredictedCost:
    """Return what the host of a device computes in one iteration: loss, gradient, the passes that make the rows of J.

    With a full upload the m·N values of J too, a multiplication each; they are streamed, and no more of them are held
    than the layers' inputs and output gradients that they are made from.
    """
    it = Iteration(parameters, rows, batch_size, outputs, layers, CGIterations())
    whole = float(rows) * parameters if upload == "full" else 0.0
    columns = min(outputs, COLUMNS_AT_ONCE) if it.matrix_free else outputs
    part = Iteration(parameters, batch_size * columns, batch_size, columns, layers, CGIterations())
    written = part.written * outputs / columns
    values = it.held + batch_size * columns * part.kept
    return PredictedCost(it.gradient + it.row_passes + written + whole, values * itemsize)


_COUNTS: dict[str, Callable[[Iteration], tuple[float, float]]] = {
    "sgd": _sgd,
    "adam": _adam,
    "kfac": _kfac,
    "ngd": _dense,
    "ngd-woodbury": _woodbury,
    "ngd-gram": _gram,
    "ngd-cg": _cg,
    "ngd-layer": _layerwise,
    "tngd": _thermodynamic,
    "tngd-adam": _thermodynamic,
}


def predicted_cost(
    name: str,
    *,
    parameters: int,
    rows: int,
    batch_size: int,
    outputs: int,
    layers: Sequence[Layer] | None = None,
    itemsize: int = 4,
    cg: CGIterations | None = None,
    device: Device | None = None,
    ensemble: int = 1,
    memory: bool = False,
) -> PredictedCost:
    """Return the predicted cost of one iteration of optimizer `name`; NaN for one without a description.

    `rows` is m = batch_size·outputs. `layers` (input, output, positions) sharpen the counts; without them the
    model is taken as one with every weight used once per sample. `cg`: how conjugate gradients are stopped, and what
    is known of their iterations; None: the optimizer's defaults. `device`: what a thermodynamic optimizer
    simulates, programmed `ensemble` times; None: one without imperfections. `memory`: whether exact natural gradient
    descent keeps its last direction.
    """
    if name not in _COUNTS:
        flops, values = _outside(name, parameters, rows, batch_size, outputs, layers)
        return PredictedCost(flops, values * itemsize)
    solved = cg or CGIterations()
    iteration = Iteration(parameters, rows, batch_size, outputs, layers, solved, double=itemsize > 4)
    if device is not None and device.needs_arrays and _COUNTS[name] is _thermodynamic:
        flops, values = _on_arrays(iteration, device, ensemble)
        return PredictedCost(ensemble * flops, values * itemsize)
    flops, values = _COUNTS[name](iteration)
    if memory:
        flops, values = flops + _memory_of(name, iteration), values + 2.0 * parameters
    return PredictedCost(flops, values * itemsize)


def _outside(
    name: str, parameters: int, rows: int, batch_size: int, outputs: int, layers: Sequence[Layer] | None
) -> tuple[float, float]:
    """Return what the entry of an outside optimizer says of its cost; NaN where it says nothing."""
    from tngd_bench.optimizers import registry

    described = registry.get(name).cost if name in registry.names() else None
    if described is None:
        return math.nan, math.nan
    try:
        found = described(
            parameters=parameters, rows=rows, batch_size=batch_size, outputs=outputs, layers=layers
        )
        flops, values = map(float, found)
        if not (0 <= flops < math.inf and 0 <= values < math.inf):
            raise ValueError(f"{found!r} are not two finite numbers of 0 or more")
    except Exception as error:  # whatever outside code does
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        plugins.complain(
            f"the cost of the optimizer {name!r} is taken as unknown; its description fails ({said})"
        )
        return math.nan, math.nan
    return flops, values
