"""`tngd-bench new` and `tngd-bench test`: templates that run as they are, and the table of their checks."""

import json
import re
import sys
from pathlib import Path

import pytest

from tngd_bench import plugin_files
from tngd_bench.analysis.cost.iteration_cost import MINIMUM_PROCESSES
from tngd_bench.analysis.statistics.paired import seeds_needed
from tngd_bench.check.conformance import CHECKS
from tngd_bench.check.examination import outcome, subjects_of
from tngd_bench.cli.main import run
from tngd_bench.cli.plugins.new import TEMPLATES
from tngd_bench.studies.file.reading import load_study

PLUGINS = [kind for kind in TEMPLATES if kind != "study"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield tmp_path
    plugin_files.forget()
    sys.path[:] = before


@pytest.mark.parametrize("kind", PLUGINS)
def test_a_template_registers_its_own_name_and_passes_its_first_check(kind, capsys):
    assert run(["new", kind, "my-own"]) == 0
    assert capsys.readouterr().out == "my-own.py written; next: tngd-bench test my-own.py\n"
    assert subjects_of("my-own.py") == [(kind, "my-own")]
    assert outcome(CHECKS[kind][0], "my-own")[0] == "passed"


@pytest.mark.slow(reason="simulates a device, counts operations, measures memory")
@pytest.mark.parametrize("kind", PLUGINS)
def test_a_template_passes_every_check(kind):
    run(["new", kind, "my-own"])
    subjects_of("my-own.py")
    for check in CHECKS[kind]:
        status, found = outcome(check, "my-own")
        assert status == "passed" or (check.__name__.endswith("cuda") and status == "skipped"), found


def test_the_template_of_a_study_can_be_read(here):
    assert run(["new", "study", "mine2"]) == 0
    study = load_study("mine2.toml").study
    assert (study.name, study.title) == ("mine2", "mine2")
    assert "mine.toml" not in (here / "mine2.toml").read_text()
    (cost,), (training,) = study.cost, study.training
    assert training.optimizers == cost.optimizers, "one label each, so that curves have times"
    assert cost.processes >= MINIMUM_PROCESSES
    assert training.seeds >= seeds_needed(len(training.optimizers) - 1)


@pytest.mark.parametrize("name", ["torch", "json", "tngd_bench"])
def test_a_name_that_would_hide_a_module_is_refused(name, here, capsys):
    assert run(["new", "optimizer", name]) == 3
    assert f"there is a module {name!r}, which {name}.py would hide" in capsys.readouterr().err
    assert not Path(f"{name}.py").exists()


def test_a_file_is_never_written_over(here, capsys):
    (here / "mine.py").write_text("precious\n")
    assert run(["new", "device", "mine"]) == 3
    assert "mine.py exists; nothing was written" in capsys.readouterr().err
    assert (here / "mine.py").read_text() == "precious\n"


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_template_has_the_given_name_wherever_it_names_itself(kind, here):
    for name in ("odd_Name-7", "another"):
        assert run(["new", kind, name]) == 0
    odd, another = (
        (here / (n + Path(TEMPLATES[kind]).suffix)).read_text() for n in ("odd_Name-7", "another")
    )
    assert odd.replace("odd_Name-7", "another") == another
    assert "mine" not in re.findall(r"\w+", odd.lower())


@pytest.mark.parametrize(
    ("kind", "name"),
    [("optimizer", "adam"), ("problem", "digits-mlp"), ("device", "paper"), ("study", "smoke")],
)
def test_a_name_that_is_taken_is_refused_at_once(kind, name, capsys, here):
    assert run(["new", kind, name]) == 3
    told = capsys.readouterr().err
    assert f" {kind} {name!r} already; nothing was written" in told
    assert told.count("\n") == 1
    assert not list(here.iterdir())


@pytest.mark.parametrize("name", ["", "../x", "a b", "1st", "x" * 61, ".hidden"])
def test_names_that_are_no_names_are_refused(name, capsys, here):
    assert run(["new", "study", name]) == 3
    assert "NAME must be" in capsys.readouterr().err
    assert not list(here.iterdir())


def test_bad_plugins_are_bad_input(here, capsys):
    assert run(["test", "nothing"]) == 3
    assert "'nothing' is no plug-in" in capsys.readouterr().err
    (here / "mine.py").write_text("x = 1\n")
    assert run(["test", "mine.py"]) == 3
    assert "registers nothing" in capsys.readouterr().err
    run(["new", "optimizer", "noclass"])
    text = (here / "noclass.py").read_text()
    (here / "noclass.py").write_text(text.replace(":Momentum", ":Absent"))
    capsys.readouterr()
    assert run(["test", "noclass.py"]) == 3
    told = capsys.readouterr().err
    assert "plug-in noclass.py: ENTRY cannot be used: factory names 'Absent'" in told
    assert told.count("\n") == 1


@pytest.mark.slow(reason="a process for each check")
def test_a_template_is_tested_in_processes_and_told_as_a_table_and_as_json(capsys):
    run(["new", "device", "mine"])
    capsys.readouterr()
    assert run(["test", "mine.py"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "device mine"
    assert lines[-1] == f"mine.py: {len(CHECKS['device'])} passed, 0 failed, 0 skipped"
    assert run(["test", "mine.py", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [each["check"] for each in findings] == [each.__name__ for each in CHECKS["device"]]
    assert {each["status"] for each in findings} == {"passed"}


@pytest.mark.slow(reason="waits for limits of time")
def test_one_that_hangs_or_ends_its_process_fails_its_checks_and_stops_nothing(here, capsys):
    run(["new", "optimizer", "mine"])
    text = (here / "mine.py").read_text()
    step = "        self.iteration += 1\n"
    deed = (
        "        import os, time\n        if len(targets) == 64:\n            os._exit(7)\n"
        "        if loss.dtype == torch.float64:\n            time.sleep(600)\n"
    )
    (here / "mine.py").write_text(text.replace(step, deed + step))
    capsys.readouterr()
    assert run(["test", "mine.py", "--json", "--seconds", "10"]) == 1
    findings = {each["check"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    for check in ("contract", "determinism", "resume", "same start and batches", "failed step", "operations"):
        assert findings[check]["status"] == "passed", findings[check]
    assert "stopped after 10 s" in findings["shapes and dtypes"]["found"]
    assert "exit code 7" in findings["convex problem"]["found"]
    assert len(findings) == len(CHECKS["optimizer"])
