"""Seconds and operations of the digital side of a simulated optimizer's iteration."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from torch import Tensor, nn

from tngd_bench.curvature import GGN, Verification
from tngd_bench.curvature.model_call import Inputs
from tngd_bench.curvature.route import COLUMNS_AT_ONCE
from tngd_bench.layers import Layer
from tngd_bench.measure.clock import Clock
from tngd_bench.measure.operations import OperationCount, count_operations
from tngd_bench.spu.host import host_pass
from tngd_bench.spu.layer_shapes import recorded_layers


@dataclass(frozen=True)
class HostWork:
    """Sizes of a batch that a bill depends on: m `rows`, `batch_size`, and `layers` where layers' ends are sent."""

    rows: int
    batch_size: int
    layers: tuple[Layer, ...] | None


def host_work(model: nn.Module, loss: nn.Module, inputs: Inputs, targets: Tensor, upload: str) -> HostWork:
    """Return what a bill needs of a batch, from one forward pass."""
    with recorded_layers(model) if upload == "factored" else nullcontext() as layers:
        ggn = GGN(model, loss, inputs, targets)
    return HostWork(ggn.rows, ggn.batch_size, None if layers is None else tuple(layers))


def host_seconds(
    model: nn.Module,
    loss: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    outputs: int,
    upload: str,
    clock: Clock,
    *,
    verify: bool | Verification = False,
) -> float:
    """Return the wall time of one `host_pass` of a model with `outputs` per sample.

    Where the rows are made a few columns at a time (`GGN.matrix_free`: hundreds of equal backward passes), the time of
    all of them is extrapolated from the first 8 and the first 16: it is linear in their number.
    """

    def seconds(columns: int | None = None) -> float:
        return clock.time(lambda: host_pass(model, loss, inputs, targets, upload, columns, verify=verify))[0]

    more_times = _times_more_columns(model, loss, inputs, targets, outputs)
    if more_times is None:
        return seconds()
    few, more = seconds(COLUMNS_AT_ONCE), seconds(2 * COLUMNS_AT_ONCE)
    return few + max(more - few, 0.0) * more_times


def host_operations(
    model: nn.Module,
    loss: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    outputs: int,
    upload: str,
    *,
    verify: bool | Verification = False,
) -> OperationCount:
    """Return the operations of one `host_pass`, from those of the first columns as in `host_seconds`."""

    def operations(columns: int | None = None) -> OperationCount:
        return count_operations(
            lambda: host_pass(model, loss, inputs, targets, upload, columns, verify=verify)
        )

    more_times = _times_more_columns(model, loss, inputs, targets, outputs)
    if more_times is None:
        return operations()
    few, more = operations(COLUMNS_AT_ONCE), operations(2 * COLUMNS_AT_ONCE)
    flops = few.flops + (more.flops - few.flops) * more_times
    return OperationCount(flops, tuple(sorted({*few.uncounted, *more.uncounted})))


def _times_more_columns(
    model: nn.Module, loss: nn.Module, inputs: Inputs, targets: Tensor, outputs: int
) -> float | None:
    """Return how often `COLUMNS_AT_ONCE` more are made after the first; None where all columns are made at once."""
    if outputs <= 2 * COLUMNS_AT_ONCE:
        return None
    ggn = GGN(model, loss, inputs, targets, verify=False)
    rows = ggn.rows_per_sample if ggn.matrix_free else 0
    return rows / COLUMNS_AT_ONCE - 1.0 if rows > 2 * COLUMNS_AT_ONCE else None
