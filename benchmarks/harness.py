"""The overhead of the harness: time of a step on its clock against the same steps in a bare loop; the bar is 2 %.

    python -m benchmarks.harness                 a table, about two minutes on a quiet machine
    python -m benchmarks.harness --rounds 60

Rounds alternate in one process, harness first in one and the loop first in the next: each is a ratio of median seconds
per step. The loop repeats the very steps that the harness makes, untimed ones too: a CG step late in training takes
more products than an early one. Printed is the median over rounds, with the exact 95 % interval of a median.
"""

import math
import statistics
import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from torch import Tensor, nn

from benchmarks.runs import command_line
from tngd_bench.analysis.training.time_to_target import median_interval
from tngd_bench.datasets.splits import DataSplits, Samples
from tngd_bench.measure.cost import WARM_UP_STEPS, measure_cost
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.threads import use_threads
from tngd_bench.optimizers.registry import Stepper
from tngd_bench.problems import registry as problems

BAR = 0.02
STEPS = 20
OPTIMIZERS = ("sgd", "adam", "ngd-gram", "ngd-cg")
SIZES = (1_000, 100_000)


@dataclass(frozen=True)
class Overhead:
    """Time inside the harness over time in a bare loop: the median over rounds and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether the bar is met, missed, or neither can be said."""
        if self.low >= 1 - BAR and self.high <= 1 + BAR:
            return "met"
        return "missed" if self.low > 1 + BAR or self.high < 1 - BAR else "open: more rounds"


def overhead(optimizer: str, parameters: int, rounds: int) -> Overhead:
    """Measure a digital optimizer's steps on 8×8 digits both ways, `rounds` times."""
    data = problems.get("digits-mlp").load(None, None, "float32", 10)
    config = OptimizerConfig.of(optimizer)
    ratios = []
    for number in range(rounds):
        instance = ProblemInstance("digits-mlp", parameters, 10, 32, "float32", ("harness", number))
        recording = _RecordingInstance(**vars(instance))
        _harness_seconds(recording, data, config)
        timings = {
            "harness": partial(_harness_seconds, instance, data, config),
            "loop": partial(_loop_seconds, instance, recording.made, config),
        }
        seconds = {name: timings[name]() for name in sorted(timings, reverse=bool(number % 2))}
        ratios.append(seconds["harness"] / seconds["loop"])
    return Overhead(statistics.median(ratios), *median_interval(np.array(ratios))[:2])


@dataclass(frozen=True)
class _RecordingInstance(ProblemInstance):
    """An instance whose optimizer notes the batches it is given."""

    made: list[tuple[Samples, Tensor]] = field(default_factory=list)

    def optimizer(self, config: OptimizerConfig, model: nn.Module) -> Stepper:
        return _Noting(super().optimizer(config, model), self.made)


@dataclass
class _Noting:
    stepper: Stepper
    made: list[tuple[Samples, Tensor]]

    def step(self, inputs: Samples, targets: Tensor) -> float:
        self.made.append((inputs, targets))
        return self.stepper.step(inputs, targets)


def _harness_seconds(instance: ProblemInstance, data: DataSplits, config: OptimizerConfig) -> float:
    (result,) = measure_cost(instance, data, [config], repetitions=STEPS, seconds_limit=math.inf)
    return statistics.median(iteration.step_s for iteration in result.iterations)


def _loop_seconds(
    instance: ProblemInstance, batches: list[tuple[Samples, Tensor]], config: OptimizerConfig
) -> float:
    stepper = instance.optimizer(config, instance.model())
    for inputs, targets in batches[:WARM_UP_STEPS]:
        stepper.step(inputs, targets)
    seconds = []
    for inputs, targets in batches[WARM_UP_STEPS:]:
        start = time.perf_counter()
        stepper.step(inputs, targets)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    """Print a row per optimizer and size."""
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    use_threads(1)
    print(f"time inside the harness over a bare loop, {rounds} rounds of {STEPS} steps; bar 1 ± {BAR:g}")
    for parameters in SIZES:
        for optimizer in OPTIMIZERS:
            found = overhead(optimizer, parameters, rounds)
            interval = f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"
            print(f"{optimizer:10} N = {parameters:>9,}  {interval}  {found.verdict}", flush=True)


if __name__ == "__main__":
    main()
