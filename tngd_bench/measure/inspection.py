"""What one step of an optimizer needs, off the clock and in a process of its own: operations and peak memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tngd_bench.curvature.route import COLUMNS_AT_ONCE
from tngd_bench.measure.host_time import host_operations
from tngd_bench.measure.memory import PeakMemory, measure_gpu_peak, measure_peak
from tngd_bench.measure.operations import OperationCount, count_operations
from tngd_bench.measure.optimizer_config import Contestant
from tngd_bench.measure.workload import Setting
from tngd_bench.optimizers.natural import NaturalOptimizer
from tngd_bench.spu.host import host_pass, upload_of

if TYPE_CHECKING:
    from torch import Tensor

    from tngd_bench.curvature import Verification
    from tngd_bench.datasets.splits import DataSplits, Samples


@dataclass(frozen=True)
class Inspection:
    """Operations and memory of one iteration."""

    operations: OperationCount
    memory: PeakMemory


def inspect_step(setting: Setting, data: DataSplits, contestant: Contestant) -> Inspection:
    """Count the operations of one iteration and measure the peak memory of one iteration, state included.

    On a GPU the memory is the GPU's.

    For a simulated optimizer both are of the digital side that a real system keeps, not of the simulation. The
    first step of an optimizer with periodic work (K-FAC) holds all of it: its most expensive iteration is counted. The
    check of the curvature against autograd, a reverse pass each 100 steps, is made before and is no part of it.
    """
    inputs, targets = next(setting.batches(data.to(setting.device)))
    known = _verified(setting, contestant, inputs, targets)

    def one_step() -> None:
        model = setting.model()
        optimizer = setting.optimizer(contestant, model)
        if contestant.simulated:
            # Rows that are made a few columns at a time peak with the first of them.
            loss, upload = setting.loss(), upload_of(optimizer)
            host_pass(model, loss, inputs, targets, upload, COLUMNS_AT_ONCE, verify=known or False)
        else:
            if known is not None and isinstance(optimizer, NaturalOptimizer):
                optimizer.verification = known
            optimizer.step(inputs, targets)

    # The counted step comes first and is the warm-up of the measured one.
    if contestant.simulated:
        model = setting.model()
        upload = upload_of(setting.optimizer(contestant, model))
        operations = host_operations(
            model, setting.loss(), inputs, targets, setting.outputs, upload, verify=known or False
        )
    else:
        operations = count_operations(one_step)
    device = setting.device
    memory = measure_peak(one_step) if device.type == "cpu" else measure_gpu_peak(one_step, device)
    return Inspection(operations, memory)


def _verified(
    setting: Setting, contestant: Contestant, inputs: Samples, targets: Tensor
) -> Verification | None:
    """What a check of the curvature on this batch finds, with no further check; None for other optimizers."""
    optimizer = setting.optimizer(contestant, setting.model())
    if not isinstance(optimizer, NaturalOptimizer):
        return None
    optimizer.check_curvature(inputs, targets)
    optimizer.verification.paused = True
    return optimizer.verification
