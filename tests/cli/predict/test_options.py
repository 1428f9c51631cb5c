"""Options of `tngd-bench predict`: each reaches the prediction, and bad ones are told in one line."""

import json
import subprocess
import sys

import pytest

from tests.cli.predict.conftest import SIZES, predict
from tngd_bench.cli import main as command_line
from tngd_bench.problems import registry as problems
from tngd_bench.spu.processor import NUMBER_BYTES, Processor


def test_settings_reach_the_ledger():
    whole = json.loads(predict(*SIZES, "--json"))["device"]
    factored = json.loads(predict(*SIZES, "--set", "upload=factored", "--json"))["device"]
    assert factored["link_bits"] < 0.05 * whole["link_bits"]
    often = json.loads(predict(*SIZES, "--ensemble", 5, "--samples", 3, "--spacing", 2, "--json"))["device"]
    words = json.loads(predict(*SIZES, "--json"))["device"]["seconds"]["read"] * 50e9
    assert often["link_bits"] == pytest.approx(5 * (whole["link_bits"] + words))  # x(0) of each programming
    assert often["seconds"]["relax_average"] == pytest.approx(5 * 2 * 2e-6)
    assert json.loads(predict(*SIZES, "--set", "link_rate_bits_per_s=none", "--json"))["device"]["seconds"][
        "total"
    ] == pytest.approx(50e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "papr"], "did you mean 'paper'"),
        (["--processor", "a10"], "did you mean 'a100'"),
        (["--set", "upload=half"], "upload must be one of: full, factored"),
        (["--set", "adc_bit=8"], "did you mean 'adc_bits'"),
        (["--set", "link_rat=1"], "did you mean 'link_rate'"),
        (["--sweep", "tua=1,2"], "did you mean 'tau'"),
        (["--device", "smoke:mine"], "smoke describes no device"),
        (["--set", "adc_bits"], "--set takes FIELD=VALUE"),
        (["--delay", "60"], "delay must be <= analog_time"),
        (["--analog-time", "nan"], "analog_time must be a finite number"),
        (["--set", "parameters=many"], "'many' is not a number"),
        (["--set", "parameters=0.5"], "is not a whole number"),
        (["--set", "parameters=1e300"], "'1e300' is too large; accepted: up to 1e+18"),
        (["--depth", "1e9"], "'1e9' is too large; accepted: up to 10000"),
        (["--cg-iterations", "0"], "'0' is not a whole number >= 1"),
        (["--overlap"], "overlap needs a processor"),
        (["--sweep", "overlap=true,false"], "overlap needs a processor"),
        (["--spacing", "5"], "spacing lies between readouts, of which there is one; add --samples 2"),
        (["--set", "spacing=5"], "spacing lies between readouts"),
        (["--sweep", "spacing=1,5"], "spacing lies between readouts"),
        (["--damping", "0.1", "--cg-iterations", "9"], "damping and cg_iterations both set"),
        (["--sweep", "damping=0.1,1", "--cg-iterations", "9"], "damping and cg_iterations both set"),
        (["--damping", "0"], "damping must be a finite number > 0"),
        (["--positions", "0.5"], "positions must be a finite number >= 1"),
        (["--forward-flops", "1e3"], "forward_flops must be >= 2N = 4e+04"),
        (
            ["--forward-flops", "1e6", "--positions", "2"],
            "--forward-flops and --positions each say how often",
        ),
        (["--problem", "mnist-cnn", "--positions", "2"], "--problem and --positions each say how often"),
        (["--problem", "mnist-cnn", "--depth", "2"], "--problem has layers of its own"),
        (["--problem", "mnist-cn"], "did you mean 'mnist-cnn'"),
        (["--problem", "mnist-cnn", "--set", "parameters=10"], "parameters must be at least 200"),
        (["--precision", "fp31"], "precision must be one of: fp64, fp32, tf32, bf16, fp16"),
        (["--processor", "a100", "--precision", "fp64"], "state its operations per second: --flops RATE"),
        (
            ["--processor", "a100", "--host-precision", "fp8"],
            "host_precision must be one of: fp64, fp32, tf32, bf16, fp16; not 'fp8'",
        ),
        (["--processor", "a100", "--flops", "-1"], "flops must be a finite number > 0"),
        (
            ["--set", "link_rate=1", "--set", "link-rate=2"],
            "--set link_rate=1 and --set link-rate=2 give one",
        ),
        (["--set", "tau=1e-6", "--set", "resistance_ohm=5"], "give one quantity two values"),
        (
            ["--set", "tau=1e-6", "--sweep", "tau=1,2"],
            "--set tau=1e-6 and --sweep give one quantity two values",
        ),
        (
            ["--device", "rram", "--sweep", "device=paper"],
            "--device and --sweep give one quantity two values",
        ),
        (
            ["--damping", "1", "--set", "damping=2"],
            "--damping and --set damping=2 give one quantity two values",
        ),
        (["--sweep", "tau=0,1"], "tau must be a finite number > 0, not 0"),
        (["--set", "positions=abc"], "--set positions=abc: 'abc' is not a number"),
        (["--device", "my.toml"], "accepted: my.toml:NAME"),
        (["--device", "mydevice"], "needs --plugin FILE.py, one of a study is named FILE.toml:NAME"),
        (["--flops", "1e12"], "--flops replaces the rate of a processor; add --processor"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_3(capsys, arguments, message):
    assert command_line.run(["predict", *SIZES, *arguments]) == 3
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("tngd-bench: error: ")
    assert error.count("\n") == 1


def test_a_file_that_only_describes_devices_is_enough(capsys, tmp_path):
    (tmp_path / "dev.toml").write_text(
        'name = "dev"\ntitle = "Dev"\n[device.slow]\nbase = "paper"\nlink_rate_bits_per_s = 1e9\n'
    )
    ledgers = []
    for words in (["--device", f"{tmp_path}/dev.toml:slow"], ["--set", "link_rate=1e9"]):
        assert command_line.run(["predict", *SIZES, *words, "--json"]) == 0
        ledgers.append(json.loads(capsys.readouterr().out))
    assert ledgers[0]["device"]["seconds"] == ledgers[1]["device"]["seconds"]
    assert command_line.run(["plan", f"{tmp_path}/dev.toml"]) == 3
    assert "nothing to do" in capsys.readouterr().err


def test_every_option_reaches_the_prediction_and_is_said():
    text = predict(
        *SIZES, "--processor", "a100", "--precision", "TF32", "--flops", "1e14", "--cg-iterations", 7
    )
    text = " ".join(text.split())
    assert "TF32, 100 TFLOP/s (given)" in text
    assert "NGD-CG: 7 iterations, as given." in text
    assert "NGD-CG: 12.3 iterations expected at λ = 0.1" in " ".join(
        predict(*SIZES, "--damping", 0.1).split()
    )
    rows = {}
    for options in (["--positions", "160"], ["--forward-flops", "6.4e6"], ["--set", "positions=160"]):
        table = json.loads(predict(*SIZES, *options, "--json"))
        assert table["forward_flops_per_sample"] == pytest.approx(6.4e6, rel=0.02)
        rows[options[0]] = table["digital"]
    assert rows["--positions"] == rows["--forward-flops"] == rows["--set"]


@pytest.mark.parametrize("problem", ["digits-mlp", "mnist-cnn", "causal-lm"])
def test_a_problem_gives_its_layers_and_outputs(problem):
    entry = problems.get(problem)
    widths = entry.widths(100_000)
    table = json.loads(predict("--parameters", "1e5", "--batch", 16, "--problem", problem, "--json"))
    assert table["layers"] == [list(layer[:3]) for layer in widths.layers]
    assert (table["parameters"], table["outputs"]) == (widths.parameters, entry.outputs)
    assert table["model"] == f"{problem}, {widths.describe()}"
    passes = sum(2 * 16 * d_in * d_out * places for d_in, d_out, places, *_ in widths.layers)
    d_in, d_out, places, *_ = widths.layers[0]
    # three passes, the first layer's inputs needing no gradient where they are data and not embedded tokens
    first = 2 * 16 * d_in * d_out * places
    assert table["digital"][0]["flops"] in (
        3 * passes - first,
        *([3 * passes] if problem == "causal-lm" else []),
    )


def test_the_help_names_every_processor_and_precision():
    text = " ".join(predict("--help").split())
    assert all(name in text for name in (*Processor.names(), *NUMBER_BYTES))


def test_without_a_problem_outputs_are_asked_for(capsys):
    assert command_line.run(["predict", "--parameters", "many", "--batch", "1", "--outputs", "1"]) == 3
    assert "'--parameters': 'many' is not a number" in capsys.readouterr().err
    assert command_line.run(["predict", "--parameters", "10", "--batch", "1"]) == 3
    assert "Missing option '--outputs'" in capsys.readouterr().err


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


@pytest.mark.parametrize(("precision", "size"), [("fp64", 8), ("fp32", 4), ("bf16", 2)])
def test_without_a_processor_a_precision_is_the_bytes_of_a_number(precision, size):
    table = json.loads(predict(*SIZES, "--precision", precision, "--json"))
    plain = json.loads(predict(*SIZES, "--json"))
    for each, single in zip(table["digital"], plain["digital"], strict=True):
        assert each["bytes"] == pytest.approx(single["bytes"] * size / 4)
    assert f"Memory: {size} bytes a number" in " ".join(table["assumptions"])


def test_overlap_and_host_precision_change_the_host_s_part_alone():
    size = ["--parameters", "1e6", "--batch", "4096", "--outputs", "10", "--processor", "h100"]
    size += ["--set", "upload=factored"]  # whole arrays are made at the speed of the memory
    plain = json.loads(predict(*size, "--json"))
    beside = json.loads(predict(*size, "--overlap", "--json"))
    saved = plain["device"]["overlap_saves_seconds"]
    assert saved == beside["device"]["overlap_saves_seconds"] > 0.0
    for name in ("iteration_seconds", "iteration_at_least_seconds"):
        assert beside["device"][name] == pytest.approx(plain["device"][name] - saved)
    tensor = json.loads(predict(*size, "--host-precision", "tf32", "--json"))
    assert tensor["digital"][0]["seconds"] == plain["digital"][0]["seconds"]
    assert tensor["device"]["host_seconds"] < plain["device"]["host_seconds"]
    both = json.loads(predict(*size, "--precision", "tf32", "--json"))
    assert tensor["device"]["host_seconds"] == both["device"]["host_seconds"]
    for words in (["--sweep", "overlap=false,true"], ["--sweep", "host_precision=fp32,tf32"]):
        rows = json.loads(predict(*size, *words, "--json"))
        assert rows[1]["iteration_s"] < rows[0]["iteration_s"]


def test_a_network_by_name_needs_no_sizes_and_no_torch():
    code = (
        "import sys; from tngd_bench.cli.main import run; "
        "[run(['predict', '--model', name, '--batch', '8']) for name in ('resnet50', 'gpt2')]; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("False")
    assert "N = 25,557,032, b = 8, d_z = 1,000, m = 8,000" in done.stdout
    assert "N = 124,439,808, b = 8, d_z = 51,463,168" in done.stdout
