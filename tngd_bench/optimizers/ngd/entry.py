"""Entries of exact natural gradient descent, one for each solver."""

from collections.abc import Callable

from tngd_bench.layers import panelled
from tngd_bench.optimizers.cost_model import (
    PAIR_S,
    READ_S,
    WRITE_S,
    CostModel,
    Counts,
    Use,
    counted_by_products,
    products_waiting,
    second_order_waiting,
)
from tngd_bench.optimizers.entry import OptimizerEntry, SearchRange, Setting, Style
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.settings import COUNT, FRACTION, NATURAL, choice
from tngd_bench.solvers.cg_iterations import LIMIT, RTOL

_WIDE_PRODUCT_S = 1.5e-4
"""For a product by the rows, from vectors of the parameters to the rows and back."""
_PASSES = 5.0
"""Vectors of the parameters that an iteration there reads beside its product, as fitted to four sizes to 15 %."""


def _dense(it: Iteration) -> Counts:
    n, m = float(it.parameters), float(it.rows)
    forming = 2.0 * m * n * n * panelled(it.parameters)
    flops = it.gradient + it.row_passes + it.all_written + forming + n**3 / 3.0 + 2.0 * n * n
    return flops, it.held + 3.0 * n * n + m * n


def _woodbury(it: Iteration) -> Counts:
    n, m = float(it.parameters), float(it.rows)
    flops = it.gradient + it.row_passes + it.all_written + 2.0 * m * m * n + m**3 / 3.0 + 4.0 * m * n
    return flops, it.held + m * n + m * m


def _gram(it: Iteration) -> Counts:
    m = float(it.rows)
    flops = it.forward + it.row_passes + it.forming + m**3 / 3.0 + 2.0 * m * m + it.lift
    return flops, it.held + m * it.widths + 3.0 * m * m


def _cg(it: Iteration) -> Counts:
    m, iterations = float(it.rows), it.iterations_of_cg
    inner = (4.0 * iterations + 2.0) * m  # products of two vectors
    if it.cg_by_model:
        flops, held = counted_by_products(it, iterations + 1)
        return flops + inner, held
    if it.cg.in_parameters:
        n = float(it.parameters)
        flops = it.gradient + it.row_passes + it.written + iterations * (2.0 * it.lift + 4.0 * n + 2.0 * m)
        return flops, it.held + m * it.kept + 4.0 * n
    products = (iterations + 1) * it.gram_product + it.similarity_for_products
    flops = it.forward + it.row_passes + it.written + products + it.lift
    return flops + inner, it.held + m * it.kept + it.parameters


def _layerwise(it: Iteration) -> Counts:
    """One solve a layer: of order m, or of the layer's own order where it has fewer parameters than rows."""
    m = float(it.rows)
    flops, largest = it.forward + it.row_passes + it.written + it.lift, 0.0
    for layer in it.trained:
        width = float(layer.parameters)
        if width <= m:
            flops += 2.0 * m * width * width + width**3 / 3.0 + 2.0 * width * width
            largest = max(largest, m * width)
        else:
            flops += it.formed(layer) + m**3 / 3.0 + 2.0 * m * m
    if it.embedded:  # two tables, each a layer
        flops += it.tables + 2.0 * (m**3 / 3.0 + 2.0 * m * m)
    return flops, it.held + m * it.widths + 3.0 * m * m + largest


def _writing(it: Iteration, use: Use) -> float:
    return second_order_waiting(it) + WRITE_S * (float(it.rows) * it.parameters)


def _writing_matrix(it: Iteration, use: Use) -> float:
    return _writing(it, use) + PAIR_S * float(it.parameters) * float(it.parameters)


def _pairing(it: Iteration, use: Use) -> float:
    return second_order_waiting(it) + PAIR_S * float(it.rows) * float(it.rows)


def _multiplying(it: Iteration, use: Use) -> float:
    products = it.iterations_of_cg + 1
    seconds = second_order_waiting(it, by_model=it.cg_by_model)
    passes = _PASSES * READ_S * it.parameters if it.cg.in_parameters else 0.0
    if it.cg.in_parameters and not it.cg_by_model:
        return seconds + products * (_WIDE_PRODUCT_S + passes + 2.0 * READ_S * it.rows * it.kept)
    return seconds + products * passes + products_waiting(it, products, by_model=it.cg_by_model)


NO_MEMORY = Setting(0.0, FRACTION, title="memory μ")
_MEMORY = Setting(
    0.95,
    FRACTION,
    SearchRange(
        0.0, 0.999, "from no memory to one of a thousand steps; SPRING is used at 0.99", "log-complement"
    ),
    title="memory μ",
)


def _ngd(
    solver: str,
    title: str,
    summary: str,
    style: Style,
    count: Callable[[Iteration], Counts],
    waiting: Callable[[Iteration, Use], float],
    remembering: Callable[[Iteration], float],
    *,
    name: str | None = None,
    memory: Setting = NO_MEMORY,
    exact: int = 0,
    break_even: bool = False,
    **extra: Setting,
) -> OptimizerEntry:
    """Make the entry of a solver; a memory μ adds operations, those of `remembering`, and two vectors."""

    def counted(it: Iteration, use: Use) -> Counts:
        flops, held = count(it)
        if not use.settings["memory"]:
            return flops, held
        return flops + remembering(it), held + 2.0 * it.parameters

    return OptimizerEntry(
        name or f"ngd-{solver}",
        title,
        summary,
        "natural-gradient",
        "tngd_bench.optimizers.ngd.optimizer:make_ngd",
        {**NATURAL, "memory": memory, **extra},
        fixed={"solver": solver},
        cost=CostModel(counted, waiting),
        style=style,
        exact=exact,
        break_even=break_even,
    )


ENTRIES = (
    _ngd(
        "dense",
        "NGD (dense)",
        "exact natural gradient, N×N Cholesky",
        Style("#1d3461", "#9db8ec", "s"),
        _dense,
        _writing_matrix,
        lambda it: 2.0 * float(it.parameters) * it.parameters,
        name="ngd",
        exact=3,
    ),
    _ngd(
        "woodbury",
        "NGD (Woodbury)",
        "exact natural gradient, explicit factor B, m×m solve",
        Style("#007f96", "#4bc6dc", "^"),
        _woodbury,
        _writing,
        lambda it: 4.0 * it.rows * it.parameters,
        exact=2,
    ),
    _ngd(
        "gram",
        "NGD (Gram)",
        "exact natural gradient from the Gram matrix, B never formed",
        Style("#0f62cf", "#6ba6ff", "v"),
        _gram,
        _pairing,
        lambda it: it.lift,
        exact=1,
        break_even=True,
    ),
    _ngd(
        "cg",
        "NGD (CG)",
        "natural gradient by conjugate gradients on curvature products",
        Style("#6247c5", "#ac9cff", "X"),
        _cg,
        _multiplying,
        lambda it: it.product_by_model / 2.0 if it.cg_by_model else it.lift,
        exact=4,
        break_even=True,
        cg_iterations=Setting(LIMIT, COUNT, title="CG iterations"),
        cg_rtol=Setting(RTOL, FRACTION, title="CG tolerance"),
        cg_space=Setting("auto", choice("auto", "rows", "parameters"), title="CG space"),
    ),
    _ngd(
        "layer",
        "NGD (by layers)",
        "exact natural gradient of each layer alone, one m×m Cholesky a layer",
        Style("#2f7f3f", "#7fd08c", "H"),
        _layerwise,
        _pairing,
        lambda it: it.lift,
    ),
    _ngd(
        "gram",
        "SPRING",
        "exact natural gradient with a memory of its last direction, by the Gram matrix (arXiv 2401.10190)",
        Style("#c2185b", "#ff8ab5", ">"),
        _gram,
        _pairing,
        lambda it: it.lift,
        name="spring",
        memory=_MEMORY,
        break_even=True,
    ),
)
