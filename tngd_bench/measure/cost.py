"""Time per iteration of all optimizers at one size, interleaved in one process.

Round-robin: in each round every optimizer has its turn on the same batches, so that what slows the machine for a
while slows all of them. The order turns by one each round, so none always runs in the wake of another. A turn of short
steps is three: the first, untimed, brings code and data back into the caches that the others have
filled, as they are in a training loop; two are timed. A longer step finds its caches by itself and is a turn.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tngd_bench.measure.clock import Clock
from tngd_bench.measure.contestant import Contestant
from tngd_bench.measure.host_time import host_seconds
from tngd_bench.measure.setting import Setting
from tngd_bench.optimizers import DivergedError
from tngd_bench.problems.splits import take
from tngd_bench.spu.host import upload_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tngd_bench.optimizers.registry import Stepper
    from tngd_bench.problems.splits import DataSplits, Samples
    from tngd_bench.spu.ledger import Ledger

MINIMUM_REPETITIONS = 4
"""Two processes then give the eight samples a side that a comparison needs (seven at least)."""
WARM_UP_STEPS = 2
"""Untimed steps at first: one on two samples, which loads all code, and one on a whole batch if steps are short."""
WARM_UP_SAMPLES = 2
SHORT_STEP_S = 0.02
TIMED_PER_SHORT_TURN = 2
LONG_CYCLE_S = 5.0
"""A cycle longer than this is not made step by step: a step of each kind is, and weighs as often as it occurs."""
_YOUNG = 1  # a full collection empties Python's free lists too, and the next steps would pay for filling them
NOT_STATED = float("nan")


@dataclass(frozen=True)
class TimedIteration:
    """Seconds of one iteration: `step_s` and `digital_s` measured, the other three modelled by the device.

    For a simulated optimizer `step_s` contains the simulation and `digital_s` is the host's part alone; for a
    digital one they agree and the modelled ones are 0. NaN: the device states no price. `overlap_s` is the part of the
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
    phased: bool = False
    """Whether a turn is a step of each kind (`phases`) in place of a whole cycle."""
    turn_s: float = 0.0
    bill: Ledger | None = None
    status: Literal["ok", "diverged", "failed"] = "ok"
    reason: str | None = None

    @property
    def is_short(self) -> bool:
        """Whether what is timed at once, by the last time, is so short that cold caches would show."""
        return self.last_s * self.cycle < SHORT_STEP_S

    def needs_more(self, repetitions: int, least: int, seconds_limit: float) -> bool:
        done = len(self.iterations)
        wanted = done < repetitions and (done < least or self.spent_s < seconds_limit)
        return self.status == "ok" and wanted

    def run(self, clock: Clock, inputs: Samples, targets: Tensor) -> tuple[float, float, Ledger | None]:
        """Make one step; return its seconds, the digital side's, and the device's ledger.

        An optimizer whose steps differ periodically (K-FAC's refreshes) makes a whole `cycle` of them, and the seconds
        are their mean: a median over single steps would never see the dear ones.
        """
        if self.warm:
            step_s = self._step_seconds(clock, inputs, targets)
        else:
            step_s = self._warm_up_seconds(clock, inputs, targets)
            self.warm = True
        if not self.contestant.simulated:
            return step_s, step_s, None
        upload = upload_of(self.optimizer)
        digital_s = host_seconds(self.model, self.loss, inputs, targets, self.outputs, upload, clock)
        return step_s, digital_s, getattr(self.optimizer, "ledger", None)

    def _steps(self, clock: Clock, inputs: Samples, targets: Tensor, count: int) -> float:
        step = self.optimizer.step
        start = clock.now()
        for _ in range(count):
            step(inputs, targets)
        return clock.now() - start

    def _step_seconds(self, clock: Clock, inputs: Samples, targets: Tensor) -> float:
        if not self.phased:
            self.turn_s = self._steps(clock, inputs, targets, self.cycle)
            return self.turn_s / self.cycle
        self.turn_s = weighted_s = 0.0
        for iteration, count in self.optimizer.phases:  # type: ignore[attr-defined]  # asked for in the warm-up
            self.optimizer.iteration = iteration  # type: ignore[attr-defined]
            seconds = self._steps(clock, inputs, targets, 1)
            self.turn_s += seconds
            weighted_s += count * seconds
        return weighted_s / self.cycle

    def _warm_up_seconds(self, clock: Clock, inputs: Samples, targets: Tensor) -> float:
        """Make a whole cycle, or two steps where that is too long: the second does all kinds of work, code loaded."""
        first_s = self._steps(clock, inputs, targets, 1)
        if self.cycle == 1:
            return first_s
        second_s = self._steps(clock, inputs, targets, 1)
        self.phased = second_s * self.cycle > LONG_CYCLE_S and hasattr(self.optimizer, "phases")
        if self.phased:
            return second_s
        return (first_s + second_s + self._steps(clock, inputs, targets, self.cycle - 2)) / self.cycle

    @property
    def cycle(self) -> int:
        """Steps after which the optimizer's work repeats."""
        return int(getattr(self.optimizer, "cycle", 1))

    def result(self) -> CostResult:
        solved = getattr(self.optimizer, "iterations", None)
        made = tuple(self.iterations)
        return CostResult(self.contestant.label, self.status, self.reason, made, solved, self.bill)


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
        lanes.append(lane)
        few = slice(WARM_UP_SAMPLES)
        _take_turn(lane, clock, take(first_inputs, few), first_targets[few], None)
        if lane.is_short:
            _take_turn(lane, clock, second_inputs, second_targets, None)
    with _collected_by_hand():
        for round_number in itertools.count():
            turning = round_number % max(len(lanes), 1)
            order = [
                lane
                for lane in lanes[turning:] + lanes[:turning]
                if lane.needs_more(repetitions, least_repetitions, seconds_limit)
            ]
            if not order:
                break
            gc.collect(_YOUNG)
            settling, *timed = (next(batches) for _ in range(1 + TIMED_PER_SHORT_TURN))
            for lane in order:
                on_turn(lane.contestant.label)
                if lane.is_short:
                    _take_turn(lane, clock, *settling, None)
                for number, (inputs, targets) in enumerate(timed if lane.is_short else timed[:1]):
                    if len(lane.iterations) < repetitions:
                        _take_turn(lane, clock, inputs, targets, TIMED_PER_SHORT_TURN * round_number + number)
    return tuple(lane.result() for lane in lanes)


@contextlib.contextmanager
def _collected_by_hand() -> Iterator[None]:
    """Keep the garbage collector off the clock; what exists already is set aside, so collecting stays quick."""
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()


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


def _take_turn(lane: _Lane, clock: Clock, inputs: Samples, targets: Tensor, repetition: int | None) -> None:
    """Make one step and note it; `repetition` None is warm-up."""
    if lane.status != "ok":
        return
    try:
        step_s, digital_s, ledger = lane.run(clock, inputs, targets)
    except DivergedError as error:
        lane.status, lane.reason = "diverged", str(error)
        return
    except Exception as error:
        # One optimizer's defect must not lose the others' times; it is recorded as failed, with its message.
        lane.status, lane.reason = "failed", f"{type(error).__name__}: {error}"
        return
    lane.bill = ledger
    host_s = digital_s if lane.contestant.simulated else 0.0
    lane.last_s = step_s + host_s
    if repetition is not None:
        lane.spent_s += lane.turn_s + host_s
        modelled = (*ledger_seconds(ledger), overlapping_seconds(ledger, digital_s))
        lane.iterations.append(TimedIteration(repetition, step_s, digital_s, *modelled))
