"""Seconds and operations of the digital side of a simulated optimizer's iteration."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from torch import Tensor, nn

from tngd_bench.curvature import GGN, Verification
from tngd_bench.curvature.model_call import Inputs
from tngd_bench.curvature.route import COLUMNS_AT_ONCE
from tngd_bench.layers import Layer
from tngd_bench.measure.clock import Clock
from tngd_bench.measure.operations import OperationCount, count_operations, weighted
from tngd_bench.optimizers.registry import Hosted, Stepper
from tngd_bench.spu.host import host_pass, products_of, upload_of
from tngd_bench.spu.layer_shapes import recorded_layers


@dataclass(frozen=True)
class HostWork:
    """Sizes of a batch that a bill depends on: m `rows`, `batch_size`, and `layers` where layers' ends are sent."""

    rows: int
    batch_size: int
    layers: tuple[Layer, ...] | None


@dataclass(frozen=True)
class HostSide:
    """The digital side of an iteration on one batch, of a model with `outputs` per sample; fields as in `host_pass`.

    Where the rows are made a few columns at a time (`GGN.matrix_free`: hundreds of equal backward passes), the numbers
    for all of them are extrapolated from the first 8 and the first 16: they are linear in how many are made.
    """

    model: nn.Module
    loss: nn.Module
    inputs: Inputs
    targets: Tensor
    outputs: int
    upload: str
    products: int = 0
    verify: bool | Verification = False

    def run(self, columns: int | None = None) -> None:
        """Make one `host_pass`."""
        batch = self.model, self.loss, self.inputs, self.targets
        host_pass(*batch, self.upload, columns, self.products, verify=self.verify)

    def work(self) -> HostWork:
        """Return what a bill needs of the batch, from one forward pass."""
        with recorded_layers(self.model) if self.upload == "factored" else nullcontext() as layers:
            ggn = GGN(self.model, self.loss, self.inputs, self.targets)
        return HostWork(ggn.rows, ggn.batch_size, None if layers is None else tuple(layers))

    def seconds(self, clock: Clock) -> float:
        """Return the wall time of one pass."""
        more_times = self._times_more_columns()
        if more_times is None:
            return clock.time(self.run)[0]
        few, _ = clock.time(lambda: self.run(COLUMNS_AT_ONCE))
        more, _ = clock.time(lambda: self.run(2 * COLUMNS_AT_ONCE))
        return few + max(more - few, 0.0) * more_times

    def operations(self) -> OperationCount:
        """Return the operations of one pass."""
        more_times = self._times_more_columns()
        if more_times is None:
            return count_operations(self.run)
        few = count_operations(lambda: self.run(COLUMNS_AT_ONCE))
        more = count_operations(lambda: self.run(2 * COLUMNS_AT_ONCE))
        flops = few.flops + (more.flops - few.flops) * more_times
        half = weighted([(1.0 - more_times, few.half), (more_times, more.half)])
        return OperationCount(flops, tuple(sorted({*few.uncounted, *more.uncounted})), half)

    def _times_more_columns(self) -> float | None:
        """Return how often `COLUMNS_AT_ONCE` more are made after the first; None where all columns are made at once."""
        if self.outputs <= 2 * COLUMNS_AT_ONCE:
            return None
        ggn = GGN(self.model, self.loss, self.inputs, self.targets, verify=False)
        rows = ggn.rows_per_sample if ggn.matrix_free else 0
        return rows / COLUMNS_AT_ONCE - 1.0 if rows > 2 * COLUMNS_AT_ONCE else None


@dataclass(frozen=True)
class OwnHostSide:
    """The same of an optimizer that has a digital side of its own: the mean of its cycle, a pass of each kind."""

    optimizer: Hosted
    inputs: Inputs
    targets: Tensor

    def run(self, columns: int | None = None) -> None:
        """Make one pass; it makes no rows, so that `columns` limit nothing."""
        self.optimizer.host_pass(self.inputs, self.targets)

    def work(self) -> HostWork:
        """Return what a bill needs of the batch; that of the model is the optimizer's to know."""
        return HostWork(len(self.targets), len(self.targets), None)

    def seconds(self, clock: Clock) -> float:
        """Return the wall time of one pass."""
        return self._mean(lambda: clock.time(self.run)[0])

    def operations(self) -> OperationCount:
        """Return the operations of one pass."""
        counts: list[OperationCount] = []

        def count() -> float:
            counts.append(count_operations(self.run))
            return counts[-1].flops

        flops, names = self._mean(count), {name for each in counts for name in each.uncounted}
        shares = (number / self.optimizer.cycle for _, number in self.optimizer.phases)
        half = weighted(zip(shares, (each.half for each in counts), strict=True))
        return OperationCount(flops, tuple(sorted(names)), half)

    def _mean(self, measure: Callable[[], float]) -> float:
        kept, total = self.optimizer.iteration, 0.0
        for iteration, count in self.optimizer.phases:
            self.optimizer.iteration = iteration
            total += count * measure()
        self.optimizer.iteration = kept
        return total / self.optimizer.cycle


def host_side(
    optimizer: Stepper,
    model: nn.Module,
    loss: nn.Module,
    batch: tuple[Inputs, Tensor],
    outputs: int,
    verify: bool | Verification = False,
) -> HostSide | OwnHostSide:
    """Return the digital side of an iteration of `optimizer` on a `batch`."""
    if isinstance(optimizer, Hosted):
        return OwnHostSide(optimizer, *batch)
    return HostSide(model, loss, *batch, outputs, upload_of(optimizer), products_of(optimizer), verify)
