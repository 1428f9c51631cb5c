"""The device's description, its presets and its bill."""

import dataclasses
import json
import math
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench import plugins
from tngd_bench.spu import Device
from tngd_bench.spu import device as device_module
from tngd_bench.spu.device import device_from_table
from tngd_bench.spu.dynamics.converters import quantize
from tngd_bench.spu.sources import sourced_parameters


def test_worked_example_of_the_paper_device() -> None:
    ledger = Device.preset("paper").latency(parameters=20_000, rows=640, analog_time=50.0)
    assert ledger.items["write_arrays"] == pytest.approx(8.323e-3, rel=1e-3)
    assert ledger.items["write_gradient"] == pytest.approx(6.4e-6, rel=1e-3)
    assert ledger.relax == pytest.approx(50e-6, rel=1e-3)
    assert ledger.read == pytest.approx(6.4e-6, rel=1e-3)
    assert ledger.total == pytest.approx(8.323072e-3 + 62.8e-6, rel=1e-9)
    assert Device.preset("paper").cells(20_000, 640) == 26_009_600


def test_energy_without_prices_is_not_stated_rather_than_zero() -> None:
    ledger = Device.preset("paper").energy(parameters=20_000, rows=640, analog_time=50.0)
    assert ledger.total is None
    assert set(ledger.items.values()) == {None}


def test_ideal_device_only_relaxes() -> None:
    ledger = Device.ideal().latency(parameters=10**6, rows=1000, analog_time=3.0)
    assert ledger.total == ledger.relax == pytest.approx(3e-6)


@given(parameters=st.integers(1, 10**12), rows=st.integers(1, 10**6), analog_time=st.floats(0.0, 1e6))
def test_latency_is_additive_and_grows_with_the_problem(
    parameters: int, rows: int, analog_time: float
) -> None:
    device = Device.preset("paper")
    ledger = device.latency(parameters, rows, analog_time)
    assert ledger.total == pytest.approx(sum(v for v in ledger.items.values() if v is not None))
    larger = device.latency(parameters + 1, rows + 1, analog_time + 1.0)
    assert all(larger.items[key] > value for key, value in ledger.items.items() if value)  # type: ignore[operator]


def test_every_number_of_a_preset_has_a_grade_and_a_source() -> None:
    for name in Device.presets():
        device = Device.preset(name)
        assert name == "ideal" or device.sources
        for field, sourced in device.sources.items():
            assert getattr(device, field) is not None
            assert sourced.grade in {"S", "S2", "C", "U"}
            assert len(sourced.source) > 5


def test_what_is_stored_of_a_device_is_json() -> None:
    for name in Device.presets():
        json.dumps(sourced_parameters(Device.preset(name)), allow_nan=False)
    assert sourced_parameters(Device.preset("paper"))["dac_rate_hz"]["value"] == "unlimited"
    with pytest.raises(ValueError, match="adc_rate_hz must be a finite number > 0, not nan"):
        Device(adc_rate_hz=math.nan)


def test_a_preset_tells_what_its_bill_and_noise_rest_on_without_a_source() -> None:
    """A default that a figure depends on stands in the file, graded as the assumption that it is."""
    for name in Device.presets():
        device = Device.preset(name)
        if device.temperature_kelvin is not None or device.adc_noise_volts is not None:
            assert device.sources["volts_per_unit"].grade == "U"
        if not {device.adc_rate_hz, device.dac_rate_hz} <= {None, math.inf}:
            assert device.sources["nodes_per_converter"].grade == "U"
        if device.cell_write_time_s:
            assert device.sources["write_parallel"].grade == "U"


PUBLISHED = {
    ("paper", "link_rate_bits_per_s"): 50e9,
    ("board", "link_rate_bits_per_s"): 8 * 32e9,
    ("rram", "link_rate_bits_per_s"): 8 * 64e9,
    ("rram", "link_energy_j_per_bit"): (6e-12 + 7e-12) / 2,
    ("rram", "programming_error"): (0.04 + 0.06) / 2,
    ("rram", "cell_write_time_s"): 8.5e-6,
    ("pcm", "programming_error"): (0.019 + 0.043) / 2,
    ("pcm", "resistance_ohm"): 1 / 25e-6,
    ("pcm", "conductance_max_siemens"): 25e-6,
    ("rram", "resistance_ohm"): 1 / 39.26e-6,
    ("rram", "conductance_max_siemens"): 39.26e-6,
    ("pcm", "adc_rate_hz"): 2.6e9,
    ("pcm", "adc_energy_j"): 7.4e-12,
    ("sram-mdac", "adc_rate_hz"): 50e6,
    ("sram-mdac", "adc_energy_j"): 82e-12,
    ("board", "array_bits"): math.log2(1024),
    ("board", "dac_rate_hz"): 1 / 2e-6,
    ("board", "adc_energy_j"): 162.5e-3 / 2.5e6,
    ("board", "amplifier_gain"): 10 ** (65 / 20),
    ("board", "amplifier_bandwidth_hz"): 280e6,
    ("board", "amplifier_noise_v_per_rthz"): 2.5e-9,
    ("board", "conductance_max_siemens"): 1 / 120,
    ("rram", "write_endurance"): 1e6,
    ("pcm", "write_endurance"): 1e9,
}


@pytest.mark.parametrize(("preset", "field"), PUBLISHED)
def test_figures_of_the_presets_follow_from_the_published_ones(preset: str, field: str) -> None:
    assert getattr(Device.preset(preset), field) == pytest.approx(PUBLISHED[preset, field], rel=1e-3)


def test_a_pulse_is_not_billed_where_the_error_is_that_of_programming_in_a_closed_loop() -> None:
    assert Device.preset("pcm").latency(20_000, 640, 50.0).items["write_cells"] is None
    for name in ("pcm", "rram"):
        assert Device.preset(name).energy(20_000, 640, 50.0).items["write_cells"] is None


def test_a_programming_error_goes_with_the_conductance_of_the_cells_that_it_was_measured_on() -> None:
    """A value of one is then one cell at G_max, and τ = C/G_max."""
    for name in Device.presets():
        device = Device.preset(name)
        if device.programming_error:
            assert device.conductance_max_siemens is not None
            assert device.conductance_max_siemens * device.resistance_ohm == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("word_bits", 0),
        ("link_rate_bits_per_s", 0.0),
        ("resistance_ohm", -1.0),
        ("capacitance_farad", float("nan")),
        ("dac_bits", 0),
        ("adc_bits", 33),
    ],
)
def test_unphysical_values_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        dataclasses.replace(Device.ideal(), **{field: value})  # type: ignore[arg-type]


def test_the_shipped_devices() -> None:
    assert set(Device.presets()) >= {"ideal", "paper", "unlimited-link", "sram-mdac", "rram", "pcm", "board"}
    assert Device.preset("unlimited-link").latency(20_000, 640, 50.0).total == pytest.approx(50e-6)
    for name in ("rram", "pcm", "board"):
        assert Device.preset(name).needs_arrays
    for name in ("ideal", "paper", "unlimited-link", "sram-mdac"):
        assert not Device.preset(name).needs_arrays
    for name in Device.presets():
        assert Device.preset(name).energy(20_000, 640, 50.0).total is None  # no sourced power of relaxation


def test_an_override_drops_the_source_of_what_it_replaces() -> None:
    device = Device.preset("rram").override(programming_error=0.01, adc_bits=None)
    assert device.programming_error == 0.01
    assert device.adc_bits is None
    assert "programming_error" not in device.sources
    assert "cell_write_time_s" in device.sources
    with pytest.raises(ValueError, match="a device has no field 'programing_error'; did you mean"):
        device.override(programing_error=0.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stuck_off": 0.6, "stuck_on": 0.5}, r"stuck_off \+ stuck_on must be < 1"),
        ({"conductance_min_siemens": 1e-6}, "conductance_max_siemens must be given"),
        (
            {"conductance_min_siemens": 1e-3, "conductance_max_siemens": 1e-4},
            "conductance_max_siemens must be >",
        ),
        ({"row_sum_noise": True}, "temperature_kelvin must be given"),
        ({"upload": "full-J"}, "upload must be one of: full, factored"),
        ({"write_parallel": "all"}, "write_parallel must be one of: array, row, cell"),
        ({"programming_error": -0.1}, "programming_error must be a finite number >= 0"),
        ({"rail_volts": 0.0}, "rail_volts must be a finite number > 0"),
    ],
)
def test_fields_that_make_no_device_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Device.ideal().override(**fields)


def test_bad_presets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"device must be one of: .*; did you mean 'paper'"):
        Device.preset("papr")
    with pytest.raises(ValueError, match="device 'x' has no field 'word_bit'; did you mean 'word_bits'"):
        device_from_table("x", {"word_bit": {"value": 1, "grade": "S", "source": "there"}})
    with pytest.raises(ValueError, match="device 'x', word_bits: missing grade, source"):
        device_from_table("x", {"word_bits": {"value": 1}})
    with pytest.raises(ValueError, match=r"grade must be one of: .* not 'A'"):
        device_from_table("x", {"word_bits": {"value": 1, "grade": "A", "source": "there"}})


def test_describing_a_device_needs_no_torch() -> None:
    code = (
        "import sys; from tngd_bench.spu import Device; Device.preset('paper'); print('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


@given(bits=st.integers(2, 16), seed=st.integers(0, 1000))
def test_quantization_error_is_at_most_half_a_step_on_a_symmetric_grid(bits: int, seed: int) -> None:
    signal = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rounded = quantize(signal, bits)
    step = float(signal.abs().max()) / (2 ** (bits - 1) - 1)
    assert float((rounded - signal).abs().max()) <= step / 2 * (1 + 1e-9)
    assert len(rounded.unique()) <= 2**bits - 1
    assert torch.equal(quantize(-signal, bits), -rounded)


def test_quantization_limits() -> None:
    signal = torch.tensor([0.3, -2.0, 1.0])
    assert quantize(signal, None) is signal
    assert torch.equal(quantize(torch.zeros(3), 4), torch.zeros(3))
    assert quantize(signal, 1).tolist() == [2.0, -2.0, 2.0]
    uniform = torch.rand(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    step = float(uniform.abs().max()) / 31
    assert float((quantize(uniform, 6) - uniform).var()) == pytest.approx(step**2 / 12, rel=0.02)


def test_a_device_that_is_left_out_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("lost", "no_such_module_at_all:X", device_module.ENTRY_POINT_GROUP)
    monkeypatch.setattr(device_module, "entry_points", lambda group: [point])
    monkeypatch.setattr(plugins, "_COMPLAINTS", {})
    device_module._named.cache_clear()
    try:
        with pytest.raises(
            ValueError, match=r"device must be one of: .*'lost'.*entry point lost.*ModuleNotFound"
        ):
            Device.preset("lost")
    finally:
        device_module._named.cache_clear()


@pytest.mark.parametrize("name", [*Device.presets()])
def test_every_value_that_is_not_ideals_is_listed_with_a_source_or_without(name):
    device = Device.preset(name)
    changed = {
        "link_rate_bits_per_s": 1e10,
        "adc_bits": 7,
        "programming_error": 0.05,
        "adc_energy_j": 2e-12,
        "word_bits": 12,
        "upload": "factored",
        "temperature_kelvin": 300.0,
    }
    before, found = sourced_parameters(device), sourced_parameters(device.override(**changed))
    assert {key: found[key] for key in changed} == {key: {"value": value} for key, value in changed.items()}
    assert {key: found[key] for key in found if key not in changed} == {
        key: before[key] for key in before if key not in changed
    }
    assert sourced_parameters(Device.ideal()) == {}
