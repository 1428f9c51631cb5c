"""`tngd-bench predict --sweep`: rows are single predictions, and a figure holds the same numbers."""

import csv
import json

import pytest
from click.testing import CliRunner

from tngd_bench.cli.main import run
from tngd_bench.cli.predict.command import command
from tngd_bench.optimizers import registry

SIZES = ["--parameters", "20000", "--batch", "64", "--outputs", "10"]


def predict(*arguments, code=0):
    result = CliRunner().invoke(command, [*SIZES, *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize(
    ("sweep", "single"),
    [
        ("link_rate=1e9,1e12", ["--set", "link_rate_bits_per_s=1e12"]),
        ("link_rate=1e9,unlimited", ["--set", "link_rate=inf"]),
        ("link_rate=1e9,inf", ["--set", "link_rate=ideal"]),
        ("dac_rate_hz=1e9,inf", ["--set", "dac_rate_hz=unlimited"]),
        ("bits=8,4", ["--set", "word_bits=4"]),
        ("tau=1e-6,1e-3", ["--set", "resistance_ohm=1e6"]),
        ("analog_time=1:400:3", ["--analog-time", "400"]),
        ("device=paper,rram", ["--device", "rram"]),
        ("upload=full,factored", ["--set", "upload=factored"]),
        ("shared_array=false,true", ["--set", "shared_array=true"]),
        ("positions=1,64", ["--positions", "64"]),
        ("cg_iterations=10,20", ["--cg-iterations", "20"]),
        ("damping=0.01,1", ["--damping", "1"]),
        ("samples=1,3", ["--samples", "3", "--set", "spacing=1"]),
        ("start=previous,zero", ["--set", "start=zero"]),
        ("nodes_per_converter=1,8", ["--set", "nodes_per_converter=8"]),
    ],
)
def test_a_row_is_what_a_single_prediction_says(sweep, single):
    rows = json.loads(predict("--sweep", sweep, "--processor", "a100", "--json"))
    alone = json.loads(predict(*single, "--processor", "a100", "--json"))
    assert rows[-1]["device_s"] == alone["device"]["seconds"]["total"]
    assert rows[-1]["device_at_least_s"] == pytest.approx(alone["device"]["seconds"]["at_least"])
    assert rows[-1]["iteration_s"] == alone["device"]["iteration_seconds"]
    assert rows[-1]["iteration_at_least_s"] == pytest.approx(alone["device"]["iteration_at_least_seconds"])
    assert rows[-1]["ngd-gram_s"] == pytest.approx(
        next(each["seconds"] for each in alone["digital"] if each["name"] == "ngd-gram")
    )


@pytest.mark.parametrize("value", ["unlimited", "inf", "ideal", "none"])
def test_a_link_without_a_limit_takes_no_time(value):
    seconds = json.loads(predict("--set", f"link_rate={value}", "--json"))["device"]["seconds"]
    assert {seconds[name] for name in ("write_gradient", "write_arrays", "read")} == {0.0}


def test_sizes_are_swept_as_whole_numbers_with_their_rows():
    rows = json.loads(predict("--sweep", "batch=1:1000:4", "--json"))
    assert [row["batch"] for row in rows] == [1, 10, 100, 1000]
    assert [row["rows"] for row in rows] == [10, 100, 1000, 10_000]


def test_the_table_has_a_line_per_value_and_digital_times_only_with_a_processor():
    text = predict("--sweep", "link_rate=1e9,1e10")
    assert "modelled, nothing was run" in text
    assert "ngd-gram" not in text
    assert "ngd-gram" in predict("--sweep", "link_rate=1e9,1e10", "--processor", "h100")
    table = text[: text.index("assumed")].split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in table] == ["link_rate_bits_per_s", "1e+09", "1e+10"]


def test_what_the_device_states_no_time_for_is_named_and_not_taken_as_nothing():
    rows = json.loads(predict("--sweep", "device=paper,rram", "--json"))
    assert [(row["not_stated"], row["write_convert_s"], row["device_s"] is None) for row in rows] == [
        ("", 0.0, False),
        ("write_convert relax_slowdown", None, True),
    ]
    text = predict("--sweep", "device=paper,rram")
    assert [line.split()[1:3] for line in text.splitlines()[3:5]] == [["8.386", "ms"], ["≥", "7.115"]]
    assert "the device states no time for: D/A conversion, slower relaxation\n" in text
    assert "At device = rram: Relaxation: a conductance range" in text
    assert "lower bound" not in predict("--sweep", "device=paper")


def test_what_does_not_fit_has_no_time_in_a_sweep():
    arguments = ("--sweep", "parameters=1e6,1e12", "--processor", "a100")
    fits, too_large = json.loads(predict(*arguments, "--json"))
    assert fits["does_not_fit"] == "ngd"
    assert too_large["does_not_fit"] == " ".join(("host", *registry.digital()))
    assert {too_large[f"{name}_s"] for name in too_large["does_not_fit"].split()} == {None}
    assert too_large["iteration_at_least_s"] is None
    line = predict(*arguments).splitlines()[4]
    assert line.split()[0] == "1e+12"
    assert (line.count("does not fit"), line.count("no host"), line.count("≥")) == (
        1 + len(registry.digital()),
        1,
        0,
    )


def test_a_sweep_says_what_all_its_values_assume_and_what_the_ends_do():
    text = " ".join(predict("--sweep", "cg_iterations=5,10,20", "--processor", "a100").split())
    assert text.count("4 square layers of width 71") == text.count("19.5 TFLOP/s") == 1
    assert "At cg_iterations = 5: NGD-CG: 5 iterations, as given." in text
    assert "At cg_iterations = 20: NGD-CG: 20 iterations, as given." in text
    rows = json.loads(predict("--sweep", "positions=1,2.5", "--processor", "a100", "--json"))
    assert "2 or 3 times a sample" in rows[1]["assumptions"][0]


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_a_figure_has_its_data_beside_it(tmp_path, ending):
    figure = tmp_path / f"link.{ending}"
    rows = json.loads(predict("--sweep", "link_rate=1e9:1e12", "--figure", figure, "--json"))
    assert figure.stat().st_size > 1000
    kept = list(csv.DictReader(figure.with_suffix(".csv").read_text().splitlines()))
    assert [float(row["device_s"]) for row in kept] == [row["device_s"] for row in rows]


def test_data_of_somebody_else_beside_a_figure_stay(tmp_path, capsys):
    (tmp_path / "link.csv").write_text("mine")
    words = [
        "predict",
        "--parameters",
        "1e6",
        "--batch",
        "8",
        "--outputs",
        "10",
        "--sweep",
        "link_rate=1e9,1e12",
    ]
    assert run([*words, "--figure", str(tmp_path / "link.svg")]) == 3
    assert "no sweep wrote" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "link_rate"], "--sweep takes NAME=V1,V2"),
        (["--sweep", "link_rate=fast"], "'fast' in 'link_rate=fast' is not a number"),
        (["--sweep", "link_rate=1e9:1e8"], "needs 0 < LOW < HIGH"),
        (["--sweep", "link_rate=1:2:3:4"], "LOW:HIGH[:POINTS]"),
        (["--sweep", "link_rat=1e9"], "link_rat"),
        (["--sweep", "upload=full,half"], "'half' in 'upload=full,half' is not one of full, factored"),
        (["--sweep", "device=paper,papr"], "'papr' in 'device=paper,papr' is not one of"),
        (["--sweep", "bits=0"], "word_bits"),
        (["--sweep", "batch=2.5,3"], "batch_size must be an integer >= 1, not 2.5"),
        (["--sweep", "positions=2,3", "--forward-flops", "1e6"], "each say how often"),
        (["--sweep", "link_rate=1e9", "--figure", "plot.jpeg"], "ending in .svg, .png, .pdf"),
        (["--figure", "plot.svg"], "add --sweep"),
    ],
)
def test_bad_sweeps_are_told_in_words(arguments, message):
    assert message in predict(*arguments, code=2)


@pytest.mark.parametrize(
    "sweep", ["word_bits=4,unlimited", "samples=1,inf", "link_rate=1:inf", "rail_volts=inf"]
)
def test_what_cannot_be_unlimited_is_refused(sweep):
    assert "is not a number" in predict("--sweep", sweep, code=2)


def test_a_rate_without_a_limit_has_its_place_in_a_figure(tmp_path):
    predict("--sweep", "link_rate=1e9,unlimited", "--figure", tmp_path / "link.svg")
    with (tmp_path / "link.csv").open() as file:
        assert [row["link_rate_bits_per_s"] for row in csv.DictReader(file)] == ["1000000000.0", "unlimited"]
