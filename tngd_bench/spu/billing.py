"""Cost of one iteration on a device, in closed form: seconds, joules, bits on the link, break-even link rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tngd_bench import arguments
from tngd_bench.layers import Layer
from tngd_bench.spu.analog_settings import ANALOG_FIELDS, AnalogSettings
from tngd_bench.spu.description import DeviceDescription
from tngd_bench.spu.ledger import Ledger


@dataclass(frozen=True)
class Workload:
    """One iteration: N `parameters`, m `rows`, and how the device is used.

    `layers` and `batch_size` are for the factored upload. With a device for each layer (`analog.scope`) the bill is the
    sum of their writes and reads and the longest relaxation: they share the link, and converters are their own.
    """

    parameters: int
    rows: int
    analog: AnalogSettings = field(default_factory=AnalogSettings)
    scale: float | None = None
    """Factor s ≤ 1 at which the arrays hold A, which makes settling take 1/s as long.

    None where it is not known beforehand, because a conductance range sets it by the values of A.
    """
    layers: tuple[Layer, ...] | None = None
    batch_size: int | None = None
    modules: int | None = None
    """Modules with trained parameters, each with a device of its own under `scope="layer"`; None: as many as layers."""

    def __post_init__(self) -> None:
        for name in ("parameters", "rows"):
            arguments.integer(name, getattr(self, name), minimum=1)
        if self.scale is not None and arguments.real("scale", self.scale, above=0.0) > 1.0:
            raise ValueError(f"scale must be <= 1, not {self.scale!r}: arrays hold A or less of it")

    @classmethod
    def of(cls, parameters: int, rows: int, analog_time: float, **options: Any) -> Workload:
        """A workload whose analog settings are given by name, among `options` for its other fields."""
        analog = {name: options.pop(name) for name in ANALOG_FIELDS if name in options}
        return cls(parameters, rows, AnalogSettings(analog_time, **analog), **options)

    @property
    def devices(self) -> int:
        """Number of devices that N is split over."""
        if self.analog.scope == "model":
            return 1
        if self.modules is None and not self.layers:
            raise ValueError("layers or modules must be given with scope='layer', a device for each")
        return self.modules or len(self.trained)

    @property
    def trained(self) -> tuple[Layer, ...]:
        """The layers that are trained, which have arrays."""
        return tuple(layer for layer in (Layer(*each) for each in self.layers or ()) if layer.trained)


def state_writes(work: Workload) -> int:
    """Times that the N values of x(0) are written onto the nodes.

    One programming that is not refined finds the previous state on the nodes; else it is written before each.
    """
    return work.analog.ensemble if work.analog.writes_state else 0


def array_words(device: DeviceDescription, work: Workload) -> int:
    """Numbers sent for the arrays: one per cell, or m·Σd_out + b·Σd_in with the factored upload (and H, m²).

    Layers used at several positions send a and g at each. ValueError when the layers are not given.
    """
    if device.upload == "full":
        return device.cells(work.parameters, work.rows, work.devices)
    if work.layers is None or work.batch_size is None:
        raise ValueError(
            "layers and batch_size must be given with upload='factored', which sends both ends of layers"
        )
    outputs = sum(layer.values for layer in work.trained)
    inputs = sum(layer.d_in * layer.positions for layer in work.trained)
    middle = work.devices * work.rows**2 if device.hessian_array else 0
    return work.rows * outputs + work.batch_size * inputs + middle


def words_on_link(device: DeviceDescription, work: Workload) -> int:
    """Numbers over the link in one iteration, both directions: arrays, right-hand sides and x(0) in, readouts out."""
    per_programming = array_words(device, work) + 2 * work.analog.runs * work.parameters
    return work.analog.ensemble * per_programming + state_writes(work) * work.parameters


def link_bits(device: DeviceDescription, work: Workload) -> int:
    """Bits over the link in one iteration, both directions."""
    return device.word_bits * words_on_link(device, work)


def latency(device: DeviceDescription, work: Workload) -> Ledger:
    """Modelled seconds of one iteration, item by item; arrays and rows are written one after another.

    An item is None ("not stated") where the device states no time for it, which is not a time of zero. So is
    `relax_slowdown`, which a scale s < 1 adds to the relaxation, where a conductance range sets s and `work` does not
    give it.
    """
    analog, k, n = work.analog, work.analog.ensemble, work.parameters
    runs, states = k * analog.runs, state_writes(work)
    unit = device.time_constant_s / (1.0 if work.scale is None else work.scale)
    items: dict[str, float | None] = {
        "write_gradient": runs * transfer_s(device, n),
        "write_arrays": k * transfer_s(device, array_words(device, work)),
        "write_cells": priced(device.cell_write_time_s, k * _write_steps(device, work)),
        "write_convert": conversions_s(device.dac_rate_hz, (runs + states) * device.nodes_per_converter),
        "relax": runs * analog.analog_time * unit,
    }
    if states:
        items["write_state"] = states * transfer_s(device, n)
    if analog.samples > 1:
        items["relax_average"] = runs * (analog.samples - 1) * analog.spacing * unit
    if work.scale is None and device.bill_needs_simulation:
        items["relax_slowdown"] = None
    readouts = runs * analog.samples
    items["read_convert"] = conversions_s(device.adc_rate_hz, readouts * device.nodes_per_converter)
    items["read"] = runs * transfer_s(device, n)
    return Ledger("s", items, analog.delay * unit)


PRICED_BY: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("write_gradient", "write_arrays", "write_state", "read"), "link_energy_j_per_bit"),
        "write_cells": "cell_write_energy_j",
        "write_convert": "dac_energy_j",
        **dict.fromkeys(("relax", "relax_average"), "relax_power_watt"),
        "read_convert": "adc_energy_j",
    }
)
"""The field of a device that an item of its `energy` is priced by."""


def energy(device: DeviceDescription, work: Workload) -> Ledger:
    """Modelled joules of one iteration under the items of `latency`; None ("not stated") without a price."""
    k, n = work.analog.ensemble, work.parameters
    runs = k * work.analog.runs
    word = priced(device.link_energy_j_per_bit, device.word_bits)
    power = device.relax_power_watt
    seconds = latency(device, work).items
    prices: Mapping[str, float | None] = {
        "write_gradient": priced(word, runs * n),
        "write_arrays": priced(word, k * array_words(device, work)),
        "write_cells": priced(device.cell_write_energy_j, k * device.cells(n, work.rows, work.devices)),
        "write_convert": priced(device.dac_energy_j, (runs + state_writes(work)) * n),
        "write_state": priced(word, state_writes(work) * n),
        "relax": priced(power, seconds["relax"]),
        "relax_average": priced(power, seconds.get("relax_average")),
        "relax_slowdown": None,
        "read_convert": priced(device.adc_energy_j, runs * n * work.analog.samples),
        "read": priced(word, runs * n),
    }
    return Ledger("J", {name: value for name, value in prices.items() if name in seconds})


def break_even_link_rate(
    device: DeviceDescription, work: Workload, competitor_s: float, digital_s: float = 0.0
) -> float | None:
    """Link rate (bits/s) at which one iteration takes as long as a digital optimizer's `competitor_s`.

    It is bits/(competitor − host − the rest of the bill), the host's seconds `digital_s` overlapping the delay. None:
    no rate is enough. With an item of the bill not stated the rate is a lower bound, and None means the same: the items
    that are stated already exceed the competitor.
    """
    unlinked = latency(device.override(link_rate_bits_per_s=None), work)
    return link_rate_left(unlinked, link_bits(device, work), competitor_s, digital_s)


def link_rate_left(unlinked: Ledger, bits: float, competitor_s: float, digital_s: float) -> float | None:
    """Return the rate at which `bits` take what a competitor's seconds leave of a bill on an unlimited link."""
    arguments.real("competitor_s", competitor_s, minimum=0.0)
    arguments.real("digital_s", digital_s, minimum=0.0)
    unlimited = unlinked.elapsed_at_least(digital_s)
    assert unlimited is not None  # link and relaxation always have a figure
    left = competitor_s - unlimited
    return bits / left if left > 0.0 and math.isfinite(left) else None


def transfer_s(device: DeviceDescription, words: float) -> float:
    """Return the seconds that `words` numbers take over the link."""
    rate = device.link_rate_bits_per_s
    return 0.0 if rate is None else words * device.word_bits / rate


def conversions_s(rate_hz: float | None, conversions: int) -> float | None:
    """Return the seconds of conversions one after another; None where no rate is stated."""
    return None if rate_hz is None else conversions / rate_hz


def _write_steps(device: DeviceDescription, work: Workload) -> int:
    arrays = work.devices * ((1 if device.shared_array else 2) + int(device.hessian_array))
    cells = device.cells(work.parameters, work.rows, work.devices)
    return {"array": arrays, "row": arrays * work.rows, "cell": cells}[device.write_parallel]


def priced(price: float | None, amount: float | None) -> float | None:
    """Return the price of an amount; None where either is not stated."""
    return None if price is None or amount is None else price * amount
