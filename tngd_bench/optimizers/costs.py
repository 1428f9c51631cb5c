"""Closed-form operation and memory counts of one iteration, for planning before anything is run.

Matrix products and factorizations as this package does them, a multiply-add as two operations, elementwise work
left out; their growth is that of Table 1 of arXiv 2405.13817 where the method is the paper's. Held against real steps
over N, b and d_z (tests/optimizers/test_cost_grid.py): to 1.5 % for models of linear layers and convolutions, frozen
ones included, to a tenth for adapters, to a third for the language model, whose layers say nothing of attention and
tables. The products of a relaxation depend on the data and are taken as those of a long one. They predict what cannot
fit; what did run is counted and reported instead.
Each optimizer's own formula stands in its entry.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tngd_bench import plugins
from tngd_bench.curvature.route import COLUMNS_AT_ONCE
from tngd_bench.layers import Layer
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.cost_model import (
    REFERENCE_RATE,
    CostModel,
    Counts,
    Use,
    products_waiting,
    second_order_waiting,
)
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu.device import Device

_STREAM_S = 2.3e-10
"""For a number of J streamed."""


@dataclass(frozen=True)
class PredictedCost:
    """Operations (`flops`) and working memory (`bytes`, parameters included) of one iteration; NaN: not known.

    `waiting_s` are the seconds beside the operations on the machine of `cost_model.REFERENCE_RATE`.
    """

    flops: float
    bytes: float
    waiting_s: float = 0.0

    @property
    def known(self) -> bool:
        """Whether there is a description to predict from."""
        return not (math.isnan(self.flops) or math.isnan(self.bytes))

    def seconds(self, rate: float) -> float:
        """Return the seconds of the iteration on a machine that multiplies large matrices at `rate` FLOP/s."""
        return self.flops / rate + self.waiting_s * (REFERENCE_RATE / rate)


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
    settings: Mapping[str, object] | None = None,
    device: Device | None = None,
) -> PredictedCost:
    """Return the predicted cost of one iteration of optimizer `name`; NaN for one without a description.

    `rows` is m = batch_size·outputs. `layers`, or plain tuples of their fields, sharpen the counts; without them the
    model is taken as one with every weight used once per sample. `settings` go over the optimizer's defaults. `cg`: how
    conjugate gradients are stopped, and what is known of their iterations; None: by the settings. `device`: what a
    thermodynamic optimizer simulates; None: one without imperfections.
    """
    stopped = cg or CGIterations.of(settings or {})
    it = Iteration(parameters, rows, batch_size, outputs, layers, stopped, double=itemsize > 4)
    return cost_of(name, it, itemsize, settings, device)


def predictable() -> tuple[str, ...]:
    """Return the names of the optimizers without a device whose cost is described, by a function that works."""
    small = Iteration(parameters=100, rows=8, batch_size=8, outputs=1)
    return tuple(name for name in registry.digital() if cost_of(name, small).known)


def cost_of(
    name: str,
    it: Iteration,
    itemsize: int = 4,
    settings: Mapping[str, object] | None = None,
    device: Device | None = None,
) -> PredictedCost:
    """Return the predicted cost of the iteration `it` of optimizer `name`, as `predicted_cost` does."""
    entry = registry.get(name) if name in registry.names() else None
    if entry is None or entry.cost is None:
        return PredictedCost(math.nan, math.nan)
    use = Use({**entry.defaults, **(settings or {})}, device)
    if isinstance(entry.cost, CostModel) and registry.origin(name) is None:
        (flops, values), waiting = entry.cost.count(it, use), entry.cost.waiting(it, use)
    else:
        described = (
            entry.cost if isinstance(entry.cost, CostModel) else CostModel(partial(_by_name, entry.cost))
        )
        flops, values, waiting = _outside(name, described, it, use)
    return PredictedCost(flops, values * itemsize, waiting)


def _by_name(count: Callable[..., Counts], it: Iteration, use: Use) -> Counts:
    sizes = ("parameters", "rows", "batch_size", "outputs", "layers")
    return count(**{size: getattr(it, size) for size in sizes})


def _outside(name: str, described: CostModel, it: Iteration, use: Use) -> tuple[float, float, float]:
    """Return operations, numbers held and seconds of waiting as an outside package has them; NaN where it fails."""
    try:
        flops, values = map(float, described.count(it, use))
        waiting = float(described.waiting(it, use))
        if not all(0 <= each < math.inf for each in (flops, values, waiting)):
            raise ValueError(f"{(flops, values, waiting)} are not finite numbers of 0 or more")
    except (Exception, SystemExit) as error:  # whatever outside code does
        said = plugins.said(error)
        plugins.complain(
            f"the cost of the optimizer {name!r} is taken as unknown; its description fails ({said})"
        )
        return math.nan, math.nan, math.nan
    return flops, values, waiting


def host_cost_of(
    name: str,
    it: Iteration,
    upload: str = "full",
    itemsize: int = 4,
    settings: Mapping[str, object] | None = None,
) -> PredictedCost:
    """Return what the host of a device computes in one iteration of the optimizer `name`."""
    entry = registry.get(name)
    use = Use({**entry.defaults, **(settings or {})})
    if entry.host is None:
        products = 0.0 if entry.products is None else entry.products(it, use.settings)
        return host_cost(it, upload, itemsize, products)
    flops, values = entry.host.count(it, use)
    return PredictedCost(flops, values * itemsize, entry.host.waiting(it, use))


def host_cost(it: Iteration, upload: str = "full", itemsize: int = 4, products: float = 0.0) -> PredictedCost:
    """Return what the host of a device computes in one iteration: loss, gradient, the passes that make the rows of J.

    With a full upload the m·N values of J too, a multiplication each; they are streamed, and no more of them are held
    than the layers' inputs and output gradients that they are made from. `products` are those by G beside.
    """
    whole = float(it.rows) * it.parameters if upload == "full" else 0.0
    columns = min(it.outputs, COLUMNS_AT_ONCE) if it.matrix_free else it.outputs
    part = dataclasses.replace(it, rows=it.batch_size * columns, outputs=columns)
    flops = it.gradient + it.row_passes + part.written * it.outputs / columns + whole
    flops += products * it.product(by_model=it.matrix_free)
    held = it.held + it.batch_size * columns * part.kept
    waiting = second_order_waiting(it) + products_waiting(it, products, by_model=it.matrix_free)
    return PredictedCost(flops, held * itemsize, waiting + _STREAM_S * whole)
