"""`tngd-bench predict --sweep`: rows are single predictions, and a figure holds the same numbers."""

import csv
import json

import pytest
from click.testing import CliRunner

from tngd_bench.cli.predict import command

SIZES = ["--parameters", "20000", "--batch", "64", "--outputs", "10"]


def predict(*arguments, code=0):
    result = CliRunner().invoke(command, [*SIZES, *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize(
    ("sweep", "single"),
    [
        ("link_rate=1e9,1e12", ["--set", "link_rate_bits_per_s=1e12"]),
        ("bits=8,4", ["--set", "word_bits=4"]),
        ("tau=1e-6,1e-3", ["--set", "resistance_ohm=1e6"]),
        ("analog_time=1:400:3", ["--analog-time", "400"]),
    ],
)
def test_a_row_is_what_a_single_prediction_says(sweep, single):
    rows = json.loads(predict("--sweep", sweep, "--processor", "a100", "--json"))
    alone = json.loads(predict(*single, "--processor", "a100", "--json"))
    assert rows[-1]["device_s"] == pytest.approx(alone["device"]["seconds"]["total"])
    assert rows[-1]["iteration_s"] == pytest.approx(alone["device"]["iteration_seconds"])
    assert rows[-1]["ngd-gram_s"] == pytest.approx(
        next(each["seconds"] for each in alone["digital"] if each["name"] == "ngd-gram")
    )


def test_sizes_are_swept_as_whole_numbers_with_their_rows():
    rows = json.loads(predict("--sweep", "batch=1:1000:4", "--json"))
    assert [row["batch"] for row in rows] == [1, 10, 100, 1000]
    assert [row["rows"] for row in rows] == [10, 100, 1000, 10_000]


def test_the_table_has_a_line_per_value_and_digital_times_only_with_a_processor():
    text = predict("--sweep", "link_rate=1e9,1e10")
    assert "modelled, nothing was run" in text
    assert "ngd-gram" not in text
    assert "ngd-gram" in predict("--sweep", "link_rate=1e9,1e10", "--processor", "h100")
    assert len(text.splitlines()) == 5


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_a_figure_has_its_data_beside_it(tmp_path, ending):
    figure = tmp_path / f"link.{ending}"
    rows = json.loads(predict("--sweep", "link_rate=1e9:1e12", "--figure", figure, "--json"))
    assert figure.stat().st_size > 1000
    kept = list(csv.DictReader(figure.with_suffix(".csv").read_text().splitlines()))
    assert [float(row["device_s"]) for row in kept] == [row["device_s"] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "link_rate"], "--sweep takes NAME=V1,V2"),
        (["--sweep", "link_rate=fast"], "'fast' in 'link_rate=fast' is not a number"),
        (["--sweep", "link_rate=1e9:1e8"], "needs 0 < LOW < HIGH"),
        (["--sweep", "link_rate=1:2:3:4"], "LOW:HIGH[:POINTS]"),
        (["--sweep", "link_rat=1e9"], "link_rat"),
        (["--sweep", "bits=0"], "word_bits"),
        (["--sweep", "link_rate=1e9", "--figure", "plot.jpeg"], "ending in .svg, .png, .pdf"),
        (["--figure", "plot.svg"], "add --sweep"),
    ],
)
def test_bad_sweeps_are_told_in_words(arguments, message):
    assert message in predict(*arguments, code=2)
