"""`tngd-bench predict`: its figures are the floors' own, its errors are told in one line."""

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tngd_bench.cli import main as command_line
from tngd_bench.cli.predict.command import command
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.costs import predicted_cost
from tngd_bench.optimizers.network_size import square_layers
from tngd_bench.problems import registry as problems
from tngd_bench.spu import Device
from tngd_bench.spu.processor import NUMBER_BYTES, Processor

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
    assert {row["seconds"] for row in table["digital"]} == {None}
    text = predict(*SIZES)
    assert "modelled, nothing was run" in text
    assert "8.323 ms" in text
    assert "needs --processor" in text or "need --processor" in text


def test_a_device_for_each_layer_has_a_hessian_array_each():
    whole, layers = (json.loads(predict(*SIZES, "--scope", scope, "--json")) for scope in ("model", "layer"))
    more = layers["device"]["seconds"]["write_arrays"] - whole["device"]["seconds"]["write_arrays"]
    assert more == pytest.approx(3 * 640 * 640 * 16 / 50e9)  # four square layers
    assert layers["device"]["seconds"]["relax"] == whole["device"]["seconds"]["relax"]
    assert {"spring", "ngd-layer"} <= {row["name"] for row in layers["digital"]}


def test_digital_times_are_the_roofline_of_the_predicted_cost():
    table = json.loads(predict(*SIZES, "--processor", "a100", "--json"))
    rows = {row["name"]: row for row in table["digital"]}
    for name in ("sgd", "ngd-gram", "ngd-cg", "ngd"):
        cost = predicted_cost(
            name, parameters=20_000, rows=640, batch_size=64, outputs=10, layers=square_layers(20_000, 4)
        )
        seconds = max(cost.flops / 19.5e12, cost.bytes / 2.04e12, 3e-6)
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
    size = ["--parameters", "1e12", "--batch", 1024, "--outputs", 10]
    for device in Device.presets():
        text = predict(*size, "--device", device, "--processor", "h100")
        assert "N = 1,000,000,000,000" in text
        assert "not stated" in text
        assert not re.search(r"\b(inf|nan)\b", text)
        # 16 bytes a parameter alone are 200 times the memory of an H100
        lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
        for name in ("host", *registry.digital()):
            assert re.search(r"does not fit: \S+ [A-Z]*B missing", lines[name])
            assert "≥" not in lines[name]
        assert lines["iteration"].endswith("not known: the host does not fit")
    for row in json.loads(predict(*size, "--processor", "h100", "--json"))["digital"]:
        assert row["seconds"] is row["joules"] is row["break_even_link_bits_per_s"] is None
        assert row["missing_bytes"] == pytest.approx(row["bytes"] - 80e9)


def test_a_time_that_is_not_stated_makes_every_sum_with_it_a_lower_bound():
    mdac = json.loads(predict(*SIZES, "--device", "sram-mdac", "--processor", "a100", "--json"))
    seconds = mdac["device"]["seconds"]
    stated = [value for name, value in seconds.items() if value is not None and name != "at_least"]
    assert (seconds["write_cells"], seconds["total"], mdac["device"]["iteration_seconds"]) == (None,) * 3
    assert seconds["at_least"] == pytest.approx(sum(stated))
    total = sum(stated) + mdac["device"]["host_seconds"]
    assert mdac["device"]["iteration_at_least_seconds"] == pytest.approx(total)
    rows = {row["name"]: row for row in mdac["digital"]}
    assert {row["break_even_link_bits_per_s"] for row in rows.values()} == {None}
    assert rows["sgd"]["break_even_link_at_least_bits_per_s"] is None
    free = ("--set", "cell_write_time_s=0", "--set", "dac_rate_hz=unlimited")
    priced = json.loads(predict(*SIZES, "--device", "sram-mdac", *free, "--processor", "a100", "--json"))
    assert priced["device"]["seconds"]["total"] == seconds["at_least"]
    for row in priced["digital"]:
        assert row["break_even_link_bits_per_s"] == rows[row["name"]]["break_even_link_at_least_bits_per_s"]
    text = predict(*SIZES, "--device", "sram-mdac", "--processor", "a100")
    assert [
        line.split()[1] for line in text.splitlines() if line.split()[:1] in (["total"], ["iteration"])
    ] == ["≥"] * 2
    assert re.search(r"≥ [\d.]+ Gb/s", text)


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


def test_figures_carry_grade_and_source():
    table = json.loads(predict(*SIZES, "--device", "rram", "--processor", "epyc-7763", "--json"))
    assert table["device"]["sources"]["programming_error"]["grade"] == "C"
    assert table["processor"]["sources"]["fp32"]["grade"] == "U"


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


@pytest.mark.parametrize("stated", [True, False])
def test_how_copies_are_written_is_said_where_writing_takes_time(capsys, stated):
    """Their bill is that of one copy, whatever tiles_written_at_once says."""
    time = ["--set", "cell_write_time_s=1e-3"] if stated else []
    assert command_line.run(["predict", *SIZES, "--json", *time]) == 0
    found = json.loads(capsys.readouterr().out)
    bills = {row["seconds"]["write_cells"] for row in found["tkfac"]["by_copies"]}
    assert len(bills) == 1
    assert any("copies of an array are written together" in each for each in found["assumptions"]) == stated


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


def test_it_needs_no_torch():
    code = (
        "import sys; from tngd_bench.cli.main import run; "
        f"run(['predict', *{SIZES!r}, '--processor', 'h100']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("False")


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
        "refinements=3",
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


def test_host_and_rival_are_priced_by_the_same_processor():
    table = json.loads(predict(*SIZES, "--device", "board", "--processor", "a100", "--json"))
    device = table["device"]
    assert device["host_joules"] == pytest.approx(400.0 * device["host_seconds"])
    assert device["iteration_joules"] is None  # the board states no price for its cells
    stated = device["joules"]["at_least"] or 0.0
    assert device["iteration_at_least_joules"] == pytest.approx(device["host_joules"] + stated)
    for part in ("host", "kfac"):
        assert table["tkfac"][f"{part}_joules"] == pytest.approx(400.0 * table["tkfac"][f"{part}_seconds"])
    own = json.loads(predict(*SIZES, "--processor", "a100", "--host-watts", 100, "--json"))
    assert own["device"]["host_joules"] == pytest.approx(100.0 * own["device"]["host_seconds"])
    assert "power_watt" not in own["processor"]["sources"]
    rows = json.loads(predict(*SIZES, "--processor", "a100", "--sweep", "device=paper,rram,board", "--json"))
    for row in rows:
        assert row["host_j"] == pytest.approx(400.0 * row["host_s"])
        assert row["kfac_j"] == pytest.approx(400.0 * row["kfac_s"])
        assert row["iteration_at_least_j"] == pytest.approx(row["host_j"] + (row["device_at_least_j"] or 0.0))


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


def test_the_last_line_is_a_verdict_and_the_rival_is_marked():
    text = predict(*SIZES, "--processor", "h100")
    last = text.splitlines()[-1]
    assert last.startswith("verdict: not worth building at this size: ")
    (marked,) = [line for line in text.splitlines() if "← the rival" in line]
    table = json.loads(predict(*SIZES, "--processor", "h100", "--json"))
    assert marked.split()[0] == table["best_rival"]
    assert last == f"verdict: {table['verdict']}"
    times = table["device"]["iteration_at_least_seconds"] / min(
        row["seconds"] for row in table["digital"] if row["seconds"] and row["name"] not in ("sgd", "adam")
    )
    assert f"{times:,.0f}"[:2] in last
    assert re.search(r"\(≥ [\d.]+ \ws against ≥ [\d.]+ \ws\)", last)
    assert (
        predict(*SIZES).splitlines()[-1]
        == "verdict: not told: digital times need a processor, which --processor names"
    )
    fast = predict(
        *SIZES[:2], "--batch", 4096, "--outputs", 1, "--processor", "epyc-7763", "--set", "link_rate=none"
    )
    assert "verdict: " in fast.splitlines()[-1]


@pytest.mark.parametrize("device", ["paper", "rram", "pcm", "board"])
@pytest.mark.parametrize("rate", ["1e6", "unlimited"])
def test_the_verdict_is_a_sentence_whatever_takes_longest(device, rate):
    """Names of parts are singular or plural, whatever their last letter: none is a subject."""
    last = predict(
        *SIZES, "--processor", "a100", "--device", device, "--set", f"link_rate={rate}"
    ).splitlines()[-1]
    assert re.search(r"; the longest part, [a-zA-Z/' ]+, takes [\d.]+ \w+, ", last), last


def test_the_columns_of_thermodynamic_kfac_say_what_they_lack():
    text = predict(*SIZES, "--processor", "a100", "--device", "rram")
    (row,) = [line for line in text.splitlines() if re.match(r"  1 {5}", line)]
    assert row.endswith("no link rate, no width up to 131,072")
    assert "link rate, layer width at which it matches K-FAC" in text


def test_a_device_ahead_of_every_rival_is_worth_a_closer_look():
    words = ["--parameters", "1e6", "--batch", "1", "--outputs", "1", "--processor", "epyc-7763"]
    text = predict(*words, "--device", "ideal", "--analog-time", 0)
    assert "verdict: worth a closer look: " in text


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


def test_a_sweep_has_thermodynamic_kfac_by_copies(capsys):
    words = ["--processor", "a100", "--sweep", "refinements=0,2"]
    rows = json.loads(predict(*SIZES, *words, "--json"))
    whole = json.loads(predict(*SIZES, "--processor", "a100", "--json"))["tkfac"]["by_copies"]
    assert [rows[0][f"tkfac_{each['copies']}_s"] for each in whole] == [
        each["iteration_at_least_seconds"] for each in whole
    ]
    assert all(rows[1][f"tkfac_{each['copies']}_s"] > rows[0][f"tkfac_{each['copies']}_s"] for each in whole)
    text = predict(*SIZES, *words)
    assert "tkfac_1 " in text
    assert "only the abstract was read" in text
    assert not any(name.startswith("tkfac") for name in json.loads(predict(*SIZES, *words[2:], "--json"))[0])
    given = ["predict", "--parameters", "10", "--batch", "1", "--outputs", "1", "--refinements", "-1"]
    assert command_line.run(given) == 3
    assert "'-1' is not a whole number >= 0" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--outputs", "1"], ["--outputs", "10"]])
def test_a_verdict_marks_the_host_s_passes_as_a_lower_bound_and_the_link_as_none(words):
    size = ["--parameters", "1e6", "--batch", 4096, "--processor", "h100", *words]
    for link, mark in (("none", "the host's passes, takes ≥ "), ("1e9", "the link, takes ")):
        last = predict(*size, "--set", f"link_rate={link}", "--set", "tau=1e-15").splitlines()[-1]
        assert re.search(re.escape(mark) + r"\d", last), last
