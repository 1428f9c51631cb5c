"""Cost of one iteration on a device, in closed form: seconds, joules, bits on the link, break-even link rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from tngd_bench import arguments
from tngd_bench.layers import Layer
from tngd_bench.spu.analog_settings import ANALOG_FIELDS, AnalogSettings
from tngd_bench.spu.description import DeviceDescription
from tngd_bench.spu.ledger import Ledger, added, priced
from tngd_bench.spu.parts import Array, Parts
from tngd_bench.spu.upkeep import relax_power_watt, upkeep_j, upkeep_s


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
    modules: int | tuple[int, ...] | None = None
    """Modules with trained parameters, each with a device of its own under `scope="layer"`: their number, or the
    parameters of each; None: as many as layers."""
    applications: int | None = None
    """Right-hand sides that each programming answers, as a solver has counted them; None: one, and its refinements."""

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
    def runs(self) -> int:
        """Relaxations of one programming, each with a right-hand side in and readouts out."""
        return 1 + self.analog.refinements if self.applications is None else self.applications

    @property
    def devices(self) -> int:
        """Number of devices that N is split over."""
        if self.analog.scope == "model":
            return 1
        if self.modules is None and not self.layers:
            raise ValueError("layers or modules must be given with scope='layer', a device for each")
        number = len(self.modules) if isinstance(self.modules, tuple) else self.modules
        return number or len(self.trained)

    @property
    def trained(self) -> tuple[Layer, ...]:
        """The layers that are trained, which have arrays."""
        return tuple(layer for layer in (Layer(*each) for each in self.layers or ()) if layer.trained)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Parameters on each device: those of its module or layer, equal parts of N where they do not make it up."""
        given = self.modules if isinstance(self.modules, tuple) else None
        found = given or tuple(layer.parameters for layer in self.trained)
        if len(found) == self.devices and sum(found) == self.parameters:
            return found
        least, more = divmod(self.parameters, self.devices)
        if least == 0:
            raise ValueError(
                f"parameters must be >= {self.devices} with scope='layer', one for each of its devices, not "
                f"{self.parameters}"
            )
        return (least + 1,) * more + (least,) * (self.devices - more)


def state_writes(work: Workload) -> int:
    """Times that the N values of x(0) are written onto the nodes.

    One programming that is not refined finds the previous state on the nodes; else it is written before each.
    """
    return work.analog.ensemble if work.analog.writes_state else 0


def arrays_of(device: DeviceDescription, work: Workload) -> tuple[Array, ...]:
    """Return the arrays of J, H and Jᵀ that an iteration uses; the last holds J, (m, N), read along its columns."""
    m, sizes = work.rows, work.sizes
    middle = (Array(m, m, work.devices),) if device.hessian_array else ()
    if device.shared_array:
        return (*(Array(m, n, by_columns=True) for n in sizes), *middle)
    last = (Array(m, n, by_rows=False, by_columns=True) for n in sizes)
    return (*(Array(m, n) for n in sizes), *middle, *last)


def parts_of(device: DeviceDescription, work: Workload) -> Parts:
    """Return the parts that a device of this size has."""
    return Parts.of(device, arrays_of(device, work), work.sizes, work.analog.ensemble)


def array_words(device: DeviceDescription, work: Workload) -> int:
    """Numbers sent for the arrays: one per value, or m·Σ d_out p + b·Σ d_in p with the factored upload (and H, m²).

    A trained layer sends a and g at each of its p positions. ValueError when the layers are not given.
    """
    if device.upload == "full":
        return device.cells(work.parameters, work.rows, work.devices) // device.cells_per_value
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
    per_programming = array_words(device, work) + 2 * work.runs * work.parameters
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
    runs, states = k * work.runs, state_writes(work)
    unit = device.time_constant_s / (1.0 if work.scale is None else work.scale)
    turns = min(device.nodes_per_converter, max(work.sizes))
    items: dict[str, float | None] = {
        "write_gradient": runs * transfer_s(device, n),
        "write_arrays": k * transfer_s(device, array_words(device, work)),
        "write_cells": priced(
            device.cell_write_time_s, k * sum(each.write_steps(device) for each in arrays_of(device, work))
        ),
        "write_convert": conversions_s(device.dac_rate_hz, (runs + states) * turns),
        "relax": runs * analog.analog_time * unit,
    }
    if states:
        items["write_state"] = states * transfer_s(device, n)
    if analog.samples > 1:
        items["relax_average"] = runs * (analog.samples - 1) * analog.spacing * unit
    if work.scale is None and device.bill_needs_simulation:
        items["relax_slowdown"] = None
    items["read_convert"] = conversions_s(device.adc_rate_hz, runs * analog.samples * turns)
    items["read"] = runs * transfer_s(device, n)
    if device.partial_sums_per_tau is not None:
        # of several devices, which relax at once, the sums of the largest take longest
        largest = arrays_of(device, replace(work, parameters=max(work.sizes), analog=AnalogSettings()))
        items["relax_sums"] = priced(_sums(device, work), added(each.sum_s(device) for each in largest))
    if device.hold_power_watt is not None and analog.start == "previous" and not states:
        items["relax_hold"] = 0.0
    streamed = (items["write_arrays"] or 0.0) / k + (items["write_cells"] or 0.0) / k
    return Ledger("s", items | upkeep_s(device), analog.delay * unit, streamed)


def _sums(device: DeviceDescription, work: Workload) -> float:
    """Times that partial sums are formed in an iteration."""
    analog = work.analog
    relaxed = (analog.analog_time + (analog.samples - 1) * analog.spacing) / (work.scale or 1.0)
    return analog.ensemble * work.runs * relaxed * (device.partial_sums_per_tau or 0.0)


PRICED_BY: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("write_gradient", "write_arrays", "write_state", "read"), "link_energy_j_per_bit"),
        "write_cells": "cell_write_energy_j",
        "write_convert": "dac_energy_j",
        **dict.fromkeys(("relax", "relax_average"), "relax_power_watt"),
        "relax_sums": "partial_sum_energy_j",
        "relax_amplifiers": "amplifier_power_watt",
        "relax_hold": "hold_power_watt",
        "relax_standby": "standby_power_watt",
        "write_calibration": "calibration_energy_j",
        "read_convert": "adc_energy_j",
    }
)
"""The field of a device that an item of its `energy` is priced by."""


def price_fields(device: DeviceDescription, item: str) -> tuple[str, ...]:
    """Return all fields that an item of this device's `energy` is priced by."""
    if item in ("relax", "relax_average") and device.relax_power_watt is None:
        return ("cell_volts", "cell_siemens")
    return (PRICED_BY[item],)


def energy(device: DeviceDescription, work: Workload) -> Ledger:
    """Modelled joules of one iteration under the items of `latency`; None ("not stated") without a price."""
    k, n = work.analog.ensemble, work.parameters
    runs = k * work.runs
    word = priced(device.link_energy_j_per_bit, device.word_bits)
    cells = device.cells(n, work.rows, work.devices)
    power = relax_power_watt(device, cells)
    seconds = latency(device, work).items
    relaxed = added(seconds[name] for name in ("relax", "relax_average", "relax_sums") if name in seconds)
    sums = added(each.sum_j(device) for each in arrays_of(device, work))
    prices: Mapping[str, float | None] = {
        "write_gradient": priced(word, runs * n),
        "write_arrays": priced(word, k * array_words(device, work)),
        "write_cells": priced(device.cell_write_energy_j, k * cells),
        "write_convert": priced(device.dac_energy_j, (runs + state_writes(work)) * n),
        "write_state": priced(word, state_writes(work) * n),
        "relax": priced(power, seconds["relax"]),
        "relax_average": priced(power, seconds.get("relax_average")),
        "relax_sums": priced(_sums(device, work), sums),
        "relax_slowdown": None,
        "read_convert": priced(device.adc_energy_j, runs * n * work.analog.samples),
        "read": priced(word, runs * n),
        **upkeep_j(device, seconds, priced(relaxed, parts_of(device, work).amplifiers)),
    }
    return Ledger("J", {name: value for name, value in prices.items() if name in seconds})


def break_even_link_rate(
    device: DeviceDescription,
    work: Workload,
    competitor_s: float,
    digital_s: float = 0.0,
    making_s: float = 0.0,
) -> float | None:
    """Link rate (bits/s) at which one iteration takes as long as a digital optimizer's `competitor_s`.

    It is bits/(competitor − host − the rest of the bill), the host's seconds `digital_s` overlapping the delay. None:
    no rate is enough. With an item of the bill not stated the rate is a lower bound, and None means the same: the items
    that are stated already exceed the competitor. Rows are written beside the `making_s` seconds of `digital_s` in
    which the host makes them (`Ledger.saved`).
    """
    unlinked = latency(device.override(link_rate_bits_per_s=None), work)
    bits, blocks = link_bits(device, work), work.rows // (work.batch_size or work.rows)
    if making_s and blocks > 1:
        share = 1.0 - 1.0 / blocks
        streamed = device.word_bits * array_words(device, work)
        if unlinked.streamed < making_s:  # a link so fast that writing is hidden, all but the last block
            hidden = competitor_s + share * unlinked.streamed
            rate = link_rate_left(unlinked, bits - share * streamed, hidden, digital_s)
            if rate is None or streamed / rate + unlinked.streamed <= making_s:
                return rate
        competitor_s += share * making_s
    return link_rate_left(unlinked, bits, competitor_s, digital_s)


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
