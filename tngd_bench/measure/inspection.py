"""Operations and peak memory of one step of an optimizer, off the clock and in a process of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from tngd_bench.curvature import Verification
from tngd_bench.curvature.route import COLUMNS_AT_ONCE
from tngd_bench.datasets.splits import DataSplits
from tngd_bench.measure.host_time import HostSide, OwnHostSide, host_side
from tngd_bench.measure.memory import PeakMemory, measure_gpu_peak, measure_peak
from tngd_bench.measure.operations import OperationCount, count_operations, weighted
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.step_timer import Batch
from tngd_bench.optimizers.natural import NaturalOptimizer
from tngd_bench.optimizers.torch_class.optimizer import TorchOptimizer


@dataclass(frozen=True)
class Inspection:
    """Operations and memory of one iteration."""

    operations: OperationCount
    memory: PeakMemory


def inspect_step(
    instance: ProblemInstance,
    data: DataSplits,
    config: OptimizerConfig,
    peak: Callable[[Callable[[], object]], PeakMemory] | None = None,
) -> Inspection:
    """Count the operations of one iteration and measure the peak memory of one iteration, state included.

    The memory is what `peak` finds of it; None: resident memory, on a GPU the GPU's.

    Of an optimizer named by its class a whole cycle of steps is made after a first one that sets its state up: the
    operations are the mean of the cycle, the memory is the peak of all. For a simulated optimizer both are of the
    digital side that a real system keeps, not of the simulation. The first step of an optimizer with periodic work
    (K-FAC) holds all of it: its most expensive iteration is counted. The check of the curvature against autograd is
    made before and is no part of it.
    """
    batch = next(instance.batches(data.to(instance.device)))
    known = _verified(instance, config, batch)

    def host() -> HostSide | OwnHostSide:
        model = instance.model()
        optimizer = instance.optimizer(config, model)
        if known is not None and isinstance(optimizer, NaturalOptimizer):
            optimizer.verification = known
        return host_side(optimizer, model, instance.loss(), batch, instance.outputs, known or False)

    def one_step() -> None:
        if config.simulated:
            # Rows that are made a few columns at a time peak with the first of them.
            host().run(COLUMNS_AT_ONCE)
            return
        optimizer = instance.optimizer(config, instance.model())
        if known is not None and isinstance(optimizer, NaturalOptimizer):
            optimizer.verification = known
        optimizer.step(*batch)
        if isinstance(optimizer, TorchOptimizer):
            _make_cycle(optimizer, batch)

    # The counted step comes first and is the warm-up of the measured one.
    if config.simulated:
        operations = host().operations()
    elif isinstance(by_class := instance.optimizer(config, instance.model()), TorchOptimizer):
        by_class.step(*batch)
        whole = count_operations(lambda: _make_cycle(by_class, batch))
        mean = weighted([(1.0 / by_class.cycle, whole.half)])
        operations = replace(whole, flops=whole.flops / by_class.cycle, half=mean)
    else:
        operations = count_operations(one_step)
    device = instance.device
    if peak is None:
        peak = measure_peak if device.type == "cpu" else partial(measure_gpu_peak, device=device)
    return Inspection(operations, peak(one_step))


def _make_cycle(optimizer: TorchOptimizer, batch: Batch) -> None:
    for _ in range(optimizer.cycle):
        optimizer.step(*batch)


def _verified(instance: ProblemInstance, config: OptimizerConfig, batch: Batch) -> Verification | None:
    """Return the check of the curvature on this batch, with no further check; None for other optimizers."""
    optimizer = instance.optimizer(config, instance.model())
    if not isinstance(optimizer, NaturalOptimizer):
        return None
    optimizer.check_curvature(*batch)
    optimizer.verification.paused = True
    return optimizer.verification
