"""Closed-form operation and memory counts of one iteration, for planning before anything is run.

Matrix products and factorizations as this package does them, a multiply-add as two operations, elementwise work
left out; their growth is that of Table 1 of arXiv 2405.13817 where the method is the paper's. Exact for models of
linear layers and convolutions; an upper bound for the simulated device in single precision from 512 rows on,
where Lanczos takes as many products as the data ask for. They predict what cannot fit; what did run is counted and
reported instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tngd_bench import plugins
from tngd_bench.solvers.cg_iterations import CGIterations

Layer = tuple[int, int, int]
"""(inputs per output position incl. the kernel, outputs, positions) of one weight layer."""

EIGENDECOMPOSITION_FLOPS = 9.0
"""Operations per n³ of a full symmetric eigendecomposition (reduction, divide and conquer, back-transform)."""

PANELS, SMALLEST_PANELLED = 4, 256
"""How a symmetric product is formed, as in `tngd_bench.curvature.ggn`, which this module may not import: torch."""
LARGEST_STRUCTURED, LARGEST_UNROLLED = 256, 32
"""Outputs per sample up to which a row per output is made, as in `tngd_bench.curvature.ggn`."""
OPERATIONS_PER_NUMBER, COLUMN_SHARE, PRODUCT_START, MAKING = 12, 0.25, 6e7, 8
"""What decides between rows and the model for a few products, as in `tngd_bench.curvature.routes`."""
COLUMNS_AT_ONCE = 8
"""Outputs whose rows the host holds at one time where they are too many, as in `tngd_bench.spu.host`."""
LANCZOS_PRODUCTS = 14
"""Products of a relaxation of a few tenths of τ where no rows are made; longer ones take more."""
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


@dataclass(frozen=True)
class Iteration:
    """What an iteration is made of, as operations or numbers held."""

    parameters: int
    rows: int
    batch_size: int
    outputs: int
    layers: Sequence[Layer] | None
    cg: CGIterations

    @property
    def shapes(self) -> Sequence[tuple[float, float, float]]:
        """The layers; all parameters as one, used once per sample, where they are not known."""
        return self.layers if self.layers is not None else [(float(self.parameters), 1.0, 1.0)]

    @property
    def forward(self) -> float:
        """Operations of a forward pass."""
        return sum(2.0 * float(self.batch_size) * d_in * d_out * t for d_in, d_out, t in self.shapes)

    @property
    def first(self) -> float:
        """Of a backward pass what the data would need, which need no gradient; without layers it is not known."""
        if self.layers is None:
            return 0.0
        return 2.0 * float(self.batch_size) * self.shapes[0][0] * self.shapes[0][1] * self.shapes[0][2]

    @property
    def gradient(self) -> float:
        """Operations of a forward and a backward pass."""
        return 2.0 * self.forward + (self.forward - self.first)

    @property
    def row_passes(self) -> float:
        """A backward pass an output, which makes the rows of B."""
        return self.outputs * (self.forward - self.first)

    @property
    def widths(self) -> float:
        """Outputs of all layers at all positions, of one sample."""
        return sum(float(d_out) * t for _, d_out, t in self.shapes)

    @property
    def kept(self) -> float:
        """Numbers that a row keeps: a layer's output gradients, or its part of the row written out where that is less.

        Layers used once per sample keep the gradients, whose products are cheaper.
        """
        return sum(_kept(layer) for layer in self.shapes)

    @property
    def written(self) -> float:
        """Writing rows out, where layers used at several positions keep them so.

        Behind a pooling, which shows in what the next layer takes of each channel, only the positions that it passes
        on are gone through (`curvature.tails`).
        """
        m, total = float(self.rows), 0.0
        following = [*self.shapes[1:], (0.0, 0.0, 0.0)]
        for (d_in, d_out, t), (next_in, _, next_t) in zip(self.shapes, following, strict=True):
            if is_written(d_in, t):
                passed = next_in / d_out if next_t == 1 else t
                pooled = 0 < passed < t and passed * d_in <= self.outputs * t
                total += 2.0 * m * d_in * d_out * (passed if pooled else t)
        return total

    @property
    def lift(self) -> float:
        """Bᵀu; B v costs the same."""
        b = float(self.batch_size)
        held = sum(2.0 * b * d_in * d_out * t for d_in, d_out, t in self.shapes if not is_written(d_in, t))
        return held + 2.0 * float(self.rows) * self.kept

    @property
    def gram_product(self) -> float:
        """K u from the rows: a layer used once goes by its inputs' similarity or its weight, whichever is cheaper."""
        b = float(self.batch_size)
        between = 0.0
        for d_in, d_out, t in self.shapes:
            if t == 1:
                between += min(2.0 * b * b * d_out, 4.0 * b * d_in * d_out)
            elif not is_written(d_in, t):
                between += 4.0 * b * d_in * d_out * t
        return between + 4.0 * float(self.rows) * self.kept

    @property
    def similarity_for_products(self) -> float:
        """The similarities that products with K use, each made once."""
        b = float(self.batch_size)
        return sum(2.0 * b * b * d_in for d_in, _, t in self.shapes if t == 1 and b <= 2.0 * d_in)

    @property
    def products_of_rows(self) -> float:
        """Inner products of what rows keep, over pairs of rows."""
        m = float(self.rows)
        return 2.0 * m * m * self.kept * _panelled(self.rows)

    @property
    def similarity(self) -> float:
        """Inner products of the layers' inputs over pairs of samples, where rows are not written out."""
        b = float(self.batch_size)
        return sum(2.0 * b * b * d_in * t for d_in, _, t in self.shapes if not is_written(d_in, t))

    @property
    def activations(self) -> float:
        """Inputs and outputs of all layers, of the batch."""
        return sum(float(self.batch_size) * (d_in + d_out) * t for d_in, d_out, t in self.shapes)

    @property
    def held(self) -> float:
        """Numbers that every optimizer holds."""
        return 4.0 * float(self.parameters) + 2.0 * self.activations

    @property
    def matrix_free(self) -> bool:
        """Whether there are too many outputs for a row each, so that products go by J and Jᵀ through the model."""
        return self.outputs > (LARGEST_STRUCTURED if self.widths <= self.parameters else LARGEST_UNROLLED)

    @property
    def iterations_of_cg(self) -> float:
        """The expected iterations of conjugate gradients."""
        shared = self.layers is not None and any(is_written(d_in, t) for d_in, _, t in self.layers)
        return self.cg.at(self.parameters, self.batch_size, self.outputs, shared=shared)

    def by_model(self, name: str) -> bool:
        """Whether optimizer `name` makes no rows and multiplies by J and Jᵀ through the model."""
        if name == "ngd-cg" and self.model_is_cheaper(round(self.cg.beforehand(self.outputs)) + 2):
            return True
        return self.matrix_free and name in ("ngd-cg", "tngd", "tngd-adam")

    def model_is_cheaper(self, products: int) -> bool:
        """Whether so few products cost less by J and Jᵀ than rows for them, where the layers are known."""
        if self.layers is None:
            return False
        weights = sum(float(d_in) * d_out * t for d_in, d_out, t in self.layers)
        held = sum(float(d_out) if t == 1 else d_in * d_out + d_out for d_in, d_out, t in self.layers)
        rows = 2.0 * COLUMN_SHARE * self.outputs * weights
        rows += OPERATIONS_PER_NUMBER * self.outputs * held * (2.0 * products + MAKING)
        return products * (6.0 * weights + PRODUCT_START / self.batch_size) < rows


def is_written(d_in: float, positions: float) -> bool:
    """Whether a layer used at several positions has its part of a row written out: no longer than its gradients."""
    return positions > 1 and d_in + 1 <= positions


def _kept(layer: tuple[float, float, float]) -> float:
    d_in, d_out, positions = layer
    return d_out * (d_in + 1.0) if is_written(d_in, positions) else d_out * positions


def _panelled(size: int) -> float:
    """The share of a symmetric product's operations that are made."""
    return (PANELS + 1) / (2 * PANELS) if size >= SMALLEST_PANELLED else 1.0


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
    applied = sum(
        2.0 * min(b * t * (a * a + g * g) + (b * t) ** 2 * (a + g), a * g * (a + g)) for a, g, t in sides
    )
    factors = sum(2.0 * b * t * (a * a + g * g) for a, g, t in sides)
    refresh = (factors + it.forward - it.first) / KFAC_FACTOR_INTERVAL + cubes / KFAC_INVERSE_INTERVAL
    return it.gradient + applied + refresh, it.held + 3.0 * squares


def _dense(it: Iteration) -> tuple[float, float]:
    n, m = float(it.parameters), float(it.rows)
    forming = 2.0 * m * n * n * _panelled(it.parameters)
    flops = it.gradient + it.row_passes + forming + n**3 / 3.0 + 2.0 * n * n
    return flops, it.held + 3.0 * n * n + m * n


def _woodbury(it: Iteration) -> tuple[float, float]:
    n, m = float(it.parameters), float(it.rows)
    flops = it.gradient + it.row_passes + 2.0 * m * m * n + m**3 / 3.0 + 4.0 * m * n
    return flops, it.held + m * n + m * m


def _gram(it: Iteration) -> tuple[float, float]:
    m = float(it.rows)
    forming = it.written + it.similarity + it.products_of_rows
    flops = it.forward + it.row_passes + forming + m**3 / 3.0 + 2.0 * m * m + it.lift
    return flops, it.held + m * it.widths + 3.0 * m * m


def _cg(it: Iteration) -> tuple[float, float]:
    m, iterations = float(it.rows), it.iterations_of_cg
    if it.by_model("ngd-cg"):
        return _by_products(it, iterations + 1)
    products = (iterations + 1) * it.gram_product + it.similarity_for_products
    flops = it.forward + it.row_passes + it.written + products + it.lift
    return flops, it.held + m * it.kept + it.parameters


def _thermodynamic(it: Iteration) -> tuple[float, float]:
    m = float(it.rows)
    if it.matrix_free:
        return _by_products(it, LANCZOS_PRODUCTS)
    forming = it.written + it.similarity + it.products_of_rows
    eigen = EIGENDECOMPOSITION_FLOPS * m**3 + 6.0 * m * m
    flops = it.forward + it.row_passes + forming + eigen + 2.0 * it.lift
    return flops, it.held + m * it.widths + 6.0 * m * m + 4.0 * it.parameters


def _by_products(it: Iteration, products: float) -> tuple[float, float]:
    """Products by J and Jᵀ through the whole model: a backward pass, and one through the graph of another."""
    flops = 2.0 * it.gradient + products * 3.0 * it.forward
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
    values = it.held + batch_size * columns * it.kept
    return PredictedCost(it.gradient + it.row_passes + it.written + whole, values * itemsize)


_COUNTS: dict[str, Callable[[Iteration], tuple[float, float]]] = {
    "sgd": _sgd,
    "adam": _adam,
    "kfac": _kfac,
    "ngd": _dense,
    "ngd-woodbury": _woodbury,
    "ngd-gram": _gram,
    "ngd-cg": _cg,
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
) -> PredictedCost:
    """Return the predicted cost of one iteration of optimizer `name`; NaN for one without a description.

    `rows` is m = batch_size·outputs. `layers` (input, output, positions) sharpen the counts; without them the
    model is taken as one with every weight used once per sample. `cg`: how conjugate gradients are stopped, and what
    is known of their iterations; None: the optimizer's defaults.
    """
    if name not in _COUNTS:
        flops, values = _outside(name, parameters, rows, batch_size, outputs, layers)
        return PredictedCost(flops, values * itemsize)
    iteration = Iteration(parameters, rows, batch_size, outputs, layers, cg or CGIterations())
    flops, values = _COUNTS[name](iteration)
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
