"""Exact operations of one step, and the memory of its tensors at the most: the same on every run and machine."""

import math
from functools import partial

from benchmarks.case import OPTIMIZERS, SIZES, make_case
from tngd_bench.measure.optimizer_config import OptimizerConfig


def setup_cache():
    """Return (operations, bytes) by (optimizer, parameters)."""
    from tngd_bench.measure.inspection import inspect_step
    from tngd_bench.measure.memory import PeakMemory, measure_allocated
    from tngd_bench.measure.operations import count_operations
    from tngd_bench.measure.threads import use_threads

    use_threads(1)
    found = {}
    for parameters in SIZES:
        instance, data, names = make_case(parameters)
        inputs, targets = next(instance.batches(data))
        for config in map(OptimizerConfig.of, names):
            optimizer = instance.optimizer(config, instance.model())
            count = count_operations(partial(optimizer.step, inputs, targets))
            inspected = inspect_step(instance, data, config, lambda work: PeakMemory(measure_allocated(work)))
            found[config.label, parameters] = count.flops, inspected.memory.peak_bytes
    return found


class Operations:
    """Floating-point operations of one whole step, a simulated device's arithmetic included."""

    params = (OPTIMIZERS, SIZES)
    param_names = ("optimizer", "parameters")
    version = "1"
    unit = "FLOP"

    def track_operations(self, found, optimizer, parameters):
        """Exact: any change is a change of the method."""
        return found.get((optimizer, parameters), (math.nan, math.nan))[0]


class Memory:
    """Peak of one step's tensors, state included; of a simulated method, the host's part."""

    params = (OPTIMIZERS, SIZES)
    param_names = ("optimizer", "parameters")
    version = "2"  # of allocations; resident memory before
    unit = "bytes"

    def track_allocated(self, found, optimizer, parameters):
        """Exact, like the operations."""
        return found.get((optimizer, parameters), (math.nan, math.nan))[1]
