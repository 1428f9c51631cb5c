"""Entry of K-FAC."""

from collections.abc import Mapping
from typing import Any

from tngd_bench.layers import Layer, preconditioning
from tngd_bench.optimizers.cost_model import CostModel, Counts, Use, first_order_waiting
from tngd_bench.optimizers.entry import OptimizerEntry, Setting, Style
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.settings import COUNT, FRACTION, POSITIVE, choice, optional

SETTINGS = {
    "lr": Setting(0.01, POSITIVE),
    "momentum": Setting(0.9, FRACTION),
    "damping": Setting(0.01, POSITIVE),
    "factor_interval": Setting(10, COUNT, title="iterations between factors"),
    "inverse_interval": Setting(100, COUNT, title="iterations between inverses"),
    "factor_decay": Setting(0.95, FRACTION, title="decay of the factors"),
    "fisher": Setting("mc", choice("mc", "exact", "empirical"), title="Fisher matrix"),
    "inverse": Setting("cholesky", choice("cholesky", "eigen"), title="inverse by"),
    "sharing": Setting("expand", choice("expand", "reduce")),
    "kl_clip": Setting(1e-3, optional(POSITIVE), title="KL clip"),
}
_KRONECKER_S = 1.05e-3


def _count(it: Iteration, use: Use) -> Counts:
    n, b = float(it.parameters), float(it.batch_size)
    square = round(n**0.5)
    layers = it.trained if it.layers else (Layer(square, square, bias=False),)
    squares = sum(float(each.columns) ** 2 + float(each.d_out) ** 2 for each in layers)
    cubes = sum(float(each.columns) ** 3 + float(each.d_out) ** 3 for each in layers)
    applied = sum(_preconditioned(b * each.positions, each) for each in layers)
    factors = sum(2.0 * b * each.positions * (each.columns**2 + each.d_out**2) for each in layers)
    factors_every, inverses_every = use.settings["factor_interval"], use.settings["inverse_interval"]
    refresh = (factors + it.propagation) / factors_every + cubes / inverses_every
    return it.forward + it.propagation + applied + refresh, it.held + 3.0 * squares


def _preconditioned(rows: float, layer: Layer) -> float:
    """A layer's direction from its k `rows`, by rows or by the gradient (`KroneckerFactors.precondition`).

    The gradient of a bias takes no product.
    """
    by_rows, by_gradient = preconditioning(rows, layer.columns, layer.d_out)
    inputs = layer.d_in if by_gradient < by_rows else layer.columns
    return 2.0 * (rows * inputs * layer.d_out + min(by_rows, by_gradient))


def _waiting(it: Iteration, use: Use) -> float:
    return first_order_waiting(it, use) + _KRONECKER_S


def _cycle(settings: Mapping[str, Any]) -> int:
    return max(int(settings["factor_interval"]), int(settings["inverse_interval"]))


ENTRIES = (
    OptimizerEntry(
        "kfac",
        "K-FAC",
        "Kronecker-factored curvature, running averages, π-damping",
        "kfac",
        "tngd_bench.optimizers.kfac.optimizer:KFAC",
        SETTINGS,
        cost=CostModel(_count, _waiting),
        cycle=_cycle,
        style=Style("#00785a", "#3fc79b", "P"),
    ),
)
