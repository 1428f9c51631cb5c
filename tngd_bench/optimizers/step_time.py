"""Seconds of an iteration: its operations at the rate of large products, and what waits for memory or for Python.

The constants are of one core of an AMD EPYC that multiplies at 1.4·10¹¹ FLOP/s (2026-11-29), fitted to about 110 timed
iterations: perceptrons and a convolutional network, N = 3·10³ to 10⁶, b = 16 to 4,096, d_z = 10 and 20, seven
optimizers, and adjusted by hand afterwards; no timings were held out. Expect a factor of 1.5 for second-order
optimizers and of 2.5 for SGD, Adam and K-FAC, at steps of a millisecond above all. Another machine's times are taken to
go as its rate of products.
"""

from __future__ import annotations

from collections.abc import Sequence

from tngd_bench.curvature import route
from tngd_bench.layers import Layer
from tngd_bench.optimizers.array_costs import array_cost
from tngd_bench.optimizers.costs import PredictedCost
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu.device import Device

REFERENCE_RATE = 1.4e11
HOST = "host"
"""In place of an optimizer's name: the host of a device."""
_STEP_S, _SECOND_ORDER_S, _KRONECKER_S, _PRODUCT_S = 3.0e-4, 1.33e-3, 1.05e-3, 1.17e-4
_POSITION_S, _POSITION_OF_ROW_S = 1.71e-8, 9.7e-10
"""For an output of a layer at one of several positions: its gradient, and that of each row."""
_READ_S, _PAIR_S, _STREAM_S, _WRITE_S = 4.47e-10, 1.52e-8, 1.63e-10, 1.21e-9
"""For a number of the rows read, a pair of rows, a number of J streamed and one written."""

_SIMULATION_S, _PROGRAM_S = 3.8e-3, 2.1e-8
"""For the calls of a relaxation, and a value that is drawn anew on an array."""


def step_seconds(
    name: str,
    predicted: PredictedCost,
    rate: float,
    *,
    parameters: int,
    rows: int,
    batch_size: int,
    outputs: int,
    layers: Sequence[Layer] | None = None,
    upload: str = "full",
    cg: CGIterations | None = None,
    device: Device | None = None,
    ensemble: int = 1,
) -> float:
    """Return the seconds of an iteration of optimizer `name` (or HOST) on a machine that multiplies at `rate` FLOP/s.

    An optimizer of an outside package is taken to handle what SGD does.
    """
    it = Iteration(parameters, rows, batch_size, outputs, layers, cg or CGIterations())
    on_arrays = device is not None and device.needs_arrays and name in ("tngd", "tngd-adam")
    m, values = float(rows), float(rows) * parameters
    shared = batch_size * sum(float(d_out) * t for _, d_out, t in it.shapes if t > 1)
    seconds = _STEP_S + _POSITION_S * shared
    if name == "kfac":
        seconds += _KRONECKER_S
    elif name in ("ngd", "ngd-woodbury", "ngd-gram", "ngd-cg", "ngd-layer", "tngd", "tngd-adam", HOST):
        seconds += _SECOND_ORDER_S
        if not it.by_model(name):
            seconds += _POSITION_OF_ROW_S * shared * outputs
    if name in ("tngd", "tngd-adam"):
        seconds += ensemble * _SIMULATION_S
    if on_arrays:
        assert device is not None
        seconds += _WRITE_S * values + ensemble * _PROGRAM_S * array_cost(it, device, ensemble).values
    elif name == "ngd-cg":
        products = it.iterations_of_cg + 1
        if it.by_model(name):
            waiting = route.waiting_seconds(it.all_layers, batch_size)
            seconds += products * waiting * (route.RATE / REFERENCE_RATE)
        else:
            blocks = route.BLOCK_S * batch_size * len(it.shapes)
            seconds += products * (_PRODUCT_S + blocks + 2.0 * _READ_S * m * it.kept)
    elif name in ("ngd-gram", "ngd-layer", "tngd", "tngd-adam") and not it.by_model(name):
        seconds += _PAIR_S * m * m
    elif name in ("ngd", "ngd-woodbury"):
        seconds += _WRITE_S * values
    elif name == HOST and upload == "full":
        seconds += _STREAM_S * values
    return predicted.flops / rate + seconds * (REFERENCE_RATE / rate)
