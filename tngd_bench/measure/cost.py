"""Time per iteration of all optimizers at one size, interleaved in one process.

Round-robin: in each round every optimizer is timed on the same batches, so that what slows the machine for a while
slows all of them. The order changes each round, so that none always runs in the wake of another (`balanced_orders`).
Steps below 20 ms are timed in groups: untimed steps warm the caches that the others have filled, as they are in a
training loop, then two are timed. A longer step warms the caches by itself and is timed alone.
"""

import gc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from tngd_bench.datasets.splits import DataSplits, take
from tngd_bench.measure.clock import Clock, OwnClock
from tngd_bench.measure.containment import undisturbed
from tngd_bench.measure.gc_control import collected_by_hand
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.settling import SETTLING_STEPS, TIMED_STEPS, WARM_UP_SAMPLES
from tngd_bench.measure.step_limit import StepLimit
from tngd_bench.measure.step_timer import Batch, CostResult, StepTimer

MINIMUM_REPETITIONS = 4
"""Two processes then give the eight samples a side that a comparison needs (seven at least)."""
WARM_UP_STEPS = 2
"""Untimed steps at first: one on two samples, which loads all code, and one on a whole batch if steps are short."""
_YOUNG = 1  # a full collection empties Python's free lists too, and the next steps would pay for filling them


def measure_cost(
    instance: ProblemInstance,
    data: DataSplits,
    configs: Sequence[OptimizerConfig],
    *,
    repetitions: int,
    seconds_limit: float,
    least_repetitions: int = MINIMUM_REPETITIONS,
    on_timing: Callable[[str], None] = lambda label: None,
    simulating: bool = False,
    limits: Mapping[str, StepLimit] | None = None,
) -> tuple[CostResult, ...]:
    """Time up to `repetitions` iterations of each optimizer, in this process, warm-up apart.

    An optimizer gets no further repetition once it has spent `seconds_limit` seconds (and the untimed host part with
    it), but never fewer than `least_repetitions`. `on_timing(label)` is called, off the clock, before an optimizer is
    timed. One that diverges or raises is not timed any more, with the reason; the others go on. `simulating`: steps of
    devices are simulated that could be billed without. `limits` by label: an optimizer beyond its own is not timed any
    more, as "timed-out". Raises DisturbanceError where one changes the process that all of them are timed in.
    """
    clock = Clock(instance.device)
    batches = instance.batches(data.to(instance.device))
    first, second = next(batches), next(batches)
    timers = []
    for config in configs:
        on_timing(config.label)
        with undisturbed(instance.device, first, second):
            limit = (limits or {}).get(config.label)
            timer = StepTimer.of(instance, config, clock, simulating=simulating, limit=limit)
            timers.append(_warm_timer(timer, first, second))
    with collected_by_hand():
        orders = itertools.cycle(balanced_orders(len(timers)))
        for round_number in itertools.count():
            every = (timers[place] for place in next(orders))
            wanted = repetitions, least_repetitions, seconds_limit
            order = [timer for timer in every if timer.needs_more(*wanted)]
            if not order:
                break
            first_number = TIMED_STEPS * round_number
            _time_round(order, batches, first_number, repetitions, on_timing, instance.device)
    return tuple(timer.result() for timer in timers)


@dataclass(frozen=True)
class ProbedStep:
    """Seconds until an optimizer was made, until its steps were timed, and of a step, the mean of its cycle.

    `repeated`: the steps' worth of seconds that a repetition takes where it is a step of each kind; None where it is
    the whole cycle.
    """

    made_s: float
    before_s: float
    step_s: float
    repeated: float | None = None


def probe_step(
    instance: ProblemInstance, data: DataSplits, config: OptimizerConfig, *, simulating: bool
) -> ProbedStep:
    """Time a step of an optimizer for a plan.

    A step is all that `measure_cost` does for one, or, `simulating`, a training's, in which a device is simulated and
    no host is timed apart. Waiting for a processor is left out. Raises RuntimeError with the reason where the optimizer
    fails or diverges.
    """
    clock = OwnClock(instance.device)
    batches = instance.batches(data.to(instance.device))
    made_s, timer = clock.time(lambda: StepTimer.of(instance, config, clock, simulating=simulating))
    warm_s, _ = clock.time(lambda: _warm_timer(timer, next(batches), next(batches)))
    repetitions = timer.settling_steps + TIMED_STEPS if timer.is_short else 1
    taken_s, _ = clock.time(
        lambda: _time_round([timer], batches, 0, TIMED_STEPS, lambda label: None, instance.device)
    )
    if timer.status != "ok":
        raise RuntimeError(f"{config.label} {timer.status}: {timer.reason}")
    own = simulating or timer.is_phased
    step_s = min(each.step_s for each in timer.iterations) if own else taken_s / (repetitions * timer.cycle)
    repeated = taken_s / step_s if timer.is_phased else None
    return ProbedStep(made_s, made_s + warm_s, step_s, repeated)


def _warm_timer(timer: StepTimer, first: Batch, second: Batch) -> StepTimer:
    few = slice(WARM_UP_SAMPLES)
    timer.check_curvature(*second)
    timer.time([(take(first[0], few), first[1][few])], [None])
    if timer.is_short:
        timer.time([second], [None])
    return timer


def _time_round(
    timers: Sequence[StepTimer],
    batches: Iterator[Batch],
    first: int,
    repetitions: int,
    on_timing: Callable[[str], None],
    device: torch.device,
) -> None:
    """Time each optimizer on the same batches; `first` is the number of the round's first repetition."""
    gc.collect(_YOUNG)
    settling = [next(batches) for _ in range(SETTLING_STEPS)]
    timed = [next(batches) for _ in range(TIMED_STEPS)]
    for timer in timers:
        on_timing(timer.config.label)
        with undisturbed(device, *settling, *timed):
            if timer.is_short:
                wanted = min(TIMED_STEPS, repetitions - len(timer.iterations))
                untimed = settling[: timer.settling_steps]
                numbers = range(first, first + wanted)
                timer.time([*untimed, *timed[:wanted]], [*[None] * len(untimed), *numbers])
            else:
                timer.time(timed[:1], [first])


def balanced_orders(count: int) -> list[tuple[int, ...]]:
    """Return orders of 0 … count − 1: `count` of them, twice as many for an odd count above 1.

    An optimizer that runs after a long one finds other caches than one that runs after its like; in a fixed order each
    always has the same one before it, and two equal optimizers then differ by some percent. In a Williams design
    (E. J. Williams, Aust. J. Sci. Res. A 2, 149, 1949) each stands in each place, and right after each other one,
    equally often.
    """
    steps = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    orders = [tuple((start + step) % count for step in steps) for start in range(max(count, 1))]
    return orders if count % 2 == 0 or count == 1 else orders + [order[::-1] for order in orders]
