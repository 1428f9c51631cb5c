"""`tngd-bench tune` as a user meets it: what it prints and writes, how it ends, and what it refuses."""

import json
import signal
import subprocess
import sys
import tomllib

import pytest

from tests.cli.test_main import tngd_bench
from tngd_bench.cli import main as command_line
from tngd_bench.optimizers.torch_class.known import KNOWN
from tngd_bench.studies.store.records import read_records

TUNED = '["sgd", "sgd[tuned]", "adam[tuned]", "torch.optim:Muon[tuned]"]'
STUDY = f"""
name = "tiny"
title = "Tiny"

[execution]
workers = 2

[[training]]
name = "digits"
problem = "digits-mlp"
parameters = 1_000
train_size = 80
epochs = 1
evaluations = 1
seeds = 1
optimizers = {TUNED}
"""


@pytest.fixture
def tune(study, tmp_path, capfd):
    """The verb in this process: exit code, output, complaints."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*words):
        code = command_line.run(["tune", str(study), "--output", str(tmp_path / "out"), *words])
        return code, *capfd.readouterr()

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return path


def test_it_tunes_what_the_study_calls_tuned_and_says_how_to_go_on(tune, study, tmp_path):
    code, told, _ = tune("--trials", "1", "--optimizers", "sgd")
    assert code == 0
    assert "2 settings (2 ok)" in told
    assert "the study's own settings" in told
    assert 'in a study beside this one: include = ["out/tuned.toml"]' in told
    text = (tmp_path / "out" / "tuned.toml").read_text()
    assert f"command: tngd-bench tune {study} --optimizers sgd --trials 1" in text
    assert set(tomllib.loads(text)) == {"tuned", "tuning_record"}
    assert set(tomllib.loads(text)["tuned"]["sgd"]) == {"lr", "momentum"}


def test_a_class_is_tuned_over_what_is_known_of_it_and_its_record_says_who_got_what(tune, tmp_path):
    asked = 'optimizer."torch.optim:Muon".ns_steps=3'
    code, _, _ = tune("--trials", "1", "--optimizers", "torch.optim:Muon", "--set", asked)
    assert code == 0
    found = tomllib.loads((tmp_path / "out" / "tuned.toml").read_text())["tuned"]["torch.optim:Muon"]
    assert set(found) == set(KNOWN["torch.optim:Muon"].ranges)
    trials = read_records(tmp_path / "out").trials
    assert {json.loads(settings)["ns_steps"] for settings in trials["settings"]} == {3}
    routing = json.loads(trials["routing"].iloc[0])
    assert routing["Muon"] == {"0.weight": [11, 64], "2.weight": [12, 11]}
    assert set(routing["AdamW, the others"]) == {"0.bias", "2.bias", "4.weight", "4.bias"}
    assert (trials["first_step_s"] > 0).all()


def test_nothing_with_a_result_is_a_failure(tune, study, tmp_path):
    study.write_text(
        STUDY.replace(f"optimizers = {TUNED}", 'optimizers = ["sgd[lr=1e37]"]')
        + '[tuning.spaces.sgd.momentum]\nlow = 0.0\nhigh = 0.5\nscale = "log-complement"\n'
    )
    code, told, complaint = tune("--trials", "1")
    assert code == 2
    assert "no setting gave a result; 2 settings (2 diverged)" in told
    assert complaint.count("\n") == 1
    assert "no optimizer has a result" in complaint
    assert not (tmp_path / "out" / "tuned.toml").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--optimizers", ","], "--optimizers names none"),
        (["--section", "digit"], "did you mean 'digits'"),
        (["--optimizers", "sdg"], "did you mean 'sgd'"),
        (["--optimizers", "sgd[lr=0.1,momentum=0.2]"], "leaves nothing to tune"),
        (["--trials", "0"], "--trials"),
        (["--set", "tuning.trials=x"], "tuning.trials"),
        (["--set", "tuning.metric=validation_f1"], "validation_accuracy"),
        (["--profile", "nightly"], "nightly"),
        (["--section", 'a"b'], "letters, digits"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_3(tune, tmp_path, words, complaint):
    before = sorted(tmp_path.rglob("*"))
    code, _, told = tune(*words)
    assert code == 3
    assert told.count("\n") == 1
    assert complaint in told
    assert sorted(tmp_path.rglob("*")) == before


def test_settings_that_no_search_wrote_are_not_written_over(tune, tmp_path):
    own = tmp_path / "out" / "tuned.toml"
    own.parent.mkdir()
    own.write_text("[tuned.sgd]\nlr = 0.3\n")
    code, _, told = tune("--trials", "1")
    assert (code, own.read_text()) == (3, "[tuned.sgd]\nlr = 0.3\n")
    assert "tuned.toml was not written by `tngd-bench tune`" in told


def test_a_study_that_is_run_before_it_is_tuned_names_the_command(study, capsys):
    assert command_line.run(["run", str(study)]) == 3
    assert "tngd-bench tune" in capsys.readouterr().err


def test_help_has_examples():
    found = tngd_bench("tune", "--help")
    assert found.returncode == 0
    assert "  tngd-bench tune my-study.toml" in found.stdout


def test_a_study_may_include_what_its_search_will_write(tune, study, capfd, tmp_path):
    study.write_text('include = ["out/tuned.toml"]\n' + STUDY)
    assert command_line.run(["plan", str(study)]) == 3
    told = capfd.readouterr().err
    assert "there is no file 'out/tuned.toml' beside this one; `tngd-bench tune" in told
    assert "reports/STUDY-tuning/tuned.toml" in told
    assert "there are" not in told
    code, told, _ = tune("--plan", "--trials", "3", "--optimizers", "sgd")
    assert code == 0
    assert "digits-finals" in told
    assert "total: 13 trials in 13 processes" in told  # 4 settings, then 3 finalists on 3 seeds
    assert not (tmp_path / "out").exists()


def test_the_package_is_a_command():
    code = "import sys, runpy; sys.argv = ['x', '--version']; runpy.run_module('tngd_bench', run_name='__main__')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout[:10]) == (0, "tngd-bench")
