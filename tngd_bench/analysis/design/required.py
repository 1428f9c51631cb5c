"""Requirements of a device and its host that has to be a number of times faster than a digital rival.

One prediction function answers all of it, `Design.seconds`. Figures (link rate, τ, word length, copies, …) are made k
times better, and the time falls with k, so that the least k is bracketed and bisected; words (upload, overlap,
precision, …) are tried one by one. Times that are not stated count as none and those of processors are lower bounds: so
is what is required.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tngd_bench import arguments
from tngd_bench.analysis.design.levers import LIMIT, Choice, Lever, Value, choices, figures
from tngd_bench.analysis.design.machine import Design, Machine
from tngd_bench.optimizers.roofline import Alternative, Prediction


@dataclass(frozen=True)
class Need:
    """Requirement of one figure or word alone; `needed` is None where no value is enough, `seconds` the best."""

    name: str
    title: str
    unit: str
    now: Value
    needed: Value | None
    seconds: float
    changes_values: bool = False
    """Whether it changes what is computed, beside the time."""


@dataclass(frozen=True)
class Together:
    """A machine with figures `times` better, and the words that need least; those that change values stay."""

    times: float
    values: Mapping[str, tuple[Value, Value]]
    """By title, what has to change: the value now and the value needed."""
    seconds: float


@dataclass(frozen=True)
class Required:
    """Requirements for `target_seconds`, the rival's time divided by the factor asked for.

    `together` and `together_as_is`, the words being as they are: None where nothing is enough. `floor_seconds` is the
    iteration with every figure and word at its best, `host_floor_seconds` the host's share of it. `host_times`: by what
    factor the host would have to be faster, every figure and word of the device at its best.
    """

    rival: str
    rival_seconds: float
    target_seconds: float
    now_seconds: float
    host_seconds: float
    rival_joules: float
    host_joules: float
    """Of the rival and of the host as it is, at the power of their processor: lower bounds."""
    host_missing_bytes: float
    alone: tuple[Need, ...]
    together: Together | None
    together_as_is: Together | None
    floor_seconds: float
    host_floor_seconds: float
    not_stated: tuple[str, ...] = ()
    """The items of the device's bill that count as no time, as none is stated."""

    @property
    def reached(self) -> bool:
        """Whether the machine is fast enough as it is, with a host that has the memory."""
        return self.now_seconds <= self.target_seconds and not self.host_missing_bytes

    @property
    def host_times(self) -> float | None:
        """The factor by which the host's passes would have to be quicker; None where that would not do."""
        left = self.target_seconds - (self.floor_seconds - self.host_floor_seconds)
        return None if left <= 0.0 else max(1.0, self.host_floor_seconds / left)


def rival_of(p: Prediction, beat: str = "best") -> Alternative:
    """Return the digital optimizer called `beat`, or the quickest second-order one; ValueError without its time."""
    names = [each.name for each in p.alternatives]
    arguments.choice("beat", beat, ("best", *names))
    found = p.best_rival if beat == "best" else p.alternatives[names.index(beat)]
    if found is None or found.seconds is None:
        timed = [each.name for each in p.alternatives if each.seconds is not None]
        raise ValueError(
            f"beat = {beat!r} has no time on this processor, whose memory is too small; accepted: "
            f"{', '.join(timed) or 'another processor'}"
        )
    return found


def required(design: Design, beat: str = "best", factor: float = 1.0) -> Required:
    """Return the figures that make the machine `factor` times faster than the digital optimizer `beat`."""
    rival = rival_of(design.prediction, beat)
    assert rival.seconds is not None
    target = rival.seconds / arguments.real("factor", factor, above=0.0)
    now, numbers, words = design.now, list(figures(design)), list(choices(design))
    alone = [_alone(design, figure, target) for figure in numbers]
    alone += [_word_alone(design, choice, target) for choice in words]
    numbers = [figure for figure in numbers if not figure.changes_values]
    words = [choice for choice in words if not choice.changes_values]
    ways = _machines(now, words)
    best = min((_all_better(machine, numbers, LIMIT) for machine in ways), key=design.seconds)
    return Required(
        rival.name,
        rival.seconds,
        target,
        design.seconds(now),
        design.host_seconds(now),
        rival.joules or 0.0,
        design.host_seconds(now) * design.host_watts,
        design.host_missing_bytes,
        tuple(alone),
        _together(design, ways, (numbers, words), target),
        _together(design, [now], (numbers, words), target),
        design.seconds(best),
        design.host_seconds(best),
        design.bill(now).not_stated,
    )


def least_factor(seconds: Callable[[float], float], target: float) -> float | None:
    """Return the least k ≥ 1 with `seconds`(k) ≤ `target`, to 1e-12 of it, `seconds` falling; None where none is."""
    if seconds(1.0) <= target:
        return 1.0
    if seconds(LIMIT) > target:
        return None
    low, high = 0.0, math.log(LIMIT)
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (low, middle) if seconds(math.exp(middle)) <= target else (middle, high)
    return math.exp(high)


def _alone(design: Design, figure: Lever, target: float) -> Need:
    now = design.now
    times = least_factor(lambda k: design.seconds(figure.better(now, k)), target)
    best = figure.better(now, LIMIT if times is None else times)
    needed = None if times is None else figure.value(best)
    taken, changes = design.seconds(best), figure.changes_values
    return Need(figure.name, figure.title, figure.unit, figure.value(now), needed, taken, changes)


def _word_alone(design: Design, choice: Choice, target: float) -> Need:
    best = design.now
    if design.seconds(best) > target:
        best = min((best, *(way(best) for way in choice.ways)), key=design.seconds)
    taken = design.seconds(best)
    needed = choice.value(best) if taken <= target else None
    return Need(choice.name, choice.title, "", choice.value(design.now), needed, taken, choice.changes_values)


def _machines(now: Machine, choices: Sequence[Choice]) -> list[Machine]:
    """Return the machine with every combination of words, those with the fewest changes first."""
    found = []
    for ways in itertools.product(*((None, *choice.ways) for choice in choices)):
        machine, changes = now, [way for way in ways if way is not None]
        for way in changes:
            machine = way(machine)
        found.append((len(changes), machine))
    return [machine for _, machine in sorted(found, key=lambda each: each[0])]


def _all_better(machine: Machine, numbers: Sequence[Lever], times: float) -> Machine:
    for figure in numbers:
        machine = figure.better(machine, times)
    return machine


def _seconds(design: Design, machine: Machine, numbers: Sequence[Lever], times: float) -> float:
    return design.seconds(_all_better(machine, numbers, times))


def _together(
    design: Design,
    machines: Sequence[Machine],
    ways: tuple[Sequence[Lever], Sequence[Choice]],
    target: float,
) -> Together | None:
    """Return the machine that has to be the fewest times better; None where none of `machines` gets there."""
    (numbers, words), least, best = ways, LIMIT, None
    for machine in machines:
        # one that is too slow at the least factor so far cannot do with less
        if _seconds(design, machine, numbers, least * (1 - 1e-9)) > target:
            continue
        times = least_factor(partial(_seconds, design, machine, numbers), target)
        if times is not None:
            least, best = times, machine
        if least == 1.0:
            break
    if best is None:
        return None
    needed = _all_better(best, numbers, least)
    levers: list[Lever | Choice] = [*numbers, *words]
    values = {each.title: (each.value(design.now), each.value(needed)) for each in levers}
    changed = {title: pair for title, pair in values.items() if pair[0] != pair[1]}
    return Together(least, changed, design.seconds(needed))
