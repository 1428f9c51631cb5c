"""`tngd-bench predict`: its figures are the floors' own, its verdict a sentence of them."""

import json
import re
import subprocess
import sys

import pytest

from tests.cli.predict.conftest import SIZES, predict
from tngd_bench.cli import main as command_line
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.costs import predicted_cost
from tngd_bench.optimizers.network_size import square_layers
from tngd_bench.spu import Device


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


def test_figures_carry_grade_and_source():
    table = json.loads(predict(*SIZES, "--device", "rram", "--processor", "epyc-7763", "--json"))
    assert table["device"]["sources"]["programming_error"]["grade"] == "C"
    assert table["processor"]["sources"]["fp32"]["grade"] == "U"


@pytest.mark.parametrize("stated", [True, False])
def test_how_copies_are_written_is_said_where_writing_takes_time(capsys, stated):
    """Their bill is that of one copy, whatever tiles_written_at_once says."""
    time = ["--set", "cell_write_time_s=1e-3"] if stated else []
    assert command_line.run(["predict", *SIZES, "--json", *time]) == 0
    found = json.loads(capsys.readouterr().out)
    bills = {row["seconds"]["write_cells"] for row in found["tkfac"]["by_copies"]}
    assert len(bills) == 1
    assert any("copies of an array are written together" in each for each in found["assumptions"]) == stated


def test_it_needs_no_torch():
    code = (
        "import sys; from tngd_bench.cli.main import run; "
        f"run(['predict', *{SIZES!r}, '--processor', 'h100']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("False")


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
