"""The device's description, its presets and its bill."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.spu import Device
from tngd_bench.spu.catalogue import device_from_table
from tngd_bench.spu.converters import quantize


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
    assert all(larger.items[key] > value for key, value in ledger.items.items() if value is not None)  # type: ignore[operator]


def test_every_number_of_a_preset_has_a_grade_and_a_source() -> None:
    for name in Device.presets():
        device = Device.preset(name)
        assert name == "ideal" or device.sources
        for field, sourced in device.sources.items():
            assert getattr(device, field) is not None
            assert sourced.grade in {"S", "S2", "C", "U"}
            assert len(sourced.source) > 5


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
    with pytest.raises(ValueError, match=r"grade must be one of .* not 'A'"):
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
