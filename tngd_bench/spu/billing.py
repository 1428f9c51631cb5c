"""What one iteration costs on a device, in closed form: seconds, joules, bits on the link, break-even link rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from tngd_bench import arguments
from tngd_bench.layers import Layer
from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import Ledger


class WorkloadOptions(TypedDict, total=False):
    """The part of a `Workload` that has defaults, as keywords of `Device.latency` and `Device.energy`."""

    scale: float | None
    samples: int
    spacing: float
    programmings: int
    delay: float
    layers: tuple[Layer, ...] | None
    batch_size: int | None
    carried: bool


@dataclass(frozen=True)
class Workload:
    """One iteration: N `parameters`, m `rows`, t `analog_time` (units of τ).

    `scale` s ≤ 1 by which the arrays hold A too small: settling takes 1/s as long; None where it is not known
    beforehand, because a conductance range sets it by the values that the arrays hold · `samples` read `spacing` apart
    and averaged beside the converters · `programmings` K of the arrays (ensemble error mitigation) · `delay` t_d ·
    `layers` and `batch_size` for the factored upload · `carried` whether x(0) is the previous state, which an ensemble
    has to write anew before each of its K programmings.
    """

    parameters: int
    rows: int
    analog_time: float
    scale: float | None = None
    samples: int = 1
    spacing: float = 0.0
    programmings: int = 1
    delay: float = 0.0
    layers: tuple[Layer, ...] | None = None
    batch_size: int | None = None
    carried: bool = False

    def __post_init__(self) -> None:
        for name in ("parameters", "rows", "samples", "programmings"):
            arguments.integer(name, getattr(self, name), minimum=1)
        for name in ("analog_time", "spacing", "delay"):
            arguments.real(name, getattr(self, name), minimum=0.0)
        arguments.flag("carried", self.carried)
        if self.scale is not None and arguments.real("scale", self.scale, above=0.0) > 1.0:
            raise ValueError(f"scale must be <= 1, not {self.scale!r}: arrays hold A or less of it")
        if self.delay > self.analog_time:
            raise ValueError(f"delay must be <= analog_time = {self.analog_time:g}, not {self.delay:g}")


def state_writes(work: Workload) -> int:
    """How often the N values of x(0) are written onto the nodes: a single programming finds them there."""
    return work.programmings if work.carried and work.programmings > 1 else 0


def array_words(device: Device, work: Workload) -> int:
    """Numbers sent for the arrays: one per cell, or m·Σd_out + b·Σd_in with the factored upload (and H, m²).

    Layers used at several positions send a and g at each. ValueError when the layers are not given.
    """
    if device.upload == "full":
        return device.cells(work.parameters, work.rows)
    if work.layers is None or work.batch_size is None:
        raise ValueError(
            "layers and batch_size must be given with upload='factored', which sends both ends of layers"
        )
    outputs = sum(d_out * positions for _, d_out, positions in work.layers)
    inputs = sum(d_in * positions for d_in, _, positions in work.layers)
    middle = work.rows**2 if device.hessian_array else 0
    return work.rows * outputs + work.batch_size * inputs + middle


def words_on_link(device: Device, work: Workload) -> int:
    """Numbers over the link in one iteration, both directions: arrays, g and x(0) of an ensemble in, x out."""
    per_programming = array_words(device, work) + 2 * work.parameters
    return work.programmings * per_programming + state_writes(work) * work.parameters


def link_bits(device: Device, work: Workload) -> int:
    """Bits over the link in one iteration, both directions."""
    return device.word_bits * words_on_link(device, work)


def latency(device: Device, work: Workload) -> Ledger:
    """Modelled seconds of one iteration, item by item; arrays and rows are written one after another.

    Writing cells and converting are None ("not stated") where the device states no time for them, which is not the same
    as a time of zero (`cell_write_time_s` 0, a rate of infinity). So is `relax_slowdown`, what a scale s < 1 adds to
    the relaxation, on a device whose conductance range sets s where `work` does not give it.
    """
    k, n = work.programmings, work.parameters
    states = state_writes(work)
    unit = device.time_constant_s / (1.0 if work.scale is None else work.scale)
    items: dict[str, float | None] = {
        "write_gradient": k * _transfer_s(device, n),
        "write_arrays": k * _transfer_s(device, array_words(device, work)),
        "write_cells": _times(device.cell_write_time_s, k * _write_steps(device, work)),
        "write_convert": _conversions_s(device.dac_rate_hz, (k + states) * device.nodes_per_converter),
        "relax": k * work.analog_time * unit,
    }
    if states:
        items["write_state"] = states * _transfer_s(device, n)
    if work.samples > 1:
        items["relax_average"] = k * (work.samples - 1) * work.spacing * unit
    if work.scale is None and device.bill_needs_simulation:
        items["relax_slowdown"] = None
    items["read_convert"] = _conversions_s(device.adc_rate_hz, k * work.samples * device.nodes_per_converter)
    items["read"] = k * _transfer_s(device, n)
    return Ledger("s", items, work.delay * unit)


def energy(device: Device, work: Workload) -> Ledger:
    """Modelled joules of one iteration under the items of `latency`; None ("not stated") without a price."""
    k, n = work.programmings, work.parameters
    word = _times(device.link_energy_j_per_bit, device.word_bits)
    power = device.relax_power_watt
    times = latency(device, work).items
    prices: Mapping[str, float | None] = {
        "write_gradient": _times(word, k * n),
        "write_arrays": _times(word, k * array_words(device, work)),
        "write_cells": _times(device.cell_write_energy_j, k * device.cells(n, work.rows)),
        "write_convert": _times(device.dac_energy_j, (k + state_writes(work)) * n),
        "write_state": _times(word, state_writes(work) * n),
        "relax": _times(power, times["relax"]),
        "relax_average": _times(power, times.get("relax_average")),
        "relax_slowdown": None,
        "read_convert": _times(device.adc_energy_j, k * n * work.samples),
        "read": _times(word, k * n),
    }
    return Ledger("J", {name: value for name, value in prices.items() if name in times})


def break_even_link_rate(
    device: Device, work: Workload, competitor_s: float, digital_s: float = 0.0
) -> float | None:
    """Link rate (bits/s) at which one iteration takes as long as a digital optimizer's `competitor_s`.

    `digital_s` is what the host of the device spends itself. The rate is bits/(competitor − digital − the rest of the
    bill), the host's work overlapping the delay; None when no rate is enough. With an item of the bill not stated it is
    a lower bound, and None still means that no rate is enough: the items that are stated already exceed the competitor.
    """
    arguments.real("competitor_s", competitor_s, minimum=0.0)
    arguments.real("digital_s", digital_s, minimum=0.0)
    unlimited = latency(device.override(link_rate_bits_per_s=None), work).elapsed_at_least(digital_s)
    assert unlimited is not None  # link and relaxation always have a figure
    left = competitor_s - unlimited
    return link_bits(device, work) / left if left > 0.0 and math.isfinite(left) else None


def _transfer_s(device: Device, words: int) -> float:
    rate = device.link_rate_bits_per_s
    return 0.0 if rate is None else words * device.word_bits / rate


def _conversions_s(rate_hz: float | None, conversions: int) -> float | None:
    return None if rate_hz is None else conversions / rate_hz


def _write_steps(device: Device, work: Workload) -> int:
    arrays = (1 if device.shared_array else 2) + int(device.hessian_array)
    steps = {"array": arrays, "row": arrays * work.rows, "cell": device.cells(work.parameters, work.rows)}
    return steps[device.write_parallel]


def _times(price: float | None, amount: float | None) -> float | None:
    return None if price is None or amount is None else price * amount
