"""The case that optimizers are benchmarked on: scikit-learn's digits, models of two sizes, batches of 32.

asv starts a process for every cell of a benchmark. Those that only read what `setup_cache` found must not import torch
for it, so it is imported where something is measured.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tngd_bench.optimizers import registry as optimizers
from tngd_bench.optimizers.costs import predicted_cost
from tngd_bench.problems import registry as problems

if TYPE_CHECKING:
    from tngd_bench.datasets.splits import DataSplits
    from tngd_bench.measure.problem_instance import ProblemInstance

PROBLEM, BATCH_SIZE, TRAIN_SIZE = "digits-mlp", 32, 640
SIZES = [1_000, 20_000]
OPTIMIZERS = list(optimizers.names())
MOST_OPERATIONS = 2e10
"""A step beyond this many takes seconds; as a regression test it would tell nothing more."""


def make_case(parameters: int) -> tuple[ProblemInstance, DataSplits, list[str]]:
    """Return the problem at a size, its data, and the optimizers whose step is short enough there."""
    from tngd_bench.measure.problem_instance import ProblemInstance

    problem = problems.get(PROBLEM)
    widths = problem.widths(parameters)
    instance = ProblemInstance(
        PROBLEM, parameters, widths.outputs, BATCH_SIZE, "float32", ("benchmarks", parameters)
    )
    cost = partial(predicted_cost, parameters=widths.parameters, rows=instance.rows, batch_size=BATCH_SIZE)
    flops = {name: cost(name, outputs=widths.outputs, layers=widths.layers).flops for name in OPTIMIZERS}
    names = [name for name, count in flops.items() if count <= MOST_OPERATIONS]
    return instance, problem.load(train_size=TRAIN_SIZE), names
