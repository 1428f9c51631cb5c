"""Exact operations of one step, and its peak memory in a process of its own."""

import math

from benchmarks.case import OPTIMIZERS, SIZES, make_case
from tngd_bench.measure.optimizer_config import OptimizerConfig


class Operations:
    """Floating-point operations of one whole step, a simulated device's arithmetic included."""

    params = (OPTIMIZERS, SIZES)
    param_names = ("optimizer", "parameters")
    version = "1"
    unit = "FLOP"

    def setup_cache(self):
        """Return the counts by (optimizer, parameters)."""
        from tngd_bench.measure.operations import count_operations
        from tngd_bench.measure.threads import use_threads

        use_threads(1)
        counts = {}
        for parameters in SIZES:
            instance, data, names = make_case(parameters)
            inputs, targets = next(instance.batches(data))
            for name in names:
                optimizer = instance.optimizer(OptimizerConfig.of(name), instance.model())
                count = count_operations(lambda o=optimizer, x=inputs, y=targets: o.step(x, y))
                counts[name, parameters] = count.flops
        return counts

    def track_operations(self, counts, optimizer, parameters):
        """Exact: any change is a change of the method."""
        return counts.get((optimizer, parameters), math.nan)


class Memory:
    """Peak resident memory of one step above what was resident before; of a simulated method, the host's part."""

    params = (OPTIMIZERS, SIZES[-1:])
    param_names = ("optimizer", "parameters")
    version = "1"
    unit = "bytes"

    def track_peak_memory(self, optimizer, parameters):
        """Each in the process that asv makes for it: a peak cannot be shared."""
        from tngd_bench.measure.inspection import inspect_step
        from tngd_bench.measure.threads import use_threads

        use_threads(1)
        instance, data, names = make_case(parameters)
        if optimizer not in names:
            return math.nan
        return inspect_step(instance, data, OptimizerConfig.of(optimizer)).memory.peak_bytes
