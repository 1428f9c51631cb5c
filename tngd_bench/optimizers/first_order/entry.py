"""Entries of SGD and Adam."""

from tngd_bench.optimizers.cost_model import CostModel, Counts, Use, first_order_waiting
from tngd_bench.optimizers.entry import OptimizerEntry, SearchRange, Setting, Style
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.optimizers.settings import FRACTION, POSITIVE


def _sgd(it: Iteration, use: Use) -> Counts:
    return it.gradient, it.held


def _adam(it: Iteration, use: Use) -> Counts:
    return it.gradient, it.held + 2.0 * it.parameters


def _adam_waiting(it: Iteration, use: Use) -> float:
    return first_order_waiting(it, use) + _MOMENTS_S * it.parameters


_MOMENTS_S = 9e-10
"""For the two moments of a parameter."""
ADAM_LR = SearchRange(
    1e-4,
    3e-2,
    "Adam's steps are about lr in every coordinate: a decade and a half on either side of the default",
)
BETA1 = SearchRange(0.0, 0.99, "the same averaging lengths as SGD's momentum", "log-complement")
# β₂ keeps its default, which short runs hardly feel
_EPS = SearchRange(
    1e-9, 1e-3, "large values turn Adam towards momentum SGD (Choi et al. 2019); below 1e-6 little changes"
)

ENTRIES = (
    OptimizerEntry(
        "sgd",
        "SGD",
        "stochastic gradient descent (torch.optim.SGD)",
        "first-order",
        "tngd_bench.optimizers.first_order.optimizer:make_sgd",
        {"lr": Setting(0.1, POSITIVE), "momentum": Setting(0.0, FRACTION)},
        cost=CostModel(_sgd),
        style=Style("#6b6f76", "#a9aeb6", "o"),
    ),
    OptimizerEntry(
        "adam",
        "Adam",
        "Adam (torch.optim.Adam, fused where torch has it)",
        "first-order",
        "tngd_bench.optimizers.first_order.optimizer:make_adam",
        {
            "lr": Setting(1e-3, POSITIVE, ADAM_LR),
            "beta1": Setting(0.9, FRACTION, BETA1, "β₁"),
            "beta2": Setting(0.999, FRACTION, title="β₂"),
            "eps": Setting(1e-8, POSITIVE, _EPS, "ε"),
        },
        cost=CostModel(_adam, _adam_waiting),
        style=Style("#a3417f", "#e58fc6", "D"),
    ),
)
