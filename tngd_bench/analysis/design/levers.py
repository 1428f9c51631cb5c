"""The levers of a design: figures made k times better, and words exchanged for others.

Those of the device are its fields that change the time of an iteration, found by their descriptions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

from tngd_bench.analysis.design.machine import Design, Machine
from tngd_bench.optimizers.factor_roofline import ON_DEVICE
from tngd_bench.spu.description import DEVICE_FIELDS

LIMIT = 1e12
"""The factor that stands for "as good as can be"."""
_TAU = "resistance_ohm"
"""The field by which τ = RC is changed; its capacitance stays."""
SIGN_AND_VALUE_BITS = 2
"""Shortest word that carries a signed number."""
Value = float | str | bool


@dataclass(frozen=True)
class Lever:
    """A number of the machine that can be made k times better."""

    name: str
    title: str
    unit: str
    value: Callable[[Machine], float]
    better: Callable[[Machine, float], Machine]
    changes_values: bool = False
    """Whether it makes a worse device, as shorter words do, so that it is asked for alone only."""


@dataclass(frozen=True)
class Choice:
    """A word of the machine, and the others that it can be."""

    name: str
    title: str
    value: Callable[[Machine], Value]
    ways: tuple[Callable[[Machine], Machine], ...]
    changes_values: bool = False
    """Whether it changes what is computed, as the host's precision does, which its rival could change as well."""


def figures(design: Design) -> Iterator[Lever]:
    """Yield the numbers of the machine that change the time of an iteration."""
    if design.optimizer == ON_DEVICE:
        better = partial(_copied, design=design)
        yield Lever("copies", "copies of the arrays", "", attrgetter("copies"), better)
    for name, info in DEVICE_FIELDS.items():
        value = getattr(design.now.device, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        stated = number and not info.imperfection and 0 < value < math.inf
        if not stated or not (info.milder or name == _TAU):
            continue
        for sign in (1, -1):
            better = partial(_scaled, name=name, sign=sign, whole=info.accepted.whole)
            if _shortens_an_item(design, partial(better, times=LIMIT)):
                title, unit = ("time constant τ", "s") if name == _TAU else (info.title, info.unit)
                milder = name == _TAU or sign == {"larger": 1, "smaller": -1}[info.milder]
                value_of = attrgetter(f"device.{'time_constant_s' if name == _TAU else name}")
                yield Lever(name, title, unit, value_of, better, not milder)


def _copied(machine: Machine, times: float, *, design: Design) -> Machine:
    """Return the machine with so many times the copies, as many as there are right-hand sides at most."""
    most = max(max(layer[0] + 1, layer[1]) for layer in design.prediction.model.layers)
    return replace(machine, copies=max(machine.copies, min(math.floor(machine.copies * times + 1e-9), most)))


def _scaled(machine: Machine, times: float, *, name: str, sign: int, whole: bool) -> Machine:
    """Return the machine with a field that many times larger, or smaller."""
    value = getattr(machine.device, name) * times**sign
    if whole:
        least = SIGN_AND_VALUE_BITS if name == "word_bits" else 1
        value = math.floor(value + 1e-9) if sign > 0 else max(least, math.ceil(value - 1e-9))
    return machine.on(**{name: value})


def choices(design: Design) -> Iterator[Choice]:
    """Yield the words of the machine, with the other values that make an iteration quicker, now or at its best."""
    p, found = design.prediction, []
    free = design.now.on(link_rate_bits_per_s=None)
    for name, info in DEVICE_FIELDS.items():
        value = getattr(p.device, name)
        if info.accepted.words and not info.imperfection:
            others: Sequence[Value] = [not value] if isinstance(value, bool) else info.accepted.words
            changes = [partial(Machine.on, **{name: other}) for other in others if other != value]
            found.append(Choice(name, info.title, attrgetter(f"device.{name}"), tuple(changes)))
    if not p.work.analog.delay:
        found.append(Choice("overlap", "rows sent as they are made", attrgetter("overlap"), (_flipped,)))
    assert p.processor is not None
    rates = [partial(_at, precision=name) for name in p.processor.rates if name != design.now.precision]
    of_host = "precision of the host's passes"
    found.append(Choice("host_precision", of_host, attrgetter("precision"), tuple(rates), True))
    for choice in found:
        ways = tuple(
            way for way in choice.ways if any(_helps(design, each, way) for each in (design.now, free))
        )
        if ways:
            yield replace(choice, ways=ways)


def _flipped(machine: Machine) -> Machine:
    return replace(machine, overlap=not machine.overlap)


def _at(machine: Machine, *, precision: str) -> Machine:
    return replace(machine, precision=precision)


def _shortens_an_item(design: Design, change: Callable[[Machine], Machine]) -> bool:
    """Whether a change shortens an item of the bill, however small a part of an iteration it is."""
    try:
        changed = change(design.now)
    except ValueError:
        return False
    after = design.bill(changed).items
    shorter = any((after[name] or 0.0) < (now or 0.0) for name, now in design.bill(design.now).items.items())
    return shorter and design.seconds(changed) <= design.seconds(design.now)


def _helps(design: Design, machine: Machine, change: Callable[[Machine], Machine]) -> bool:
    """Whether a change of `machine` makes an iteration quicker; a device that is refused does not."""
    try:
        changed = change(machine)
    except ValueError:
        return False
    return design.seconds(changed) < design.seconds(machine) * (1 - 1e-12)
