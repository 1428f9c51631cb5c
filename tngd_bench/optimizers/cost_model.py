"""Closed-form cost of an iteration as an optimizer's entry states it, and the formulas that several entries share.

Seconds of waiting are those beside the operations: for memory, for convolutions, for Python. Their constants are of one
core of an AMD EPYC that multiplies at `REFERENCE_RATE` (2026-11-29), fitted to about 110 timed iterations: perceptrons
and a convolutional network, N = 3·10³ to 10⁶, b = 16 to 4,096, d_z = 10 and 20, seven optimizers, and adjusted by hand
afterwards; no timings were held out. What parameters take, read and written, is of perceptrons of 10⁶ and 10⁷ on an
Intel Xeon at 2.0·10¹¹ (2026-11-29). Expect a factor of 1.5 for second-order optimizers and of 2.5 for SGD, Adam and
K-FAC, at steps of a millisecond above all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tngd_bench.curvature import route
from tngd_bench.optimizers.iteration import Iteration

if TYPE_CHECKING:
    from tngd_bench.spu.device import Device

Counts = tuple[float, float]
"""Operations of an iteration, and numbers held."""

REFERENCE_RATE = 1.4e11
_STEP_S, _SECOND_ORDER_S = 3.0e-4, 1.33e-3
_FIRST_PARAMETER_S, _SECOND_PARAMETER_S = 1.75e-9, 3.1e-9
"""For a parameter whatever the batch: its gradient and its update, and those of a direction that is solved for."""
_POSITION_S, _POSITION_OF_ROW_S = 1.71e-8, 9.7e-10
"""For an output of a layer at one of several positions: its gradient, and that of each row."""
_PRODUCT_S = 1.17e-4
"""For a product by the rows."""
PAIR_S, WRITE_S, READ_S = 1.52e-8, 1.21e-9, 4.47e-10
"""For an entry of a matrix that is factored, for a number of J written, and for one read for a single vector."""


@dataclass(frozen=True)
class Use:
    """What decides on the cost of an iteration beside its size.

    `settings` are complete; `device` is what a thermodynamic optimizer simulates, None: one without imperfections.
    """

    settings: Mapping[str, Any]
    device: Device | None = None


def first_order_waiting(it: Iteration, use: Use) -> float:
    """Return the seconds of waiting of a forward and a backward pass."""
    return _STEP_S + _FIRST_PARAMETER_S * it.parameters + _POSITION_S * _shared(it)


@dataclass(frozen=True)
class CostModel:
    """Cost of one iteration: `count` gives operations and numbers held, `waiting` seconds beside the operations."""

    count: Callable[[Iteration, Use], Counts]
    waiting: Callable[[Iteration, Use], float] = first_order_waiting


def second_order_waiting(it: Iteration, *, by_model: bool = False) -> float:
    """Return the seconds of waiting until the rows of B are made, or, `by_model`, products by J and Jᵀ can be."""
    seconds = _STEP_S + _SECOND_ORDER_S + _SECOND_PARAMETER_S * it.parameters + _POSITION_S * _shared(it)
    return seconds if by_model else seconds + _POSITION_OF_ROW_S * _shared(it) * it.outputs


def products_waiting(it: Iteration, products: float, *, by_model: bool) -> float:
    """Return the seconds of waiting of products by G or K, through the model or by the rows."""
    if by_model:
        waiting = route.waiting_seconds(it.all_trained, it.batch_size)
        return products * waiting * (route.RATE / REFERENCE_RATE)
    blocks = route.BLOCK_S * it.batch_size * len(it.trained)
    return products * (_PRODUCT_S + blocks + 2.0 * READ_S * float(it.rows) * it.kept)


def _shared(it: Iteration) -> float:
    """Return the outputs of layers at several positions, of the batch."""
    return it.batch_size * sum(float(layer.values) for layer in it.shapes if layer.repeated)


def counted_by_products(it: Iteration, products: float) -> Counts:
    """Return the cost of products by J and Jᵀ: a graph of a backward pass, them, and a backward pass at the end."""
    flops = it.forward + 2.0 * it.backward + products * it.product_by_model
    return flops, it.held + 4.0 * it.activations + 20.0 * it.parameters + 4.0 * it.rows
