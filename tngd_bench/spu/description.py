"""Description of an analog device in SI units: arrays, converters, link, amplifiers, noise."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from tngd_bench import arguments
from tngd_bench.spu.field_info import (
    FLAG,
    FRACTION,
    LINK_RATE,
    NON_NEGATIVE,
    POSITIVE,
    RATE,
    UNLIMITED,
    bits,
    check_fields,
    choice,
    described,
    field_infos,
    imperfection,
    price,
    whole,
)
from tngd_bench.spu.sources import Sourced

BOLTZMANN = 1.380649e-23
"""J/K, exact by definition of the kelvin."""

NEEDED_WITH = {
    "row_sum_noise": "temperature_kelvin",
    "first_stage_noise": "temperature_kelvin",
    "leak_time_constant_s": "hold_time_s",
}
"""Fields that mean nothing without another."""


@dataclass(frozen=True)
class DeviceDescription:
    """An analog device and its link, in SI units; None means ideal, or "not stated" for a price: a time or an energy.

    Structure (arXiv 2405.13817 app. C): arrays of J, H and Jᵀ, all written each iteration. That of Jᵀ holds J, (m, N),
    driven along its rows and read along its columns.
    """

    name: str = "custom"
    """What it is called."""
    summary: str = ""
    """A sentence on it, for lists."""
    sources: Mapping[str, Sourced] = dataclasses.field(default_factory=dict, compare=False)
    """Grade and source of its numbers, by field."""

    link_rate_bits_per_s: float | None = described(
        "link rate", LINK_RATE, "link", "larger", unit="b/s", absent=UNLIMITED
    )
    """Rate of the link in each direction."""
    word_bits: int = described("word length", whole(1, 64), "link", "larger", default=16, unit="bits")
    """Length of a number on the link; it changes no value."""
    upload: str = described("upload", choice("full", "factored"), "link", default="full")
    """What is sent: every value of the arrays, or layer inputs a and output gradients g, multiplied at the arrays."""
    link_energy_j_per_bit: float | None = price("energy per bit on the link", "link", "J/bit")
    """Energy of a bit sent."""

    resistance_ohm: float = described("resistance", POSITIVE, "node", default=1e3, symbol="R", unit="Ω")
    """A conductance of 1/R stands for an array value of one; τ = RC."""
    capacitance_farad: float = described("capacitance", POSITIVE, "node", default=1e-9, symbol="C", unit="F")
    """Capacitance of each node, in which thermal noise is kT/C; τ = RC."""
    volts_per_unit: float = described("volts per unit", POSITIVE, "node", "larger", default=1.0, unit="V")
    """Volts that stand for one unit of g and x."""
    rail_volts: float | None = imperfection("rail voltage", POSITIVE, "node", "larger", symbol="V", unit="V")
    """Supply ±V at which the nodes clip: |x| ≤ V/`volts_per_unit`. At rest the box-constrained minimum; noise is
    reflected at the rails, a start beyond them clipped. Simulated in steps."""
    capacitor_mismatch: float | None = imperfection(
        "capacitor mismatch", FRACTION, "node", "smaller", symbol="σ_C", scale="relative", random="per chip"
    )
    """Relative spread of the capacitances: drift C⁻¹A. Changes the transient by O(σ_C), not the fixed point. Exact for
    N ≤ 1024; beyond, the noise to O(σ_C). With arrays that err separately, or `amplifier_gain`: simulated in steps."""
    temperature_kelvin: float | None = imperfection(
        "temperature", NON_NEGATIVE, "node", "smaller", unit="K", random="in time"
    )
    """Temperature of thermal noise, κ₀ = (kT/C)/`volts_per_unit`² at each node (see below)."""
    row_sum_noise: bool = imperfection("row-sum noise", FLAG, "array", "smaller", default=False)
    """Scale the thermal noise of a node by its conductance: κᵢ = κ₀ R Σⱼ|Gᵢⱼ|, more where more cells meet."""
    leak_time_constant_s: float | None = imperfection(
        "leak time constant", POSITIVE, "node", "larger", symbol="τ_h", unit="s"
    )
    """A carried state has fallen to e^(−`hold_time_s`/τ_h) of itself when the next relaxation starts. Exact."""
    hold_time_s: float | None = price("time of holding the state", "node", "s")
    """Time between a readout and the next relaxation, which the host and the writing of arrays take."""
    hold_power_watt: float | None = price("power while holding the state", "node", "W")
    """Power of the device over `hold_time_s`."""
    relax_power_watt: float | None = price("power while relaxing", "node", "W")
    """Power of the device while it relaxes, amplifiers apart. Without it V²G of all cells, computed, if stated."""
    cell_volts: float | None = price("voltage over a cell", "array", "V")
    """V, rms, over a cell while the device relaxes."""
    cell_siemens: float | None = price("mean conductance of a cell", "array", "S")
    """G, mean of all cells; together with V the power of a cell, V²G."""

    shared_array: bool = described("shared array", FLAG, "array", "larger", default=False)
    """One J serves both directions: one error in place of two. Errors of the middle array can still make it unstable;
    without `hessian_array` it is positive semi-definite whatever the errors, and always stable."""
    hessian_array: bool = described("Hessian array", FLAG, "array", "smaller", default=True)
    """An array holds the loss Hessian; false: wires, H folded into the others, without m² cells and their errors."""
    array_bits: int | None = imperfection(
        "array resolution", bits(2), "array", "larger", unit="bits", random="in an ensemble"
    )
    """Bits of a cell, sign included: rounded to half a step of 2^bits − 1 levels (one bit has none for zero). Error of
    x ∝ 2^−bits, systematic; the drift stays symmetric."""
    programming_error: float | None = imperfection(
        "programming error",
        NON_NEGATIVE,
        "array",
        "smaller",
        symbol="σ",
        scale="of full scale",
        random="at a write",
    )
    """Standard deviation of a cell, relative to its array's full scale. Error of x ∝ σ at first order. Separate arrays:
    a drift that is not symmetric, unstable where a rate of C⁻¹Â is negative, with equal capacitors where
    min Re eig(Ĥ J₂J₁ᵀ) < −λ (`UnstableDeviceError`, with the margin; a step of an
    optimizer raises it as `UnstableStepError`)."""
    stuck_off: float | None = imperfection("cells stuck off", FRACTION, "array", "smaller", random="per chip")
    """Fraction of cells stuck at 0: an error of fixed size in each."""
    stuck_on: float | None = imperfection("cells stuck on", FRACTION, "array", "smaller", random="per chip")
    """Fraction of cells stuck at ± full scale: an error of fixed size in each."""
    conductance_min_siemens: float | None = described(
        "least conductance", NON_NEGATIVE, "array", "smaller", symbol="G_min", unit="S"
    )
    """Least conductance of a cell; a value is the difference of two."""
    conductance_max_siemens: float | None = imperfection(
        "largest conductance", POSITIVE, "array", "larger", symbol="G_max", unit="S"
    )
    """Largest conductance of a cell. A is held as sA with s ≤ 1: x(t) needs t/s, noise weighs κ₀/s."""
    cell_write_time_s: float | None = price("time to write a cell", "array", "s")
    """Time to write what is written at once."""
    write_parallel: str = described("written at once", choice("array", "row", "cell"), "array", default="row")
    """The cells of a tile that are written at once."""
    tiles_written_at_once: int = described("tiles written at once", whole(1), "array", "larger", default=1)
    """Tiles of an array that are written side by side; arrays are written one after another."""
    cell_write_energy_j: float | None = price("energy to write a cell", "array", "J")
    """Energy of writing one cell."""
    write_endurance: float | None = described(
        "write endurance", POSITIVE, "array", "larger", unit="writes", absent="not stated"
    )
    """Writes after which a cell is worn out; `predict` prints the iterations that they last for."""
    cells_per_value: int = described("cells per value", whole(1, 2), "array", "smaller", default=1)
    """2: a signed value is the difference of two cells, its positive and its negative part. Each is rounded, errs and
    can be stuck by itself, so that a value errs by √2 σ. 1: a cell holds the sign too."""
    tile_rows: int | None = described("rows of a tile", whole(1), "array", absent="whole array")
    """Rows of cells on a tile; a larger array is cut into several."""
    tile_columns: int | None = described("columns of a tile", whole(1), "array", absent="whole array")
    """Columns of cells on a tile; a signed value takes `cells_per_value` of them, side by side."""
    wire_ohm: float | None = imperfection("wire resistance", NON_NEGATIVE, "array", "smaller", unit="Ω")
    """Resistance of a wire from one cell of a tile to the next. Needs `cells_per_value` = 2. To first order in the
    loss of signal; refused where a cell loses more than 10 %, there right to 1 % of the full scale."""
    partial_sums_per_tau: float | None = described(
        "digital sums of tiles", POSITIVE, "array", "larger", unit="1/τ", absent="analog"
    )
    """Times in τ that the outputs of tiles are converted, added digitally and written on, while the nodes are held. A
    bill alone: the loop is simulated without such steps. Without it currents of tiles add on a wire, in no time."""
    partial_sum_time_s: float | None = price("time of a digital sum", "array", "s")
    """Time that adding the partial sums of all tiles of an array takes, converters apart."""
    partial_sum_energy_j: float | None = price("energy of a digital sum", "array", "J")
    """Energy of adding one partial sum."""
    converters_per_tile: int | None = described(
        "converters of a tile", whole(1), "array", "larger", absent="one an output"
    )
    """Pairs of A/D and D/A converters on a tile for partial sums, at most one an output in use; its outputs take
    turns."""
    cell_area_m2: float | None = price("area of a cell", "array", "m²")
    """Area of a cell with its share of the wires."""

    dac_bits: int | None = imperfection("DAC resolution", bits(), "converter", "larger", unit="bits")
    """Bits of g as it is written; full scale follows the signal. Error: at most half a level."""
    adc_bits: int | None = imperfection("ADC resolution", bits(), "converter", "larger", unit="bits")
    """Bits of x as it is read; full scale is `adc_range_volts` or follows the signal. Error: at most half a level."""
    adc_range_volts: float | None = imperfection(
        "ADC range", POSITIVE, "converter", "larger", unit="V", absent="follows the signal"
    )
    """Fixed full scale ±V of the A/D converters: x beyond it is clipped."""
    adc_noise_volts: float | None = imperfection(
        "ADC noise", NON_NEGATIVE, "converter", "smaller", unit="V", random="at a conversion"
    )
    """Noise of a conversion, rms; it averages as 1/√n over n readouts."""
    dac_rate_hz: float | None = described(
        "DAC rate", RATE, "converter", "larger", unit="Hz", absent="not stated"
    )
    """D/A conversions per second of one converter; unlimited: they take no time."""
    adc_rate_hz: float | None = described(
        "ADC rate", RATE, "converter", "larger", unit="Hz", absent="not stated"
    )
    """A/D conversions per second of one converter; unlimited: they take no time."""
    nodes_per_converter: int = described("nodes per converter", whole(1), "converter", "smaller", default=1)
    """Nodes that a converter serves in turn."""
    dac_energy_j: float | None = price("energy of a D/A conversion", "converter", "J")
    """Energy of a D/A conversion."""
    adc_energy_j: float | None = price("energy of an A/D conversion", "converter", "J")
    """Energy of an A/D conversion."""
    converter_area_m2: float | None = price("area of a converter", "converter", "m²")
    """Area of one converter, A/D or D/A."""

    amplifier_gain: float | None = imperfection(
        "amplifier gain", POSITIVE, "amplifier", "larger", symbol="A₀", scale="V/V"
    )
    """Open-loop gain: rows are weakened by 1/(1 + NG/A₀), NG = 1 + ΣG/G_f, G_f = 1/R. Curvature too small, ∝ 1/A₀."""
    amplifier_bandwidth_hz: float | None = imperfection(
        "amplifier bandwidth", POSITIVE, "amplifier", "larger", symbol="GBW", unit="Hz"
    )
    """Gain-bandwidth product: outputs lag by NG/(2π·GBW)/(1 + NG/A₀). Changes the transient, not the fixed point.
    Exact, with m more states, of the first stage; see `lagging_stages`."""
    lagging_stages: str = described("lagging stages", choice("first", "all"), "amplifier", default="first")
    """The amplifiers that lag: those behind the first array, or behind all three. "all" is exact, with N + 2m more
    states, and refused beyond 1024 states."""
    amplifier_noise_v_per_rthz: float | None = imperfection(
        "amplifier noise", NON_NEGATIVE, "amplifier", "smaller", symbol="e_n", unit="V/√Hz", random="in time"
    )
    """Input-referred voltage noise of each amplifier, white and one-sided. At an output it is NG e_n, so that x has a
    covariance in the range of J as well. Exact."""
    first_stage_noise: bool = imperfection("first-stage noise", FLAG, "amplifier", "smaller", default=False)
    """Thermal noise of the first array's cells and feedback: 4kTR·NG at each of its outputs. Exact."""
    amplifier_power_watt: float | None = price("power of an amplifier", "amplifier", "W")
    """Power of one amplifier while the device relaxes; there is one an output of each array, and with
    `partial_sums_per_tau` one an output in use of each tile."""

    standby_power_watt: float | None = price("standby power", "chip", "W")
    """Power that is drawn all the time that the device takes, whatever it does."""
    calibration_time_s: float | None = price("time of a calibration", "chip", "s")
    """Time of calibrating the device or refreshing its cells, once in `calibration_interval` iterations."""
    calibration_energy_j: float | None = price("energy of a calibration", "chip", "J")
    """Energy of the same."""
    calibration_interval: int = described("calibration interval", whole(1), "chip", "larger", default=1)
    """Iterations from one calibration to the next."""
    instance: int = described("instance of the chip", whole(0), "chip", default=0)
    """Seed of what is fixed in one chip: its capacitors and its dead cells."""

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.stuck_off or 0.0) + (self.stuck_on or 0.0) >= 1.0:
            raise ValueError(f"stuck_off + stuck_on must be < 1, not {self.stuck_off} + {self.stuck_on}")
        low, high = self.conductance_min_siemens or 0.0, self.conductance_max_siemens
        if high is None and low > 0.0:
            raise ValueError("conductance_max_siemens must be given with conductance_min_siemens")
        if high is not None and high <= low:
            raise ValueError(
                f"conductance_max_siemens must be > conductance_min_siemens = {low:g}, not {high:g}"
            )
        for name, needed in NEEDED_WITH.items():
            if getattr(self, name) and getattr(self, needed) is None:
                raise ValueError(f"{needed} must be given with {name}")
        if self.wire_ohm and self.cells_per_value == 1:
            raise ValueError(
                "cells_per_value must be 2 with wire_ohm: a wire carries currents of conductances >= 0"
            )
        if self.tile_columns is not None and self.tile_columns < self.cells_per_value:
            raise ValueError(
                f"tile_columns must be >= cells_per_value = {self.cells_per_value}, not {self.tile_columns}"
            )

    def override(self, **fields: object) -> Self:
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
    def is_tiled(self) -> bool:
        """Whether arrays are cut into tiles."""
        return self.tile_rows is not None or self.tile_columns is not None

    @property
    def rail(self) -> float:
        """Largest |x| in signal units; infinite without rails."""
        return math.inf if self.rail_volts is None else self.rail_volts / self.volts_per_unit

    @property
    def adc_range(self) -> float | None:
        """Largest |x| that the A/D converters read, in signal units; None where it follows the signal."""
        return None if self.adc_range_volts is None else self.adc_range_volts / self.volts_per_unit

    @property
    def imperfections(self) -> tuple[str, ...]:
        """The fields by which the solution differs from the ideal device's; empty for one that only takes time."""
        return tuple(
            name for name, info in DEVICE_FIELDS.items() if info.imperfection and getattr(self, name)
        )

    @property
    def needs_arrays(self) -> bool:
        """Whether an imperfection acts on single cells, so that the arrays must be formed to simulate it."""
        return any(info.needs_arrays and getattr(self, name) for name, info in DEVICE_FIELDS.items())

    @property
    def transfers_by_link_alone(self) -> bool:
        """Whether all that is written and read takes time on the link alone: none is stated for anything else of it."""
        rates = (self.dac_rate_hz, self.adc_rate_hz)
        unlimited = all(rate is None or math.isinf(rate) for rate in rates)
        return unlimited and not self.cell_write_time_s and not self.calibration_time_s

    @property
    def bill_needs_simulation(self) -> bool:
        """Whether the bill depends on what is on the arrays: a conductance range sets the scale that slows settling."""
        return self.conductance_max_siemens is not None

    @property
    def value_error(self) -> float:
        """Standard deviation of a signed value by programming, relative to its array's full scale."""
        return (self.programming_error or 0.0) * math.sqrt(self.cells_per_value)

    @property
    def held(self) -> float:
        """Share of a carried state that is left when the next relaxation starts."""
        if self.leak_time_constant_s is None:
            return 1.0
        assert self.hold_time_s is not None  # NEEDED_WITH
        return math.exp(-self.hold_time_s / self.leak_time_constant_s)

    def cells(self, parameters: int, rows: int, layers: int = 1) -> int:
        """Resistors programmed each iteration: m(m + 2N); one J the less if shared, no H if it is wires; pairs twice.

        A device for each of several `layers` has an H of its own.
        """
        jacobians = parameters * (1 if self.shared_array else 2)
        return self.cells_per_value * rows * ((layers * rows if self.hessian_array else 0) + jacobians)


DEVICE_FIELDS = field_infos(DeviceDescription)
"""Description of each physical field of a device, by name."""
