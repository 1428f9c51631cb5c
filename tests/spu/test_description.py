"""Fields of the device and of its use: each is described, and what its description says is what it does."""

from __future__ import annotations

import dataclasses
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tngd_bench
from tngd_bench.curvature import GGN
from tngd_bench.field_docstrings import field_docstrings
from tngd_bench.solvers import Thermodynamic
from tngd_bench.spu import Device
from tngd_bench.spu.analog_settings import ANALOG_FIELDS, AnalogSettings
from tngd_bench.spu.description import DEVICE_FIELDS, DeviceDescription
from tngd_bench.spu.dynamics.programmed import ProgrammedDevice

IDEAL = Device.ideal()
MILD_AND_HARSH: dict[str, tuple[object, object]] = {
    "rail_volts": (1.0, 1e-3),
    "capacitor_mismatch": (0.01, 0.1),
    "temperature_kelvin": (1e8, 1e11),
    "array_bits": (12, 4),
    "programming_error": (1e-3, 1e-2),
    "stuck_off": (0.01, 0.3),
    "stuck_on": (0.002, 0.02),
    "dac_bits": (12, 3),
    "adc_bits": (12, 3),
    "adc_noise_volts": (1e-4, 1e-2),
    "amplifier_gain": (1e6, 1e3),
    "amplifier_bandwidth_hz": (1e9, 1e6),
    "adc_range_volts": (1e-2, 1e-4),
    "wire_ohm": (0.01, 0.1),
    "amplifier_noise_v_per_rthz": (1e-9, 1e-7),
}
"""Of the imperfections that act alone; others act on noise, a leak on a state that is carried over."""
NEEDED: dict[str, dict[str, object]] = {
    "wire_ohm": {"cells_per_value": 2},
    "conductance_min_siemens": {"conductance_max_siemens": 4.0},
}
OTHER: dict[str, object] = {
    "upload": "factored",
    "write_parallel": "cell",
    "shared_array": True,
    "hessian_array": False,
    "lagging_stages": "all",
    "instance": 7,
    "word_bits": 3,
}


def readout(ggn: GGN, device: Device) -> torch.Tensor:
    programmed = ProgrammedDevice(device, ggn, None, 0.5, generator=torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(2)
    return programmed.read(programmed.sample(torch.zeros(ggn.size, dtype=torch.float64), 3.0, noise), noise)


@pytest.mark.parametrize("owner", [DeviceDescription, AnalogSettings])
def test_every_field_is_described(owner: type) -> None:
    infos = DEVICE_FIELDS if owner is DeviceDescription else ANALOG_FIELDS
    fields = {field.name for field in dataclasses.fields(owner)}
    assert fields - set(infos) == ({"name", "summary", "sources"} if owner is DeviceDescription else set())
    assert set(field_docstrings(owner)) == fields
    assert all(field_docstrings(owner).values())
    titles = [info.title for info in (*DEVICE_FIELDS.values(), *ANALOG_FIELDS.values())]
    assert len(set(titles)) == len(titles)
    assert all(info.milder for info in infos.values() if info.imperfection)


@pytest.mark.parametrize("name", DEVICE_FIELDS)
def test_a_field_changes_the_solution_where_it_is_an_imperfection_and_the_more_the_harsher_it_is(
    ggn: GGN, name: str
) -> None:
    fields = NEEDED.get(name, {})
    ideal = readout(ggn, IDEAL.override(**fields))
    if name in MILD_AND_HARSH:
        errors = [
            float((readout(ggn, IDEAL.override(**{name: v}, **fields)) - ideal).norm())
            for v in MILD_AND_HARSH[name]
        ]
        assert DEVICE_FIELDS[name].imperfection
        assert errors[0] < errors[1]
        mild, harsh = MILD_AND_HARSH[name]
        assert (mild > harsh) == (DEVICE_FIELDS[name].milder == "larger")  # type: ignore[operator]
        return
    if DEVICE_FIELDS[name].imperfection:
        assert name in (
            "conductance_max_siemens",
            "row_sum_noise",
            "first_stage_noise",
            "leak_time_constant_s",
        )
        return
    assert torch.equal(readout(ggn, IDEAL.override(**{name: OTHER.get(name, 2)}, **fields)), ideal)


def test_imperfections_of_noise_act_through_it(ggn: GGN) -> None:
    narrow = ProgrammedDevice(IDEAL.override(conductance_max_siemens=1e-5), ggn, None, 0.05)
    narrower = ProgrammedDevice(IDEAL.override(conductance_max_siemens=1e-6), ggn, None, 0.05)
    assert narrower.scale < narrow.scale < 1.0
    warm = IDEAL.override(temperature_kelvin=1e9)
    spread = [
        float((readout(ggn, each) - readout(ggn, IDEAL)).norm())
        for each in (warm, warm.override(row_sum_noise=True), warm.override(first_stage_noise=True))
    ]
    assert len(set(spread)) == 3


def test_cells_are_simulated_for_the_imperfections_of_arrays_and_amplifiers_alone() -> None:
    cells = {name for name, info in DEVICE_FIELDS.items() if info.needs_arrays}
    for name, (_, harsh) in MILD_AND_HARSH.items():
        device = IDEAL.override(**{name: harsh}, **NEEDED.get(name, {}))
        assert device.imperfections == (name,)
        assert device.needs_arrays == (name in cells)
    assert not IDEAL.imperfections
    assert not IDEAL.needs_arrays
    assert "temperature_kelvin" not in cells


def test_infinity_is_a_rate_in_figures_and_in_words() -> None:
    for name in ("adc_rate_hz", "dac_rate_hz"):
        assert getattr(IDEAL.override(**{name: "unlimited"}), name) == math.inf
        for bad in (0.0, math.nan, "fast", True):
            with pytest.raises((ValueError, TypeError), match=f"{name} must be a finite number > 0"):
                IDEAL.override(**{name: bad})
    for told in ("unlimited", math.inf, None):
        assert Device.preset("paper").override(link_rate_bits_per_s=told).link_rate_bits_per_s is None
    with pytest.raises(ValueError, match="link_rate_bits_per_s must be a finite number > 0"):
        IDEAL.override(link_rate_bits_per_s=0.0)
    with pytest.raises(TypeError, match="rail_volts must be a finite number"):
        IDEAL.override(rail_volts="unlimited")


def test_one_default_each() -> None:
    defaults = dataclasses.asdict(AnalogSettings())
    solver = Thermodynamic()
    assert {name: getattr(solver, name) for name in ANALOG_FIELDS} == defaults


TOY_FIELD = '''
    settling_time_s: float | None = price("time to settle", "amplifier", "s")
    """Time that the amplifiers take before a readout."""
'''
TOY_EFFECT = ('items["read"] = ', 'items["read"] = analog.samples * (device.settling_time_s or 0.0) + ')
STUDY = """
name = "toy"
title = "Toy"
[device.mine]
base = "paper"
settling_time_s = 3
[[training]]
name = "t"
problem = "digits-mlp"
parameters = 1000
epochs = 1
optimizers = ["tngd"]
sweep = {parameter = "settling_time_s", values = [5, 6]}
"""
USES = """
from tngd_bench.analysis.setting_names import axis_title
from tngd_bench.cli.main import run
from tngd_bench.spu.description import DeviceDescription
from tngd_bench.spu.field_info import markdown_table
from tngd_bench.studies.file.devices import own_devices
from tngd_bench.studies.file.optimizer_label import config_of
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.file.sweeps import levels_of, settings_of

study = load_study("study.toml").study
(section,) = study.training
print(own_devices(study)["mine"].settling_time_s)
print(config_of(study, "tngd[settling_time_s=4]", section.problem).settings["settling_time_s"])
for level in levels_of(section.sweep):
    swept = config_of(study, "tngd", section.problem, settings_of(level))
    print("swept", swept.settings["settling_time_s"])
print(axis_title("settling_time_s"))
print(markdown_table(DeviceDescription))
size = ["predict", "--parameters", "1000", "--batch", "2", "--outputs", "3"]
run([*size, "--set", "settling_time_s=2"])
run([*size, "--sweep", "settling_time_s=2,4"])
run([*size, "--set", "settling_time_s=-1"])
"""


def test_a_new_field_is_its_description_and_its_effect(tmp_path: Path) -> None:
    """In two places of a copy of the package; then studies, options, sweeps, reports and docs have it."""
    shutil.copytree(Path(tngd_bench.__file__).parent, tmp_path / "tngd_bench")
    for name, old, new in (
        ("description", "\n    instance: int", f"{TOY_FIELD}\n    instance: int"),
        ("billing", *TOY_EFFECT),
    ):
        path = tmp_path / "tngd_bench" / "spu" / f"{name}.py"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "uses.py").write_text(USES, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "uses.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("3\n4\nswept 5\nswept 6\ntime to settle (s)\n")
    assert (
        "| `settling_time_s` | amplifier | Time that the amplifiers take before a readout. | s | ≥ 0 |"
        in done.stdout
    )
    assert "sending the solution back        2.000 s" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if line.endswith("4.000 s")] == ["4"]
    assert "settling_time_s must be a finite number >= 0, not -1" in done.stderr
