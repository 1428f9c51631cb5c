"""Time per iteration of all optimizers at one size, interleaved in one process.

Round-robin: in each round every optimizer has its turn on the same batches, so that what slows the machine for a
while slows all of them. The order changes each round, so that none always runs in the wake of another (see `orders`). A
turn of short steps is several: the first, untimed, bring code and data back into the caches that the others have
filled, as they are in a training loop; two are timed. A longer step finds its caches by itself and is a turn.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tngd_bench.datasets.splits import take
from tngd_bench.measure.clock import Clock
from tngd_bench.measure.gc_control import collected_by_hand
from tngd_bench.measure.host_time import HostWork, host_seconds, host_work
from tngd_bench.measure.optimizer_config import Contestant
from tngd_bench.measure.williams_design import balanced_orders
from tngd_bench.measure.workload import Setting
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.optimizers.natural import NaturalOptimizer
from tngd_bench.optimizers.registry import Billed, Phased
from tngd_bench.spu.host import upload_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tngd_bench.datasets.splits import DataSplits, Samples
    from tngd_bench.optimizers.registry import Stepper
    from tngd_bench.spu.ledger import Ledger

MINIMUM_REPETITIONS = 4
"""Two processes then give the eight samples a side that a comparison needs (seven at least)."""
WARM_UP_STEPS = 2
"""Untimed steps at first: one on two samples, which loads all code, and one on a whole batch if steps are short."""
WARM_UP_SAMPLES = 2
SHORT_STEP_S, VERY_SHORT_STEP_S = 0.02, 0.002
SETTLING_STEPS = 5
"""Of very short steps; of short ones it is one. After one, a step of 0.3 ms that follows K-FAC's still takes 5 % longer
than the same that follows its like. With the timed ones they are seven, no divisor of the periods of periodic work."""
TIMED_PER_SHORT_TURN = 2
LONG_CYCLE_S = 5.0
"""A cycle longer than this is not made step by step: a step of each kind is, and weighs as often as it occurs."""
_YOUNG = 1  # a full collection empties Python's free lists too, and the next steps would pay for filling them
NOT_STATED = float("nan")
NOT_TIMED = float("nan")


@dataclass(frozen=True)
class TimedIteration:
    """Seconds of one iteration: `step_s` and `digital_s` measured, the other three modelled by the device.

    For a digital optimizer the first two agree and the modelled ones are 0. For a simulated one `digital_s` is the
    host's part; `step_s` contains the simulation, and is NaN where none was needed. A modelled one that is NaN has no
    price stated. `overlap_s` is the part of the
    host's time during which the device relaxes too (an asynchronous delay). Iterations of equal `repetition` were made
    in the same round on the same batch.
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
        """What an iteration takes with a real device: measured digital and modelled device seconds, overlap once."""
        return self.digital_s + self.write_s + self.relax_s + self.read_s - self.overlap_s


@dataclass(frozen=True)
class CostResult:
    """The timed iterations of one optimizer, or why there are none."""

    label: str
    status: Literal["ok", "diverged", "failed"]
    reason: str | None
    iterations: tuple[TimedIteration, ...]
    solver_iterations: int | None = None
    bill: Ledger | None = None
    """The last iteration's, of a device; None for a digital optimizer."""


@dataclass(frozen=True)
class _Turn:
    """Seconds of a step, the mean of its cycle where steps differ, and what the whole turn has taken.

    `step_s` is NaN where a device's host alone was timed. `digital_s` are those of a digital system, with the device's
    `ledger`.
    """

    step_s: float
    taken_s: float
    digital_s: float
    ledger: Ledger | None = None


@dataclass
class _Lane:
    """One optimizer in the race, with a model of its own."""

    contestant: Contestant
    model: nn.Module
    loss: nn.Module
    optimizer: Stepper
    outputs: int
    iterations: list[TimedIteration] = field(default_factory=list)
    last_s: float = 0.0
    """Seconds of the last step, the mean of its cycle where steps differ."""
    spent_s: float = 0.0
    warm: bool = False
    phased: Phased | None = None
    """The optimizer, where a turn is a step of each of its `phases` in place of a whole cycle."""
    bill: Ledger | None = None
    host_alone: bool = False
    """Whether the device is billed without simulating its step."""
    work: HostWork | None = None
    """Of the last batch size billed without a step."""
    status: Literal["ok", "diverged", "failed"] = "ok"
    reason: str | None = None

    def settle(self, inputs: Samples, targets: Tensor) -> None:
        """Have the curvature checked on a whole batch, off the clock; timed steps then make no check."""
        if isinstance(self.optimizer, NaturalOptimizer):
            self.optimizer.check_curvature(inputs, targets)
            self.optimizer.verification.paused = True

    @property
    def is_short(self) -> bool:
        """Whether what is timed at once, by the last time, is so short that cold caches would show."""
        return self.last_s * self.cycle < SHORT_STEP_S

    @property
    def settling_steps(self) -> int:
        """Untimed steps at the start of a turn of short steps."""
        return SETTLING_STEPS if self.last_s * self.cycle < VERY_SHORT_STEP_S else 1

    def needs_more(self, repetitions: int, least: int, seconds_limit: float) -> bool:
        done = len(self.iterations)
        wanted = done < repetitions and (done < least or self.spent_s < seconds_limit)
        return self.status == "ok" and wanted

    def run(self, clock: Clock, batches: Sequence[tuple[Samples, Tensor]]) -> Iterator[_Turn]:
        """Make a turn on each batch and yield it.

        Of a device, the host is timed and the rest billed; its step is simulated only where the bill depends on it. An
        optimizer whose steps differ periodically (K-FAC's refreshes) makes a whole `cycle` of them a turn, and the
        seconds are their mean: a median over single steps would never see the expensive ones.
        """
        if not self.contestant.simulated:
            # One after the other as in a training loop: what this harness does in between would empty caches.
            yield from self._turns(clock, batches)
            return
        upload = upload_of(self.optimizer)
        for inputs, targets in batches:
            made = None if self.host_alone else self._turns(clock, [(inputs, targets)])[0]
            known = getattr(self.optimizer, "verification", False)
            digital_s = host_seconds(
                self.model, self.loss, inputs, targets, self.outputs, upload, clock, verify=known
            )
            if made is None:
                yield _Turn(NOT_TIMED, digital_s, digital_s, self._billed_alone(inputs, targets, upload))
            else:
                ledger = getattr(self.optimizer, "ledger", None)
                yield _Turn(made.step_s, made.taken_s + digital_s, digital_s, ledger)

    def _billed_alone(self, inputs: Samples, targets: Tensor, upload: str) -> Ledger:
        assert isinstance(self.optimizer, Billed)
        if self.work is None or self.work.batch_size != len(targets):
            self.work = host_work(self.model, self.loss, inputs, targets, upload)
        return self.optimizer.bill(self.work.rows, self.work.batch_size, self.work.layers)

    def _turns(self, clock: Clock, batches: Sequence[tuple[Samples, Tensor]]) -> list[_Turn]:
        if not self.warm:
            first, *others = batches
            self.warm = True
            return [self._warm_up(clock, *first), *(self._turns(clock, others) if others else [])]
        if self.phased is not None:
            return [self._step_of_each_kind(self.phased, clock, *batch) for batch in batches]
        cycle = self.cycle
        times = self._times(clock, batches, cycle)
        return [_digital((end - start) / cycle, end - start) for start, end in itertools.pairwise(times)]

    def _times(self, clock: Clock, batches: Sequence[tuple[Samples, Tensor]], steps_each: int) -> list[float]:
        """Make `steps_each` steps on each batch; return the clock before them and after each batch."""
        step, now = self.optimizer.step, clock.now
        times = [now()]
        for inputs, targets in batches:
            for _ in range(steps_each):
                step(inputs, targets)
            times.append(now())
        return times

    def _steps(self, clock: Clock, inputs: Samples, targets: Tensor, count: int) -> float:
        start, end = self._times(clock, [(inputs, targets)], count)
        return end - start

    def _step_of_each_kind(self, optimizer: Phased, clock: Clock, inputs: Samples, targets: Tensor) -> _Turn:
        taken_s = weighted_s = 0.0
        for iteration, count in optimizer.phases:
            optimizer.iteration = iteration
            seconds = self._steps(clock, inputs, targets, 1)
            taken_s += seconds
            weighted_s += count * seconds
        return _digital(weighted_s / self.cycle, taken_s)

    def _warm_up(self, clock: Clock, inputs: Samples, targets: Tensor) -> _Turn:
        """Make a whole cycle, or two steps where that is too long: the second does all kinds of work, code loaded."""
        first_s = self._steps(clock, inputs, targets, 1)
        if self.cycle == 1:
            return _digital(first_s, first_s)
        second_s = self._steps(clock, inputs, targets, 1)
        if second_s * self.cycle > LONG_CYCLE_S and isinstance(self.optimizer, Phased):
            self.phased = self.optimizer
            return _digital(second_s, first_s + second_s)
        taken_s = first_s + second_s + self._steps(clock, inputs, targets, self.cycle - 2)
        return _digital(taken_s / self.cycle, taken_s)

    @property
    def cycle(self) -> int:
        """Steps after which the optimizer's work repeats."""
        return int(getattr(self.optimizer, "cycle", 1))

    def result(self) -> CostResult:
        solved = getattr(self.optimizer, "iterations", None)
        made = tuple(self.iterations)
        return CostResult(self.contestant.label, self.status, self.reason, made, solved, self.bill)


def _digital(step_s: float, taken_s: float) -> _Turn:
    """Return the turn of a digital optimizer, whose step is all there is."""
    return _Turn(step_s, taken_s, step_s)


def measure_cost(
    setting: Setting,
    data: DataSplits,
    contestants: Sequence[Contestant],
    *,
    repetitions: int,
    seconds_limit: float,
    least_repetitions: int = MINIMUM_REPETITIONS,
    on_turn: Callable[[str], None] = lambda label: None,
) -> tuple[CostResult, ...]:
    """Time up to `repetitions` iterations of each contestant, in this process, warm-up apart.

    A contestant gets no further repetition once it has spent `seconds_limit` seconds (and the untimed host part
    with it), but never fewer than `least_repetitions`. `on_turn(label)` is called, off the clock, before each turn.
    An optimizer that diverges or raises leaves the race with the reason; the others go on.
    """
    clock = Clock(setting.device)
    data = data.to(setting.device)
    batches = setting.batches(data)
    (first_inputs, first_targets), (second_inputs, second_targets) = next(batches), next(batches)
    lanes: list[_Lane] = []
    for contestant in contestants:
        on_turn(contestant.label)
        model = setting.model()
        lane = _Lane(contestant, model, setting.loss(), setting.optimizer(contestant, model), setting.outputs)
        if contestant.simulated:
            entry = optimizers.get(contestant.method)
            lane.host_alone = entry.device_billed_alone(contestant.settings) is not None
        lanes.append(lane)
        few = slice(WARM_UP_SAMPLES)
        _settle(lane, second_inputs, second_targets)
        _take_turns(lane, clock, [(take(first_inputs, few), first_targets[few])], [None])
        if lane.is_short:
            _take_turns(lane, clock, [(second_inputs, second_targets)], [None])
    with collected_by_hand():
        orders = itertools.cycle(balanced_orders(len(lanes)))
        for round_number in itertools.count():
            turns = (lanes[place] for place in next(orders))
            order = [lane for lane in turns if lane.needs_more(repetitions, least_repetitions, seconds_limit)]
            if not order:
                break
            gc.collect(_YOUNG)
            settling = [next(batches) for _ in range(SETTLING_STEPS)]
            timed = [next(batches) for _ in range(TIMED_PER_SHORT_TURN)]
            for lane in order:
                on_turn(lane.contestant.label)
                first = TIMED_PER_SHORT_TURN * round_number
                if lane.is_short:
                    wanted = min(TIMED_PER_SHORT_TURN, repetitions - len(lane.iterations))
                    untimed = settling[: lane.settling_steps]
                    numbers = [*[None] * len(untimed), *range(first, first + wanted)]
                    _take_turns(lane, clock, [*untimed, *timed[:wanted]], numbers)
                else:
                    _take_turns(lane, clock, timed[:1], [first])
    return tuple(lane.result() for lane in lanes)


def ledger_seconds(ledger: Any) -> tuple[float, float, float]:
    """Return the (write, relax, read) seconds of a ledger, zeros for none, NaN for an item not stated."""
    if ledger is None:
        return 0.0, 0.0, 0.0
    sums = {"write": 0.0, "relax": 0.0, "read": 0.0}
    for name, seconds in ledger.items.items():
        kind = name.split("_")[0]
        sums[kind] += NOT_STATED if seconds is None else seconds
    return sums["write"], sums["relax"], sums["read"]


def overlapping_seconds(ledger: Ledger | None, digital_s: float) -> float:
    """Return the seconds of the host's `digital_s` during which the device relaxes (see `Ledger.elapsed`)."""
    return 0.0 if ledger is None else min(digital_s, ledger.overlapped)


def _take_turns(
    lane: _Lane,
    clock: Clock,
    batches: Sequence[tuple[Samples, Tensor]],
    repetitions: Sequence[int | None],
) -> None:
    """Make a turn on each batch and note it under its repetition; None is warm-up."""
    if lane.status != "ok":
        return
    with _noting_failure(lane):
        for repetition, turn in zip(repetitions, lane.run(clock, batches), strict=True):
            lane.bill = turn.ledger
            host_s = turn.digital_s if lane.contestant.simulated else 0.0
            lane.last_s = host_s if lane.host_alone else turn.step_s + host_s
            if repetition is not None:
                lane.spent_s += turn.taken_s
                modelled = (*ledger_seconds(turn.ledger), overlapping_seconds(turn.ledger, turn.digital_s))
                lane.iterations.append(TimedIteration(repetition, turn.step_s, turn.digital_s, *modelled))


def _settle(lane: _Lane, inputs: Samples, targets: Tensor) -> None:
    with _noting_failure(lane):
        lane.settle(inputs, targets)


@contextmanager
def _noting_failure(lane: _Lane) -> Iterator[None]:
    """Note on the lane why it diverged or failed inside the block."""
    try:
        yield
    except DivergedError as error:
        lane.status, lane.reason = "diverged", str(error)
    except Exception as error:
        # One optimizer's defect must not lose the others' times; it is recorded as failed, with its message.
        lane.status, lane.reason = "failed", f"{type(error).__name__}: {error}"
