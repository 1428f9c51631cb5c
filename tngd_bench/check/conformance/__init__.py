"""Conformance: the checks that every optimizer, problem, device and engine has to pass, ours and those of plug-ins.

A check takes a registered name and returns what it found, in words; it raises `Failure` with what is wrong, or
`NotApplicable` with why it was not made. `tngd-bench test` runs each in a process of its own.
"""

from collections.abc import Callable, Mapping

from tngd_bench.check.conformance import devices, engines, optimizers, problems
from tngd_bench.studies.plugin import Kind

Check = Callable[[str], str]

CHECKS: Mapping[Kind, tuple[Check, ...]] = {
    "optimizer": (
        optimizers.contract,
        optimizers.shapes_and_dtypes,
        optimizers.determinism,
        optimizers.resume,
        optimizers.same_start_and_batches,
        optimizers.failed_step,
        optimizers.convex_problem,
        optimizers.operations,
        optimizers.memory,
        optimizers.on_cuda,
    ),
    "problem": (
        problems.sizes,
        problems.data,
        problems.starts,
        problems.scores,
        problems.curvature,
        problems.stated_layers,
        problems.problem_on_cuda,
    ),
    "device": (devices.described, devices.bill, devices.built, devices.relaxation),
    "engine": (engines.engine_results,),
}
"""The checks of each kind, in the order in which they are made."""
