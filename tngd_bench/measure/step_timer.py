"""Timing of one optimizer: groups of short steps, whole cycles of steps that differ, the bill of a device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from tngd_bench.datasets.splits import Samples
from tngd_bench.measure.clock import Clock
from tngd_bench.measure.containment import checked_loss
from tngd_bench.measure.host_time import HostSide, HostWork, OwnHostSide, host_side
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.settling import LONG_CYCLE_S, is_short, settling_steps
from tngd_bench.measure.step_limit import SlowStepError, StepLimit
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.optimizers.natural import NaturalOptimizer
from tngd_bench.optimizers.registry import Billed, Phased, Stepper
from tngd_bench.optimizers.torch_class.optimizer import TorchOptimizer
from tngd_bench.spu.ledger import Ledger

Batch = tuple[Samples, Tensor]
Status = Literal["ok", "diverged", "failed", "timed-out"]
Routing = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Shapes of parameters by name, by the optimizer that has them."""


@dataclass(frozen=True)
class TimedIteration:
    """Seconds of one iteration: `step_s` and `digital_s` measured, the others modelled by the device.

    For a digital optimizer the first two agree and the modelled ones are 0. For a simulated one `digital_s` is the
    host's part; `step_s` contains the simulation, and is NaN where none was needed. A modelled one without a stated
    time is NaN. `overlap_s` is the part of the host's time during which the device relaxes too (an asynchronous delay).
    Iterations of equal `repetition` were made in the same round on the same batch.
    """

    repetition: int
    step_s: float
    digital_s: float
    write_s: float = 0.0
    relax_s: float = 0.0
    read_s: float = 0.0
    overlap_s: float = 0.0

    @property
    def total_s(self) -> float:
        """Seconds of an iteration with a real device: measured digital and modelled device seconds, overlap once."""
        return self.digital_s + self.write_s + self.relax_s + self.read_s - self.overlap_s


@dataclass(frozen=True)
class CostResult:
    """The timed iterations of one optimizer, or why there are none; `bill` is the last iteration's, of a device."""

    label: str
    status: Status
    reason: str | None
    iterations: tuple[TimedIteration, ...]
    solver_iterations: int | None = None
    bill: Ledger | None = None
    first_step_s: float | None = None
    """Of the first step, on few samples: what it loads, sets up and compiles is no part of `iterations`."""
    routing: Routing | None = None
    """Which optimizer has which parameters, of an optimizer named by its class."""
    least_step_s: float | None = None
    """Seconds of the iteration that was beyond its limit."""


@dataclass(frozen=True)
class _Timing:
    """Seconds of a step, the mean of its cycle where steps differ, and of all that was done to time it.

    `step_s` is NaN where a device's host alone was timed. `digital_s` are those of a digital system, with the device's
    `ledger`.
    """

    step_s: float
    taken_s: float
    digital_s: float
    ledger: Ledger | None = None

    @classmethod
    def digital(cls, step_s: float, taken_s: float) -> _Timing:
        """Return the timing of a digital optimizer, whose step is all there is."""
        return cls(step_s, taken_s, step_s)


@dataclass
class StepTimer:
    """Times the steps of one optimizer on a model of its own; one that fails or diverges notes why and stops."""

    config: OptimizerConfig
    model: nn.Module
    loss: nn.Module
    optimizer: Stepper
    outputs: int
    clock: Clock
    host_alone: bool
    """Whether the device is billed without simulating its step."""
    limit: StepLimit | None = None
    iterations: list[TimedIteration] = field(default_factory=list)
    spent_s: float = 0.0
    status: Status = "ok"
    reason: str | None = None
    _last_s: float = 0.0
    """Seconds of the last step, the mean of its cycle where steps differ."""
    _first_step_s: float | None = None
    """None before it was made."""
    _least_step_s: float | None = None
    _phased: Phased | None = None
    """The optimizer, where a step of each of its `phases` is timed in place of a whole cycle."""
    _bill: Ledger | None = None
    _work: HostWork | None = None
    """Of the last batch size billed without a step."""

    @classmethod
    def of(
        cls,
        instance: ProblemInstance,
        config: OptimizerConfig,
        clock: Clock,
        *,
        simulating: bool = False,
        limit: StepLimit | None = None,
    ) -> StepTimer:
        """Return the timer of an optimizer on a model at its start; `simulating`: of every step, as in a training."""
        model = instance.model()
        alone = optimizers.get(config.method).device_billed_alone
        host_alone = config.simulated and not simulating and alone(config.settings) is not None
        optimizer = instance.optimizer(config, model)
        about = model, instance.loss(), optimizer, instance.outputs, clock, host_alone
        return cls(config, *about, limit)

    @property
    def is_short(self) -> bool:
        """Whether what is timed at once, by the last time, is so short that cold caches would show."""
        return is_short(self._last_s * self.cycle)

    @property
    def settling_steps(self) -> int:
        """Untimed steps before short steps are timed."""
        return settling_steps(self._last_s * self.cycle)

    @property
    def is_phased(self) -> bool:
        """Whether a repetition is a step of each kind, and no whole cycle."""
        return self._phased is not None

    @property
    def cycle(self) -> int:
        """Steps after which the optimizer's work repeats."""
        return int(getattr(self.optimizer, "cycle", 1))

    def needs_more(self, repetitions: int, least: int, seconds_limit: float) -> bool:
        """Return whether it is to be timed again: up to `repetitions`, beyond `least` while there are seconds left."""
        done = len(self.iterations)
        wanted = done < repetitions and (done < least or self.spent_s < seconds_limit)
        return self.status == "ok" and wanted

    def check_curvature(self, inputs: Samples, targets: Tensor) -> None:
        """Have the curvature checked on a whole batch, off the clock; timed steps then make no check."""
        if isinstance(self.optimizer, NaturalOptimizer):
            with self._noting_failure():
                self.optimizer.check_curvature(inputs, targets)
                self.optimizer.verification.paused = True

    def time(self, batches: Sequence[Batch], repetitions: Sequence[int | None]) -> None:
        """Time a step on each batch and note it under its repetition; None is warm-up."""
        if self.status != "ok":
            return
        warm = self._first_step_s is not None
        with self._noting_failure():
            for repetition, timing in zip(repetitions, self._timings(batches), strict=True):
                self._bill = timing.ledger
                host_s = timing.digital_s if self.config.simulated else 0.0
                self._last_s = host_s if self.host_alone else timing.step_s + host_s
                if repetition is not None:
                    self.spent_s += timing.taken_s
                    device_s = device_seconds(timing.ledger, timing.digital_s)
                    made = TimedIteration(repetition, timing.step_s, timing.digital_s, *device_s)
                    self.iterations.append(made)
                if self.limit is not None and warm:
                    self.limit.check(self._last_s)
                warm = True

    def result(self) -> CostResult:
        """Return what was timed."""
        solved = getattr(self.optimizer, "iterations", None)
        made = tuple(self.iterations)
        routing = self.optimizer.routing if isinstance(self.optimizer, TorchOptimizer) else None
        about = self.config.label, self.status, self.reason
        first_s, least_s = self._first_step_s, self._least_step_s
        return CostResult(*about, made, solved, self._bill, first_s, routing, least_s)

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except DivergedError as error:
            self.status, self.reason = "diverged", str(error)
        except SlowStepError as error:
            self.status, self.reason, self._least_step_s = "timed-out", str(error), error.seconds
        except Exception as error:
            # One optimizer's defect must not lose the others' times; it is recorded as failed, with its message.
            self.status, self.reason = "failed", f"{type(error).__name__}: {error}"

    def _timings(self, batches: Sequence[Batch]) -> Iterator[_Timing]:
        """Yield the timing of a step on each batch.

        Of a device, the host is timed and the rest billed; its step is simulated only where the bill depends on it. Of
        an optimizer whose steps differ periodically (K-FAC's refreshes) a whole `cycle` is made on each batch, and the
        seconds are their mean: a median over single steps would never see the expensive ones.
        """
        if not self.config.simulated:
            # One after the other as in a training loop: what this harness does in between would empty caches.
            yield from self._step_timings(batches)
            return
        for batch in batches:
            made = None if self.host_alone else self._step_timings([batch])[0]
            known = getattr(self.optimizer, "verification", False)
            host = host_side(self.optimizer, self.model, self.loss, batch, self.outputs, known)
            digital_s = host.seconds(self.clock)
            if made is None:
                yield _Timing(math.nan, digital_s, digital_s, self._billed_alone(host))
            else:
                ledger = getattr(self.optimizer, "ledger", None)
                yield _Timing(made.step_s, made.taken_s + digital_s, digital_s, ledger)

    def _billed_alone(self, host: HostSide | OwnHostSide) -> Ledger:
        assert isinstance(self.optimizer, Billed)
        if self._work is None or self._work.batch_size != len(host.targets):
            self._work = host.work()
        return self.optimizer.bill(self._work.rows, self._work.batch_size, self._work.layers)

    def _step_timings(self, batches: Sequence[Batch]) -> list[_Timing]:
        if self._first_step_s is None:
            first, *others = batches
            return [self._warm_up(*first), *(self._step_timings(others) if others else [])]
        if self._phased is not None:
            return [self._step_of_each_kind(self._phased, *batch) for batch in batches]
        times = itertools.pairwise(self._clock_readings(batches, self.cycle))
        return [_Timing.digital((end - start) / self.cycle, end - start) for start, end in times]

    def _clock_readings(self, batches: Sequence[Batch], steps_each: int) -> list[float]:
        """Make `steps_each` steps on each batch; return the clock before them and after each batch."""
        step, now = self.optimizer.step, self.clock.now
        # one step of a cycle may do the work of the whole cycle
        steps = max(len(batches) * steps_each, self.cycle)
        with self.limit.around(steps) if self.limit else nullcontext():
            times, losses, loss = [now()], [], 0.0
            for inputs, targets in batches:
                for _ in range(steps_each):
                    loss = step(inputs, targets)
                times.append(now())
                losses.append(loss)
        for loss in losses:
            checked_loss(loss, len(self.iterations))
        return times

    def _seconds_of_steps(self, inputs: Samples, targets: Tensor, count: int) -> float:
        start, end = self._clock_readings([(inputs, targets)], count)
        return end - start

    def _step_of_each_kind(self, optimizer: Phased, inputs: Samples, targets: Tensor) -> _Timing:
        taken_s = weighted_s = 0.0
        for iteration, count in optimizer.phases:
            optimizer.iteration = iteration
            seconds = self._seconds_of_steps(inputs, targets, 1)
            taken_s += seconds
            weighted_s += count * seconds
        return _Timing.digital(weighted_s / self.cycle, taken_s)

    def _warm_up(self, inputs: Samples, targets: Tensor) -> _Timing:
        """Make a whole cycle, or two steps where that is too long: the second does all kinds of work, code loaded."""
        first_s = self._first_step_s = self._seconds_of_steps(inputs, targets, 1)
        if self.cycle == 1:
            return _Timing.digital(first_s, first_s)
        second_s = self._seconds_of_steps(inputs, targets, 1)
        if second_s * self.cycle > LONG_CYCLE_S and isinstance(self.optimizer, Phased):
            self._phased = self.optimizer
            return _Timing.digital(second_s, first_s + second_s)
        taken_s = first_s + second_s + self._seconds_of_steps(inputs, targets, self.cycle - 2)
        return _Timing.digital(taken_s / self.cycle, taken_s)


def device_seconds(ledger: Ledger | None, digital_s: float) -> tuple[float, float, float, float]:
    """Return a device's (write, relax, read) seconds, NaN for what is not stated, and what overlaps `digital_s`."""
    if ledger is None:
        return 0.0, 0.0, 0.0, 0.0
    items = ledger.items.items()

    def seconds(stage: str) -> float:
        stated = (value for name, value in items if name.partition("_")[0] == stage)
        return sum((math.nan if value is None else value for value in stated), 0.0)

    return seconds("write"), seconds("relax"), seconds("read"), min(digital_s, ledger.overlapped)
