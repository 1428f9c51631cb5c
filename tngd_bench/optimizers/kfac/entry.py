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
_KRONECKER_S, _PARAMETER_S = 1.05e-3, 3.5e-9

Side = tuple[float, float, float]
"""Orders of a layer's factors A and Γ, and its rows a sample."""


def factored_layers(it: Iteration) -> tuple[Layer, ...]:
    """Return the layers that have factors; one square layer where layers are not known."""
    square = round(it.parameters**0.5)
    found = tuple(layer for layer in it.trained if layer.factored)
    return found if it.layers else (Layer(square, square, bias=False),)


def factor_sides(it: Iteration) -> list[Side]:
    """Return the factors of each layer, with its bias."""
    return [(float(each.columns), float(each.d_out), float(each.positions)) for each in factored_layers(it)]


def with_factors(it: Iteration, use: Use, inverses: float) -> float:
    """Return the operations of a gradient, and of refreshes of the factors and of inverses that take `inverses`."""
    factors = sum(2.0 * it.batch_size * t * (a * a + g * g) for a, g, t in factor_sides(it))
    factors_every, inverses_every = (
        float(use.settings[f"{part}_interval"]) for part in ("factor", "inverse")
    )
    return (
        it.forward + it.propagation + (factors + it.propagation) / factors_every + inverses / inverses_every
    )


def _count(it: Iteration, use: Use) -> Counts:
    sides = factor_sides(it)
    applied = sum(preconditioned(float(it.batch_size * each.positions), each) for each in factored_layers(it))
    squares = sum(a * a + g * g for a, g, _ in sides)
    cubes = sum(a**3 + g**3 for a, g, _ in sides)
    return with_factors(it, use, cubes) + applied, it.held + 3.0 * squares


def preconditioned(rows: float, layer: Layer) -> float:
    """Return the operations of a layer's direction from its k `rows`, by rows or by the gradient.

    As `KroneckerFactors.precondition` has it. The gradient of a bias takes no product.
    """
    by_rows, by_gradient = preconditioning(rows, layer.columns, layer.d_out)
    inputs = layer.d_in if by_gradient < by_rows else layer.columns
    return 2.0 * (rows * inputs * layer.d_out + min(by_rows, by_gradient))


def kfac_waiting(it: Iteration, use: Use) -> float:
    """Return the seconds of waiting of a step with Kronecker factors."""
    return first_order_waiting(it, use) + _KRONECKER_S + _PARAMETER_S * it.parameters


def kfac_cycle(settings: Mapping[str, Any]) -> int:
    """Return the iterations after which the pattern of refreshes repeats."""
    return max(int(settings["factor_interval"]), int(settings["inverse_interval"]))


ENTRIES = (
    OptimizerEntry(
        "kfac",
        "K-FAC",
        "Kronecker-factored curvature, running averages, π-damping",
        "kfac",
        "tngd_bench.optimizers.kfac.optimizer:KFAC",
        SETTINGS,
        cost=CostModel(_count, kfac_waiting),
        cycle=kfac_cycle,
        style=Style("#00785a", "#3fc79b", "P"),
    ),
)
