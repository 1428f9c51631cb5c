"""`tngd-bench predict`: its figures are the floors' own, its errors are told in one line."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tngd_bench.cli import main as command_line
from tngd_bench.cli.predict import _quantity, command
from tngd_bench.optimizers.costs import predicted_cost
from tngd_bench.optimizers.prediction import square_layers
from tngd_bench.spu import Device
from tngd_bench.spu.processor import Processor

SIZES = ["--parameters", "20000", "--batch", "64", "--outputs", "10"]


def predict(*arguments):
    result = CliRunner().invoke(command, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_worked_example_of_the_paper_device():
    table = json.loads(predict(*SIZES, "--json"))
    assert table["modelled"] is True
    assert table["device"]["seconds"]["write_arrays"] == pytest.approx(8.323e-3, rel=1e-3)
    assert table["device"]["joules"]["total"] is None
    text = predict(*SIZES)
    assert "modelled, nothing was run" in text
    assert "8.323 ms" in text
    assert "needs --processor" in text or "need --processor" in text


def test_digital_times_are_the_roofline_of_the_predicted_cost():
    table = json.loads(predict(*SIZES, "--processor", "a100", "--json"))
    rows = {row["name"]: row for row in table["digital"]}
    for name in ("sgd", "ngd-gram", "ngd-cg", "ngd"):
        cost = predicted_cost(
            name, parameters=20_000, rows=640, batch_size=64, outputs=10, layers=square_layers(20_000, 4)
        )
        seconds = max(cost.flops / 19.5e12, cost.bytes / 2.04e12)
        assert rows[name]["seconds"] == pytest.approx(seconds)
        assert rows[name]["joules"] == pytest.approx(400.0 * seconds)


def test_at_the_printed_break_even_rate_device_and_digital_draw_level():
    table = json.loads(predict(*SIZES, "--processor", "epyc-7763", "--json"))
    reached = 0
    for row in table["digital"]:
        rate = row["break_even_link_bits_per_s"]
        if rate is not None:
            reached += 1
            at_rate = predict(
                *SIZES, "--processor", "epyc-7763", "--set", f"link_rate_bits_per_s={rate!r}", "--json"
            )
            assert json.loads(at_rate)["device"]["iteration_seconds"] == pytest.approx(row["seconds"])
    assert reached > 0


def test_it_works_to_a_trillion_parameters_on_every_device():
    for device in Device.presets():
        text = predict(
            "--parameters",
            "1e12",
            "--batch",
            1024,
            "--outputs",
            10,
            "--device",
            device,
            "--processor",
            "h100",
        )
        assert "N = 1,000,000,000,000" in text
        assert "not stated" in text
        assert "inf" not in text
        assert "nan" not in text


def test_a_time_that_is_not_stated_makes_every_sum_with_it_a_lower_bound():
    board = json.loads(predict(*SIZES, "--device", "board", "--processor", "a100", "--json"))
    seconds = board["device"]["seconds"]
    stated = [value for name, value in seconds.items() if value is not None and name != "at_least"]
    assert (seconds["write_cells"], seconds["total"], board["device"]["iteration_seconds"]) == (None,) * 3
    assert seconds["at_least"] == pytest.approx(sum(stated))
    total = sum(stated) + board["device"]["host_seconds"]
    assert board["device"]["iteration_at_least_seconds"] == pytest.approx(total)
    rows = {row["name"]: row for row in board["digital"]}
    assert {row["break_even_link_bits_per_s"] for row in rows.values()} == {None}
    assert rows["sgd"]["break_even_link_at_least_bits_per_s"] is None
    priced = json.loads(
        predict(*SIZES, "--device", "board", "--set", "cell_write_time_s=0", "--processor", "a100", "--json")
    )
    assert priced["device"]["seconds"]["total"] == seconds["at_least"]
    for row in priced["digital"]:
        assert row["break_even_link_bits_per_s"] == rows[row["name"]]["break_even_link_at_least_bits_per_s"]
    text = predict(*SIZES, "--device", "board", "--processor", "a100")
    assert [
        line.split()[1] for line in text.splitlines() if line.split()[:1] in (["total"], ["iteration"])
    ] == ["≥"] * 2
    assert "≥ 540.8 Gb/s" in text


def test_settings_reach_the_ledger():
    whole = json.loads(predict(*SIZES, "--json"))["device"]
    factored = json.loads(predict(*SIZES, "--set", "upload=factored", "--json"))["device"]
    assert factored["link_bits"] < 0.05 * whole["link_bits"]
    often = json.loads(predict(*SIZES, "--ensemble", 5, "--samples", 3, "--spacing", 2, "--json"))["device"]
    assert often["link_bits"] == 5 * whole["link_bits"]
    assert often["seconds"]["relax_average"] == pytest.approx(5 * 2 * 2e-6)
    assert json.loads(predict(*SIZES, "--set", "link_rate_bits_per_s=none", "--json"))["device"]["seconds"][
        "total"
    ] == pytest.approx(50e-6)


def test_figures_carry_grade_and_source():
    table = json.loads(predict(*SIZES, "--device", "rram", "--processor", "epyc-7763", "--json"))
    assert table["device"]["sources"]["programming_error"]["grade"] == "C"
    assert table["processor"]["sources"]["flops_per_s"]["grade"] == "U"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "papr"], "did you mean 'paper'"),
        (["--processor", "a10"], "did you mean 'a100'"),
        (["--set", "upload=half"], "upload must be one of: full, factored"),
        (["--set", "adc_bit=8"], "did you mean 'adc_bits'"),
        (["--set", "adc_bits"], "--set takes FIELD=VALUE"),
        (["--delay", "60"], "delay must be <= analog_time"),
        (["--analog-time", "nan"], "analog_time must be a finite number"),
        (["--parameters", "many"], "'many' is not a number"),
        (["--parameters", "0.5"], "is not a whole number"),
        (["--parameters", "1e300"], "'1e300' is too large; accepted: up to 1e+18"),
        (["--depth", "1e9"], "'1e9' is too large; accepted: up to 10000"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_3(capsys, arguments, message):
    assert command_line.run(["predict", *SIZES, *arguments]) == 3
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("tngd-bench: error: ")
    assert error.count("\n") == 1


def test_it_needs_no_torch():
    code = (
        "import sys; from tngd_bench.cli.main import run; "
        f"run(['predict', *{SIZES!r}, '--processor', 'h100']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("False")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not stated"),
        (0.0, "0 s"),
        (8.323e-3, "8.323 ms"),
        (1.5e13, "475,321 years"),
        (2.5e-20, "2.5·10⁻⁸ ps"),
    ],
)
def test_quantities_have_prefixes_and_nothing_is_ever_zero_for_unknown(value, shown):
    assert _quantity(value, "s") == shown


def test_every_number_of_a_processor_has_a_source():
    for name in Processor.names():
        processor = Processor.named(name)
        assert set(processor.sources) == {"flops_per_s", "bytes_per_s", "power_watt"}
        assert processor.seconds(processor.flops_per_s, 0.0) == pytest.approx(1.0)
        assert processor.seconds(0.0, 2 * processor.bytes_per_s) == pytest.approx(2.0)


def test_a_second_sweep_is_refused_and_set_and_sweep_have_the_same_names(capsys):
    words = ["predict", "--parameters", "1e6", "--batch", "64", "--outputs", "10"]
    assert command_line.run([*words, "--sweep", "tau=1e-6,1e-5", "--sweep", "batch=8,16"]) == 3
    assert "--sweep is given 2 times" in capsys.readouterr().err
    for text in (
        "link_rate=1e9",
        "link-rate=1e9",
        "tau=1e-5",
        "bits=8",
        "batch=32",
        "device=rram",
        "analog_time=5",
    ):
        name, _, value = text.partition("=")
        assert command_line.run([*words, "--set", text, "--json"]) == 0
        one = json.loads(capsys.readouterr().out)["device"]["seconds"]["at_least"]
        assert command_line.run([*words, "--sweep", f"{name}={value}", "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert row["device_at_least_s"] == one


def test_a_study_s_device_is_predicted_for(capsys, tmp_path):
    study = tmp_path / "my.toml"
    study.write_text(
        'name = "x"\ntitle = "x"\n[device.mine]\nbase = "paper"\nlink_rate_bits_per_s = 1e9\n'
        '[[cost]]\nname = "s"\nproblem = "digits-mlp"\nparameters = [1000]\noptimizers = ["sgd"]\n'
    )
    words = ["predict", "--parameters", "1e6", "--batch", "64", "--outputs", "10", "--json"]
    assert command_line.run([*words, "--device", f"{study}:mine"]) == 0
    mine = json.loads(capsys.readouterr().out)
    assert command_line.run([*words, "--set", "link_rate=1e9"]) == 0
    assert mine["device"]["seconds"] == json.loads(capsys.readouterr().out)["device"]["seconds"]
    assert command_line.run([*words, "--device", f"{study}:nine"]) == 3
    assert "did you mean 'mine'" in capsys.readouterr().err
