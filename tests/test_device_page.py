"""docs/device.md says what the code says: its names exist, its commands run, its bills are those of the presets."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tngd_bench import plugin_files, spu
from tngd_bench.cli.main import run
from tngd_bench.optimizers import TNGD, registry
from tngd_bench.optimizers.tngd.step_errors import UnstableStepError
from tngd_bench.spu import Device, billing
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.description import DeviceDescription
from tngd_bench.spu.dynamics.arrays import UnstableDeviceError
from tngd_bench.spu.field_info import markdown_table
from tngd_bench.spu.ledger import Ledger
from tngd_bench.spu.sources import GRADES
from tngd_bench.studies.file.reading import shipped_studies

PAGE = (Path(__file__).parents[1] / "docs" / "device.md").read_text(encoding="utf-8")
N, M, T = 20_000, 640, 50.0
PRICED = Device.ideal().override(cell_write_time_s=1.0, dac_rate_hz=1.0, adc_rate_hz=1.0)
LIMITED = PRICED.override(conductance_max_siemens=1.0)
POWERS = dict.fromkeys(("amplifier_power_watt", "hold_power_watt", "standby_power_watt"), 1.0)
STATED = PRICED.override(**POWERS, partial_sums_per_tau=1.0, calibration_time_s=1.0)
ITEMS = set(LIMITED.latency(N, M, T, samples=2, ensemble=2).items) | set(STATED.latency(N, M, T).items)


def test_every_name_exists() -> None:
    known = (
        {field.name for field in dataclasses.fields(Device)} | ITEMS | set(inspect.signature(TNGD).parameters)
    )
    known |= registry.get("tkfac").settings.keys() | registry.get("ngd-cg-device").settings.keys()
    known |= {name for owner in (Ledger, Device, billing, spu) for name in dir(owner)}
    known.add("stability_margin")  # an attribute of an instance of `TNGD`
    known |= {"ProgrammedDevice", UnstableDeviceError.__name__, UnstableStepError.__name__}
    known |= {name.replace("-", "_") for name in Device.presets()}
    words = {
        word
        for text in re.findall(r"`([^`]+)`", PAGE)
        if not text.startswith(("python", "tngd-bench", "tngd_bench", "predict"))
        for word in re.findall(r"[A-Za-z_][\w-]*", re.sub(r'"[^"]*"', "", text))
    }
    assert {word for word in words if word.replace("-", "_") not in known and "_" in word} == set()
    assert {f"`{name}`" for name in ITEMS} <= set(re.findall(r"`\w+`", PAGE))


@pytest.mark.parametrize("owner", [DeviceDescription, AnalogSettings])
def test_the_tables_of_fields_are_those_that_the_code_prints(owner: type) -> None:
    table = markdown_table(owner)
    assert table in PAGE, f"docs/device.md must have this table:\n{table}"


@pytest.mark.parametrize("name", Device.presets())
def test_the_bill_of_each_preset_is_that_of_the_code(name: str) -> None:
    (line,) = re.findall(rf"^\| `{name}` \| .* \| (≥ )?([\d.]+) \| ([\d.]+) `(\w+)` \|$", PAGE, re.MULTILINE)
    ledger = Device.preset(name).latency(N, M, T)
    assert ledger.at_least is not None
    assert bool(line[0]) == (ledger.total is None)
    assert 1e3 * ledger.at_least == pytest.approx(float(line[1]), rel=1e-3)
    largest = max(ledger.items, key=lambda item: ledger.items[item] or 0.0)
    assert largest == line[3]
    assert 1e3 * (ledger.items[largest] or 0.0) == pytest.approx(float(line[2]), rel=1e-3)


@pytest.mark.parametrize(("setting", "symbol"), [("ensemble", "K"), ("refinements", "k"), ("samples", "n")])
def test_the_rows_of_the_bill_name_the_settings_that_their_items_grow_with(setting: str, symbol: str) -> None:
    """Of an iteration that starts at zero, so that no state is written."""
    rows = dict(
        re.findall(r"^\| (`write_.*?|`re.*?) \| (.*?) \|", PAGE.partition("## The bill")[2], re.MULTILINE)
    )
    seconds = {item: formula for items, formula in rows.items() for item in re.findall(r"\w+", items)}
    device = STATED.override(**dict.fromkeys(POWERS), calibration_time_s=None)
    device = device.override(link_rate_bits_per_s=1e9, tile_rows=256, partial_sum_time_s=1.0)
    once, more = (
        device.latency(N, M, T, start="zero", **{"samples": 2} | {setting: number}).items for number in (2, 5)
    )
    grown = {item for item, value in more.items() if value != pytest.approx(once[item])}
    named = {item for item in more if re.search(rf"(?<![\w`]){symbol}(?!\w)", seconds[item])}
    assert named == grown


def test_the_page_defines_the_host_and_every_grade_and_names_both_errors() -> None:
    assert PAGE.index("*Host* means") < PAGE.index("| `write_gradient`")
    assert [f"{grade}, {words}" for grade, words in GRADES.items() if f"{grade}, {words}" not in PAGE] == []
    assert issubclass(UnstableStepError, UnstableDeviceError)
    for page in (PAGE, (Path(__file__).parents[1] / "docs" / "guide" / "faq.md").read_text(encoding="utf-8")):
        assert {"`UnstableStepError`", "`UnstableDeviceError`"} <= set(re.findall(r"`Unstable\w+`", page))


def test_its_commands_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert run(["new", "device", "mydevice"]) == 0
    (tmp_path / "dev.toml").write_text('name = "dev"\ntitle = "Dev"\n[device.slow]\nbase = "paper"\n')
    for module in re.findall(r"python -m ([\w.]+)", PAGE):
        assert find_spec(module) is not None
    for study in re.findall(r"tngd-bench run (\w+)", PAGE):
        assert study in shipped_studies()
    commands = re.findall(r"^ {4}tngd-bench (predict .*)$", PAGE, re.MULTILINE)
    assert commands
    for command in commands:
        assert run(shlex.split(command)) == 0
        told = capsys.readouterr().out
        assert "8.386 ms" in told or "--device paper" not in command
    plugin_files.forget()
