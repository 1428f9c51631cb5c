"""Predict what an optimizer needs in a trial, and skip it where that exceeds the study's limits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.settling import WARM_UP_SAMPLES
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.optimizers.costs import PredictedCost, cost_of, host_cost, host_cost_of
from tngd_bench.optimizers.families import FAMILIES
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.problems.widths import Widths
from tngd_bench.solvers.cg_iterations import CGIterations
from tngd_bench.spu.device import Device
from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.plan.inputs import MachineLimits
from tngd_bench.studies.plan.trials import Candidate, SkipReason

GIGABYTE = 1e9
HONEST_FACTOR = 2.0
"""Operations counted over operations stated, up to which a stated cost is taken as true."""
_COUNTING = 6.0
"""What counting adds to a step, in what its calls take: 120 inspections of paper-fig2a and quick, on an AMD EPYC
(2026-11-30), took 0.5 to 3.3 times what is predicted with it, the most where CG makes many iterations and by K-FAC."""


@dataclass(frozen=True)
class SizedProblem:
    """An instance of a problem with the widths of its model."""

    instance: ProblemInstance
    widths: Widths

    @classmethod
    def of(cls, instance: ProblemInstance) -> SizedProblem:
        """Return an instance with its widths."""
        return cls(instance, instance.entry.widths(instance.parameters, instance.outputs))

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return 8 if self.instance.dtype == "float64" else 4

    def iteration(self, settings: Mapping[str, object] | None = None, steps: int = 0) -> Iteration:
        """Return an iteration of an optimizer with these settings, as cost formulas take it.

        It is the mean one of a training of so many `steps`, or the first.
        """
        size = self.widths.parameters, self.instance.rows, self.instance.batch_size, self.instance.outputs
        stop = dataclasses.replace(CGIterations.of(settings or {}), steps=steps)
        return Iteration(*size, self.widths.layers, stop, double=self.itemsize > 4)


@dataclass(frozen=True)
class CandidateMaker:
    """Makes candidates for trials on a machine, with the limits of `execution`."""

    execution: Execution
    machine: MachineLimits

    def timed(self, config: OptimizerConfig, problem: SizedProblem) -> Candidate:
        """Return an optimizer for a cost block, which has the machine to itself."""
        return self._candidate(config, problem, self.machine.rate_cost, side_by_side=1)

    def inspected(self, config: OptimizerConfig, problem: SizedProblem, steps: int = 0) -> Candidate:
        """Return an optimizer for an inspection, beside others, or for a training of so many `steps`."""
        rate, beside = self.machine.rate_training, self.execution.workers
        return self._candidate(config, problem, rate, side_by_side=beside, steps=steps)

    def trained(self, config: OptimizerConfig, problem: SizedProblem, iterations: int) -> Candidate:
        """Return an optimizer for a training run, skipped too where the whole run exceeds its limit."""
        candidate = self.inspected(config, problem, iterations)
        seconds, limit = iterations * candidate.least_seconds, self.execution.trial_seconds_limit
        if candidate.skip is not None or seconds <= limit:
            return candidate
        reason = f"needs ≈ {seconds:.3g} s for {iterations} iterations, limit {limit:g} s"
        return dataclasses.replace(candidate, skip=SkipReason("skipped", reason))

    def seconds_before(self, config: OptimizerConfig, problem: SizedProblem) -> tuple[float, float]:
        """Return the seconds of a first step, on a few samples, and of the check of the curvature.

        The check takes about what the host of a device does: the model's passes, once for each row.
        """
        few = dataclasses.replace(problem.instance, batch_size=WARM_UP_SAMPLES)
        first = self.timed(config, SizedProblem(few, problem.widths)).least_seconds
        checked = FAMILIES[optimizers.get(config.method).family].second_order
        rate = self.machine.rate_cost
        return first, host_cost(problem.iteration(), "factored").seconds(rate) if checked else 0.0

    def inspected_seconds(self, candidate: Candidate, problem: SizedProblem) -> float:
        """Return the mean seconds of an inspection's two steps, of which one has its operations counted.

        Of a simulated device they are the host's alone.
        """
        config, device = candidate.config, _device(candidate.config)
        if device is None:
            cost, _ = predicted(config, problem)
        else:
            cost = host_cost_of(
                config.method, problem.iteration(), device.upload, problem.itemsize, config.settings
            )
        if not cost.known:
            return candidate.least_seconds
        rate = self.machine.rate_training
        seconds = cost.seconds(rate)
        return seconds + _COUNTING / 2.0 * (seconds - cost.flops / rate)

    def _candidate(
        self,
        config: OptimizerConfig,
        problem: SizedProblem,
        rate: float,
        *,
        side_by_side: int,
        steps: int = 0,
    ) -> Candidate:
        """Predict one iteration's time and memory, and skip what exceeds the limits, naming both."""
        cost, simulates = predicted(config, problem, steps)
        if not cost.known:
            # it makes a gradient, whatever else it does; the limits of a trial guard the rest
            least = cost_of("sgd", problem.iteration(), problem.itemsize)
            seconds, size = least.flops / rate, least.bytes
            return Candidate(config, math.nan, math.nan, gradient_seconds=seconds, gradient_bytes=size)
        seconds, limit = cost.seconds(rate), self.execution.seconds_per_iteration_limit
        budget = self.machine.working_bytes * self.execution.memory_limit_fraction / side_by_side
        reasons = []
        if seconds > limit:
            needs = (
                f"needs {cost.flops:.3g} FLOP in {cost.flops / rate:.3g} s, and "
                f"{seconds - cost.flops / rate:.3g} s for calls and memory: {seconds:.3g} s per iteration"
            )
            reasons.append(f"{needs}, limit {limit:g} s{simulates}")
        if cost.bytes > budget:
            reasons.append(f"needs {cost.bytes / GIGABYTE:.3g} GB, budget {budget / GIGABYTE:.3g} GB")
        skip = SkipReason("skipped", "; ".join(reasons)) if reasons else None
        return Candidate(config, seconds, cost.bytes, skip)


def _device(config: OptimizerConfig) -> Device | None:
    """Return the device that an optimizer simulates, None for a digital one."""
    entry = optimizers.get(config.method)
    if not config.simulated or entry.device is None:
        return None
    return entry.device({**entry.defaults, **config.settings})


def predicted(config: OptimizerConfig, problem: SizedProblem, steps: int = 0) -> tuple[PredictedCost, str]:
    """Return the cost of an iteration, and what to say of a device that is simulated.

    It is the mean one of a training of so many `steps`, in which devices are always simulated, or the first.
    """
    settings, device = config.settings, _device(config)
    iteration, simulates = problem.iteration(settings, steps), ""
    if device is not None and not steps:
        entry = optimizers.get(config.method)
        if entry.device_billed_alone(settings) is not None:
            return host_cost_of(config.method, iteration, device.upload, problem.itemsize, settings), ""
        needs = "on how often the device is used" if entry.bill_needs_step else "on the scale of its arrays"
        simulates = f" (its bill depends {needs}, so it is simulated)"
    return cost_of(config.method, iteration, problem.itemsize, settings, device), simulates


def understated(config: OptimizerConfig, problem: SizedProblem, counted: float) -> str:
    """Return the fault in the operations that an optimizer states, where more than twice as many are `counted`.

    The most expensive step of its cycle is what is counted. "" where it is honest, or nothing is stated or counted.
    """
    entry = optimizers.get(config.method)
    stated = predicted(config, problem)[0].flops * entry.cycle({**entry.defaults, **config.settings})
    if not counted > HONEST_FACTOR * stated:
        return ""
    return f"a step takes {counted:.3g} operations, and its cost states {stated:.3g}"
