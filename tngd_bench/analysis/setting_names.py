"""Settings of optimizers and fields of devices in words, with the units of their values.

A key that is not listed (a setting of an outside package) is its own name with spaces for underscores.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tngd_bench.analysis import quantities

NAMES: Mapping[str, str] = MappingProxyType(
    {
        # optimizers
        "lr": "lr",
        "momentum": "momentum",
        "memory": "memory μ",
        "damping": "damping",
        "damping_rule": "damping rule",
        "damping_interval": "damping interval",
        "beta1": "β₁",
        "beta2": "β₂",
        "eps": "ε",
        "factor_interval": "iterations between factors",
        "inverse_interval": "iterations between inverses",
        "factor_decay": "decay of the factors",
        "fisher": "Fisher matrix",
        "inverse": "inverse by",
        "sharing": "sharing",
        "kl_clip": "KL clip",
        "cg_iterations": "CG iterations",
        "cg_rtol": "CG tolerance",
        "cg_space": "CG space",
        # use of a device
        "device": "device",
        "analog_time": "analog time",
        "delay": "delay",
        "start": "start",
        "noise_variance": "thermal noise κ₀",
        "samples": "readouts",
        "spacing": "spacing of readouts",
        "ensemble": "programmings",
        # link and time of a device
        "word_bits": "word length",
        "link_rate_bits_per_s": "link rate",
        "upload": "upload",
        "resistance_ohm": "resistance",
        "capacitance_farad": "capacitance",
        # its arrays
        "shared_array": "shared array",
        "hessian_array": "Hessian array",
        "array_bits": "array resolution",
        "programming_error": "programming error",
        "stuck_off": "cells stuck off",
        "stuck_on": "cells stuck on",
        "conductance_min_siemens": "least conductance",
        "conductance_max_siemens": "largest conductance",
        "cell_write_time_s": "time to write a cell",
        "write_parallel": "written at once",
        # its converters, nodes and amplifiers
        "dac_bits": "DAC resolution",
        "adc_bits": "ADC resolution",
        "adc_noise_volts": "ADC noise",
        "dac_rate_hz": "DAC rate",
        "adc_rate_hz": "ADC rate",
        "nodes_per_converter": "nodes per converter",
        "volts_per_unit": "volts per unit",
        "rail_volts": "rail voltage",
        "capacitor_mismatch": "capacitor mismatch",
        "temperature_kelvin": "temperature",
        "row_sum_noise": "row-sum noise",
        "amplifier_gain": "amplifier gain",
        "amplifier_bandwidth_hz": "amplifier bandwidth",
        "instance": "instance of the chip",
        # its prices
        "link_energy_j_per_bit": "energy per bit on the link",
        "adc_energy_j": "energy of an A/D conversion",
        "dac_energy_j": "energy of a D/A conversion",
        "cell_write_energy_j": "energy to write a cell",
        "relax_power_watt": "power while relaxing",
    }
)
_UNITS = (  # by the ending of a key, the longest first
    ("_bits_per_s", "b/s"),
    ("_j_per_bit", "J/bit"),
    ("volts_per_unit", "V"),
    ("_siemens", "S"),
    ("_kelvin", "K"),
    ("_farad", "F"),
    ("_volts", "V"),
    ("_bits", "bits"),
    ("_watt", "W"),
    ("_ohm", "Ω"),
    ("_hz", "Hz"),
    ("_j", "J"),
    ("_s", "s"),
    ("analog_time", "τ"),
    ("delay", "τ"),
    ("spacing", "τ"),
)


def parameter_name(key: str) -> str:
    """Return the name of a setting or of a device's field in words, e.g. "ADC resolution" for adc_bits."""
    return NAMES.get(key, key.replace("_", " "))


def value_text(key: str, value: object) -> str:
    """Return a value of `key` with its unit: "8 bits", "10¹¹ b/s"; "none" for None."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    unit = next((unit for ending, unit in _UNITS if key.endswith(ending)), "")
    # a value found by a search has digits that whoever takes it over needs
    text = quantities.level(value) if float(f"{value:.3g}") == value else f"{value:,.6g}".replace("-", "−")
    return f"{text} {unit}".strip()
