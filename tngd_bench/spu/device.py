"""Description of an analog device in SI units: arrays, converters, link, amplifiers, noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tngd_bench import arguments

if TYPE_CHECKING:
    from typing import Unpack

    from tngd_bench.spu.billing import WorkloadOptions
    from tngd_bench.spu.ledger import Ledger

UPLOADS = ("full", "factored")
WRITES = ("array", "row", "cell")
FEWEST_ARRAY_BITS = 2
"""Bits of a value in an array, sign included: with one there is no level for zero, which most values of H are."""
BOLTZMANN = 1.380649e-23
"""J/K, exact by definition of the kelvin."""


@dataclass(frozen=True)
class Sourced:
    """Where a number comes from: grade S (read in the source), S2 (secondary), C (computed), U (judgement)."""

    grade: str
    source: str


@dataclass(frozen=True)
class Device:
    """An analog device and its link, in SI units; None means ideal, or "not stated" for a price: a time or an energy.

    Structure (arXiv 2405.13817 app. C): arrays (m, N), (m, m), (N, m), all written each iteration.

    Link and time: `word_bits` of a number on the link · `link_rate_bits_per_s` per direction, None: unlimited ·
    `upload` "full" (every array value) or "factored" (layer inputs a and output gradients g, multiplied out at the
    arrays) · `resistance_ohm`, `capacitance_farad` with τ = RC; conductance 1/R stands for an array value of one.
    Arrays: `shared_array` one J serves both directions · `hessian_array` False: wires for the middle array, the loss
    Hessian folded into the others · `array_bits` · `programming_error` σ of a cell relative to the array's full
    scale · `stuck_off`, `stuck_on` fractions of dead cells (value 0, ± full scale) · `conductance_min_siemens`,
    `conductance_max_siemens` of a cell, a value being the difference of two · `cell_write_time_s` (0: no
    time, None: not stated), and `write_parallel` cells written at once: a whole "array", a "row", one "cell".
    Converters: `dac_bits`, `adc_bits`, `adc_noise_volts` rms · `dac_rate_hz`, `adc_rate_hz` conversions per second of
    one converter (infinity: no time, None: not stated), each serving `nodes_per_converter` nodes in turn.
    Nodes: `volts_per_unit` volts that stand for one unit of g and x · `rail_volts` supply ±V at which x clips ·
    `capacitor_mismatch` relative σ_C · `temperature_kelvin` of thermal noise kT/C, scaled per node by its conductance
    with `row_sum_noise`. Amplifiers: `amplifier_gain` A₀ (V/V), `amplifier_bandwidth_hz` gain-bandwidth product.
    Prices: `link_energy_j_per_bit`, `adc_energy_j`, `dac_energy_j` per conversion, `cell_write_energy_j`,
    `relax_power_watt`. `instance` seeds what is fixed in one chip: its capacitors and its dead cells.
    """

    name: str = "custom"
    word_bits: int = 16
    link_rate_bits_per_s: float | None = None
    resistance_ohm: float = 1e3
    capacitance_farad: float = 1e-9
    dac_bits: int | None = None
    adc_bits: int | None = None
    summary: str = ""
    sources: Mapping[str, Sourced] = dataclasses.field(default_factory=dict, compare=False)
    upload: str = "full"
    shared_array: bool = False
    hessian_array: bool = True
    array_bits: int | None = None
    programming_error: float | None = None
    stuck_off: float | None = None
    stuck_on: float | None = None
    conductance_min_siemens: float | None = None
    conductance_max_siemens: float | None = None
    cell_write_time_s: float | None = None
    write_parallel: str = "row"
    adc_noise_volts: float | None = None
    dac_rate_hz: float | None = None
    adc_rate_hz: float | None = None
    nodes_per_converter: int = 1
    volts_per_unit: float = 1.0
    rail_volts: float | None = None
    capacitor_mismatch: float | None = None
    temperature_kelvin: float | None = None
    row_sum_noise: bool = False
    amplifier_gain: float | None = None
    amplifier_bandwidth_hz: float | None = None
    link_energy_j_per_bit: float | None = None
    adc_energy_j: float | None = None
    dac_energy_j: float | None = None
    cell_write_energy_j: float | None = None
    relax_power_watt: float | None = None
    instance: int = 0

    def __post_init__(self) -> None:
        arguments.integer("word_bits", self.word_bits, minimum=1, maximum=64)
        for name in ("dac_bits", "adc_bits"):
            arguments.bits(name, getattr(self, name))
        arguments.bits("array_bits", self.array_bits, minimum=FEWEST_ARRAY_BITS)
        for name in _POSITIVE:
            if getattr(self, name) is not None:
                arguments.real(name, getattr(self, name), above=0.0)
        for name in _RATES:
            rate = getattr(self, name)
            if rate is not None and rate != math.inf:
                arguments.real(name, rate, above=0.0)
        for name in _NON_NEGATIVE:
            if getattr(self, name) is not None:
                arguments.real(name, getattr(self, name), minimum=0.0)
        for name in ("stuck_off", "stuck_on", "capacitor_mismatch"):
            if getattr(self, name) is not None:
                arguments.real(name, getattr(self, name), minimum=0.0, below=1.0)
        for name in ("shared_array", "hessian_array", "row_sum_noise"):
            arguments.flag(name, getattr(self, name))
        arguments.choice("upload", self.upload, UPLOADS)
        arguments.choice("write_parallel", self.write_parallel, WRITES)
        arguments.integer("nodes_per_converter", self.nodes_per_converter, minimum=1)
        arguments.integer("instance", self.instance, minimum=0)
        if (self.stuck_off or 0.0) + (self.stuck_on or 0.0) >= 1.0:
            raise ValueError(f"stuck_off + stuck_on must be < 1, not {self.stuck_off} + {self.stuck_on}")
        low, high = self.conductance_min_siemens or 0.0, self.conductance_max_siemens
        if high is None and low > 0.0:
            raise ValueError("conductance_max_siemens must be given with conductance_min_siemens")
        if high is not None and high <= low:
            raise ValueError(
                f"conductance_max_siemens must be > conductance_min_siemens = {low:g}, not {high:g}"
            )
        if self.row_sum_noise and self.temperature_kelvin is None:
            raise ValueError("temperature_kelvin must be given with row_sum_noise")

    @staticmethod
    def presets() -> tuple[str, ...]:
        """Names of the shipped and registered devices."""
        from tngd_bench.spu.presets import presets

        return tuple(presets())

    @staticmethod
    def preset(name: str) -> Device:
        """The device called `name`; ValueError with a suggestion when there is none."""
        from tngd_bench.spu.presets import named

        return named(name)

    @staticmethod
    def described(description: str | Mapping[str, object]) -> Device:
        """The device that a study means: a preset's name, or a table of `name`, `base` (a preset) and other fields.

        A field given as None is ideal, a price not stated. Raises ValueError or TypeError for an unknown base or field
        and for a value that is refused.
        """
        if isinstance(description, str):
            return Device.preset(description)
        if "base" not in description:
            raise ValueError(f"a device needs base, one of: {', '.join(Device.presets())}")
        base = Device.preset(str(description["base"]))
        fields = {name: value for name, value in description.items() if name != "base"}
        if "sources" in fields:
            raise ValueError("a device has no field 'sources'")
        for name in ("name", "summary"):
            if not isinstance(fields.get(name, ""), str):
                raise TypeError(f"{name} must be text, not {fields[name]!r}")
        for field in dataclasses.fields(Device):
            if field.default is not None and fields.get(field.name, "") is None:
                raise ValueError(f"{field.name} has no ideal value; accepted: a value")
        return base.override(**fields)

    @staticmethod
    def ideal() -> Device:
        """A device without imperfections on an unlimited link: what is left is the relaxation."""
        return Device(
            name="ideal",
            summary="no imperfection, unlimited link, no time to write or to convert",
            cell_write_time_s=0.0,
            dac_rate_hz=math.inf,
            adc_rate_hz=math.inf,
        )

    def override(self, **fields: object) -> Device:
        """This device with other values; a field's source goes with its value. ValueError for an unknown field."""
        known = [f.name for f in dataclasses.fields(self)]
        for name in fields:
            if name not in known:
                raise ValueError(f"a device has no field {name!r}{arguments.suggestion(name, known)}")
        kept = {name: source for name, source in self.sources.items() if name not in fields}
        changed: dict[str, object] = {"sources": kept, **fields}
        return dataclasses.replace(self, **changed)  # type: ignore[arg-type]  # checked by __post_init__

    @property
    def time_constant_s(self) -> float:
        """τ = RC, seconds."""
        return self.resistance_ohm * self.capacitance_farad

    @property
    def thermal_variance(self) -> float:
        """κ₀ of thermal noise in signal², (kT/C)/volts_per_unit²; 0 without a temperature."""
        if self.temperature_kelvin is None:
            return 0.0
        return BOLTZMANN * self.temperature_kelvin / self.capacitance_farad / self.volts_per_unit**2

    @property
    def rail(self) -> float:
        """Largest |x| in signal units; infinite without rails."""
        return math.inf if self.rail_volts is None else self.rail_volts / self.volts_per_unit

    @property
    def imperfections(self) -> tuple[str, ...]:
        """The fields by which the solution differs from the ideal device's; empty for one that only takes time."""
        return tuple(name for name in _IMPERFECTIONS if getattr(self, name))

    @property
    def needs_arrays(self) -> bool:
        """Whether an imperfection acts on single cells, so that the arrays must be formed to simulate it."""
        acts = (self.programming_error, self.stuck_off, self.stuck_on)
        limited = (
            self.array_bits,
            self.conductance_max_siemens,
            self.amplifier_gain,
            self.amplifier_bandwidth_hz,
        )
        return any(acts) or self.row_sum_noise or any(value is not None for value in limited)

    @property
    def bill_needs_simulation(self) -> bool:
        """Whether the bill depends on what is on the arrays: a conductance range sets the scale that slows settling."""
        return self.conductance_max_siemens is not None

    def cells(self, parameters: int, rows: int) -> int:
        """Resistors programmed each iteration: m(m + 2N); one J the less if shared, no H if it is wires."""
        jacobians = parameters * (1 if self.shared_array else 2)
        return rows * ((rows if self.hessian_array else 0) + jacobians)

    def latency(
        self, parameters: int, rows: int, analog_time: float, **options: Unpack[WorkloadOptions]
    ) -> Ledger:
        """Modelled seconds of one iteration; `options` and items as in `billing.Workload` and `billing.latency`."""
        from tngd_bench.spu.billing import Workload, latency

        return latency(self, Workload(parameters, rows, analog_time, **options))

    def energy(
        self, parameters: int, rows: int, analog_time: float, **options: Unpack[WorkloadOptions]
    ) -> Ledger:
        """Modelled joules of one iteration; what has no sourced price is None ("not stated")."""
        from tngd_bench.spu.billing import Workload, energy

        return energy(self, Workload(parameters, rows, analog_time, **options))


_IMPERFECTIONS = (  # each is absent where it is None or zero
    "dac_bits",
    "adc_bits",
    "adc_noise_volts",
    "array_bits",
    "programming_error",
    "stuck_off",
    "stuck_on",
    "conductance_max_siemens",
    "rail_volts",
    "capacitor_mismatch",
    "temperature_kelvin",
    "amplifier_gain",
    "amplifier_bandwidth_hz",
)
_POSITIVE = (
    "link_rate_bits_per_s",
    "resistance_ohm",
    "capacitance_farad",
    "conductance_max_siemens",
    "volts_per_unit",
    "rail_volts",
    "amplifier_gain",
    "amplifier_bandwidth_hz",
)
_RATES = ("dac_rate_hz", "adc_rate_hz")
_NON_NEGATIVE = (
    "programming_error",
    "conductance_min_siemens",
    "cell_write_time_s",
    "adc_noise_volts",
    "temperature_kelvin",
    "link_energy_j_per_bit",
    "adc_energy_j",
    "dac_energy_j",
    "cell_write_energy_j",
    "relax_power_watt",
)


def sourced_parameters(device: Device) -> dict[str, dict[str, Any]]:
    """Each number of a preset that has a source, as {parameter: {value, grade, source}}; an infinite one in a word."""
    return {
        name: {"value": _said(getattr(device, name)), "grade": origin.grade, "source": origin.source}
        for name, origin in device.sources.items()
    }


def _said(value: object) -> object:
    # what is stored is JSON, which has no infinity
    return "unlimited" if value == math.inf else value
