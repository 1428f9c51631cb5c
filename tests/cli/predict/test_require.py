"""`tngd-bench require`: thin over `analysis.design`, its text says what its JSON says, its errors are one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.problems.outside import published_modules
from tngd_bench.analysis import quantities
from tngd_bench.cli import main as command_line

SIZES = ["--parameters", "20000", "--batch", "64", "--outputs", "10"]


def required(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert command_line.run(["require", *words]) == 0
    return capsys.readouterr().out


def test_a_rate_that_it_asks_for_reaches_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SIZES, "--beat", "ngd", "--factor", "20", "--processor", "epyc-7763", "--set", "link_rate=1e8"]
    found = json.loads(required(capsys, *words, "--json"))
    assert (found["modelled"], found["reached"], found["rival"]) == (True, False, "ngd")
    assert found["target_seconds"] == pytest.approx(found["rival_seconds"] / 20)
    for name in ("rival", "host"):
        assert found[f"{name}_joules"] == pytest.approx(280.0 * found[f"{name}_seconds"])
    assert "at 55 W" in required(capsys, *words, "--host-watts", "55")
    needed = {each["name"]: each["needed"] for each in found["alone"]}["link_rate_bits_per_s"]
    words[-1] = f"link_rate={needed!r}"
    again = json.loads(required(capsys, *words, "--json"))
    assert again["reached"] is True
    assert again["now_seconds"] == pytest.approx(found["target_seconds"])


def test_the_arrays_are_sent_in_factors_unless_whole_ones_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    factors, whole = (
        json.loads(required(capsys, *SIZES, *words, "--json")) for words in ([], ["--set", "upload=full"])
    )
    assert factors["now_seconds"] < whole["now_seconds"] / 2
    assert not any(each["name"] == "upload" for each in factors["alone"])
    (upload,) = [each for each in whole["alone"] if each["name"] == "upload"]
    assert upload["now"] == "full"


@pytest.mark.parametrize("optimizer", ["tngd", "tkfac"])
def test_its_text_says_what_its_json_says(optimizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--parameters", "1e6", "--batch", "4096", "--outputs", "10", "--optimizer", optimizer]
    found = json.loads(required(capsys, *words, "--json"))
    text = required(capsys, *words)
    assert text.splitlines()[-1] == f"verdict: {found['verdict']}"
    for each in found["alone"]:
        assert each["title"] in text
    assert "target: as fast as K-FAC at FP32" in text
    assert text.startswith("modelled, nothing was run: N = 1,000,000, b = 4,096, d_z = 10, m = 40,960")
    assert "inf" not in text
    assert "nan" not in text


def test_what_has_no_stated_time_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    text = required(capsys, *SIZES, "--device", "board", "--beat", "ngd")
    assert text.splitlines()[-1].endswith(
        "; counted as no time, none being stated: writing the cells, slower relaxation"
    )


def test_a_user_s_module_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(published_modules.__file__)
    words = ["--batch", "8", "--optimizer", "tkfac", "--json"]
    own, named = (
        json.loads(required(capsys, "--model", name, *words)) for name in (f"{path}:resnet50", "resnet50")
    )
    assert own["parameters"] == named["parameters"] == 25_557_032
    for name in ("target_seconds", "now_seconds", "host_seconds"):
        assert own[name] == pytest.approx(named[name], rel=1e-3)


def test_a_network_without_a_matrix_has_no_factors(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", f"{published_modules.__file__}:norms", "--batch", "8"]
    assert "verdict: " in required(capsys, *words, "--host-precision", "TF32")
    assert command_line.run(["require", *words, "--optimizer", "tkfac"]) == 3
    assert "a model without linear maps has nothing on the device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--beat", "kfca"], "beat must be one of: best"),
        (["--factor", "0"], "factor must be a finite number > 0"),
        (["--optimizer", "adam"], "optimizer must be one of: tngd, tkfac"),
        (["--copies", "4"], "--copies are of the arrays of Kronecker factors; add --optimizer tkfac"),
        (["--model", "resnet-50"], "did you mean 'resnet50'"),
        (
            ["--model", "resnet18"],
            "gpt2, resnet50; not 'resnet18'; did you mean 'resnet50'? (or your own, as FILE.py:build)",
        ),
        (["--model", "gpt2"], "gpt2 has 124,439,808 parameters"),
        (["--model", "gpt2", "--problem", "mnist-cnn"], "--model and --problem each say how often"),
        (["--model", "none.py:build"], "'none.py' cannot be read"),
        (["--processor", "epyc-7763", "--host-precision", "tf32"], "no tf32 rate of AMD EPYC 7763"),
        (["--overlap", "--delay", "5"], "overlap needs delay = 0"),
        (["--host-watts", "-1"], "host_watts must be a finite number > 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_3(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert command_line.run(["require", *SIZES, *words]) == 3
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("tngd-bench: error: ")
    assert error.count("\n") == 1


def test_nothing_is_needed_where_the_target_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--parameters", "1e6", "--batch", "256", "--outputs", "10", "--beat", "ngd-gram"]
    words += ["--set", "link_rate=1e15"]
    found = json.loads(required(capsys, *words, "--json"))
    assert found["reached"] is True
    assert {each["name"] for each in found["alone"]} > {"overlap", "hessian_array", "host_precision"}
    assert all(each["needed"] == each["now"] for each in found["alone"])
    text = required(capsys, *words)
    assert text.count("nothing is needed") == 2
    assert text.splitlines()[-1] == "verdict: reached as it is"


@pytest.mark.parametrize("factor", ["0.06", "0.1", "1"])
def test_words_hold_a_sign_and_are_said_to_change_what_is_computed(
    capsys: pytest.CaptureFixture[str], factor: str
) -> None:
    words = ["--parameters", "1e6", "--batch", "256", "--outputs", "10", "--factor", factor]
    found = json.loads(required(capsys, *words, "--json"))
    (length,) = [each for each in found["alone"] if each["name"] == "word_bits"]
    assert length["changes_values"] is True
    assert length["needed"] is None or length["needed"] >= 2
    told = "word length (which changes what is computed)" in found["verdict"]
    assert told == (length["needed"] is not None) == (factor == "0.06")
    target = {"0.06": "16.7 times slower than", "0.1": "10.0 times slower than", "1": "as fast as"}[factor]
    assert f"target: {target} K-FAC" in required(capsys, *words)


def test_a_host_without_the_memory_does_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    """As `predict` says of the same host; what is required is required of one that has the memory."""
    words = ["--model", "resnet50", "--batch", "256", "--outputs", "1", "--processor", "h100"]
    found = json.loads(required(capsys, *words, "--json"))
    told = f"does not run: the host lacks {quantities.si(found['host_missing_bytes'], 'B')} of memory"
    assert found["verdict"].startswith(told)
    easy = json.loads(required(capsys, *words, "--factor", "1e-6", "--json"))
    assert (easy["reached"], easy["verdict"]) == (False, f"{told}; if it had it, reached as it is")
    assert ", if it had the memory" in required(capsys, *words).splitlines()[2]
    assert command_line.run(["predict", *words, "--set", "upload=factored"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(told)


def test_whole_numbers_are_rounded_and_have_a_factor_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SIZES, "--device", "rram", "--factor", "0.01", "--set", "nodes_per_converter=8"]
    lines = required(capsys, *words).splitlines()
    rows = [line.split() for line in lines if "nodes per converter" in line and line.endswith("times)")]
    assert rows
    for row in rows:
        assert float(row[-2].strip("(")) == pytest.approx(float(row[3]) / float(row[4]), rel=1e-2)
    assert sum(line.endswith("times better, whole numbers rounded") for line in lines) == len(rows)


NOT_OF_FACTORS = [
    *(["--set", each] for each in ("upload=full", "hessian_array=false", "shared_array=true", "ensemble=4")),
    *(["--scope", "layer"], ["--delay", "20"], ["--samples", "4"], ["--start", "zero"], ["--overlap"]),
]


@pytest.mark.parametrize("words", NOT_OF_FACTORS, ids=" ".join)
def test_what_kronecker_factors_do_not_have_is_refused_or_named(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    name = words[-1].removeprefix("--").partition("=")[0] if "=" in words[-1] else words[0].removeprefix("--")
    assert command_line.run(["require", *SIZES, *words, "--optimizer", "tkfac"]) == 3
    assert f"{name} cannot be given for tkfac" in capsys.readouterr().err
    for more in ([], ["--json"]):
        assert command_line.run(["predict", *SIZES, *words, "--processor", "a100", *more]) == 0
        shown = capsys.readouterr().out
        assert ("do not change it: " + name in shown) == (words[-1] != "upload=full"), shown  # the default


def test_it_needs_no_torch_and_no_matplotlib() -> None:
    code = (
        "import sys; from tngd_bench.cli.main import run; "
        f"run(['require', *{SIZES!r}]); print({{'torch', 'matplotlib'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("set()")
