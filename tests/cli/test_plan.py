import csv
import dataclasses
import io
import json
import re

import pytest
from rich.console import Console

from tests.studies.recorder import Recorder
from tngd_bench import source
from tngd_bench.cli import main as command_line
from tngd_bench.cli.plan import _folded, _row
from tngd_bench.cli.progress import make_audience
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.plan import forecast, trial_code
from tngd_bench.studies.plan.duration_model import TURN_START_S
from tngd_bench.studies.plan.forecast import Group, figures_of
from tngd_bench.studies.plan.inputs import MachineLimits
from tngd_bench.studies.plan.trials import PROCESS_START_S
from tngd_bench.studies.run import dry_run
from tngd_bench.studies.run.machine import measure_machine
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records

STUDY = """
name = "mine"
title = "Mine"
[execution]
workers = 2
seconds_per_iteration_limit = 0.5
[[cost]]
name = "size"
problem = "digits-mlp"
parameters = [1000, 100_000]
batch_size = [8, 16]
optimizers = ["sgd", "ngd"]
processes = 2
repetitions = 4
seconds_limit = 0.1
[[training]]
name = "digits"
problem = "digits-mlp"
parameters = 1000
train_size = 64
epochs = 1
evaluations = 1
seeds = 3
optimizers = ["sgd", "tngd"]
[profiles.smoke]
"cost.size.enabled" = false
"training.digits.seeds" = 1
"""


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """Plan the study for a machine of known speed; the exit code, what was printed and what was complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dry_run, "measure_machine", lambda execution: MachineLimits(1e11, 5e10, 4e9))
    (tmp_path / "mine.toml").write_text(STUDY)

    def run(*words):
        code = command_line.run(["plan", "mine.toml", *map(str, words)])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


def test_groups_count_and_add_up(plan):
    code, text, _ = plan("--json")
    found = json.loads(text)
    assert code == 0
    groups = found["groups"]
    cost = {(g["parameters"], g["batch_size"], g["optimizer"]): g for g in groups if g["kind"] == "cost"}
    assert len(cost) == 8
    assert {
        (g["trials"], g["skipped"]) for (size, _, name), g in cost.items() if name == "sgd" or size < 2000
    } == {(2, 0)}
    for (size, _, name), group in cost.items():
        if name == "ngd" and size > 2000:
            assert (group["trials"], group["skipped"], group["seconds"]) == (0, 2, 0.0)
            assert "per iteration, limit 0.5 s; needs" in group["reason"]
    training = {g["optimizer"]: g["trials"] for g in groups if g["kind"] == "training"}
    assert training == {"sgd": 3, "tngd": 3}
    assert (found["trials"], found["skipped"]) == (sum(g["trials"] for g in groups), 4)
    alone = sum(g["seconds"] for g in groups if g["kind"] == "cost")
    beside = sum(g["seconds"] for g in groups if g["kind"] != "cost")
    assert found["seconds"] == pytest.approx(
        alone + beside / 2 + found["start_seconds"] + found["report_seconds"]
    )
    assert found["learned"] == {"from": [], "left_out": {}, "factors": []}
    assert found["processes"] == 8 + 6 + 6


def test_csv_has_the_same_groups(plan):
    groups = json.loads(plan("--json")[1])["groups"]
    rows = list(csv.DictReader(io.StringIO(plan("--csv")[1])))
    assert [(row["kind"], row["optimizer"], int(row["trials"])) for row in rows] == [
        (g["kind"], g["optimizer"], g["trials"]) for g in groups
    ]
    assert [float(row["seconds"]) for row in rows] == [g["seconds"] for g in groups]


def test_people_read_sections_skips_totals_and_where_times_come_from(plan):
    code, text, errors = plan()
    assert (code, errors) == (0, "")
    assert "cost size" in text
    assert "needs" in text.partition("\nskipped\n")[2]
    assert "total: 24 trials in 20 processes, 4 skipped; about" in text
    assert "times: by formula; no earlier trials to learn from" in text


def test_a_line_holds_all_sizes_of_an_optimizer_in_a_section_and_loses_nothing(plan):
    groups = json.loads(plan("--json")[1])["groups"]

    def rows(*words):
        text = plan(*words)[1].partition("\nskipped\n")[0]
        found = re.findall(r"^(cost|training) (\w+) +(\S+) +(\S+) +(\S+) +(\w+) +(\d+) +\S+ \w", text, re.M)
        return [(kind, section, *map(str, sizes), name, int(n)) for kind, section, *sizes, name, n in found]

    each, folded = rows("--all"), rows()
    running = [g for g in groups if g["trials"] and g["kind"] != "inspection"]
    assert len(each) == len(running)
    assert sum(row[-1] for row in folded) == sum(row[-1] for row in each) == sum(g["trials"] for g in running)
    assert [row[:2] + row[5:6] for row in folded] == list(dict.fromkeys(row[:2] + row[5:6] for row in each))
    (sgd,) = [row for row in folded if row[0] == "cost" and row[5] == "sgd"]
    sizes = sorted({g["parameters"] for g in running if g["kind"] == "cost" and g["optimizer"] == "sgd"})
    assert sgd[2:5] == (f"{sizes[0]:,}–{sizes[-1]:,}", "8–16", "10")
    assert "--all has a line for each size" in plan()[1]
    assert "--all has" not in plan("--all")[1]
    (skipped,) = [line for line in plan()[1].partition("\nskipped\n")[2].splitlines() if " ngd " in line]
    assert "4 ×" in skipped
    assert "per iteration, limit 0.5 s" in skipped


def test_a_run_counts_as_the_plan_does(plan, tmp_path):
    changes = ["training.digits.enabled=false", "cost.size.parameters=[1000]", "cost.size.batch_size=8"]
    expected = "6 trials in 4 processes, 0 skipped"
    assert f"total: {expected}; about" in plan(*(word for change in changes for word in ("--set", change)))[1]
    told = io.StringIO()
    run_study(load_study("mine.toml", changes), tmp_path / "out", make_audience(Console(file=told)))
    assert f"study mine: {expected}; about " in told.getvalue()
    assert re.findall(r"^\[(\d)/6\]", told.getvalue(), re.MULTILINE) == ["2", "4", "5", "6"]


def test_a_profile_and_overrides_change_the_plan(plan):
    _, text, _ = plan("--json", "--profile", "smoke", "--set", "training.digits.seeds=2")
    found = json.loads(text)
    assert (found["profile"], found["trials"]) == ("smoke", 4)


def test_what_cannot_be_asked_is_refused_in_one_line(plan):
    for words, message in (
        (["--json", "--csv"], "--json and --csv cannot both be given"),
        (["--all", "--csv"], "--csv and --all cannot both be given"),
        (["--from", "nowhere"], "nowhere does not exist"),
        (["--profile", "full"], "mine.toml: no profile 'full'"),
    ):
        code, text, errors = plan(*words)
        assert (code, text) == (3, "")
        assert message in errors
        assert len(errors.splitlines()) == 1


def test_times_are_learned_from_the_store_that_a_run_left(plan, tmp_path):
    override = "training.digits.optimizers=['sgd']"
    smaller = ("--profile", "smoke", "--set", override)
    run_study(load_study("mine.toml", [override], "smoke"), tmp_path / "reports/mine-smoke", Recorder())
    _, text, _ = plan("--json", *smaller)
    found = json.loads(text)
    assert found["learned"]["from"] == ["reports/mine-smoke"]
    (factor,) = found["learned"]["factors"]
    assert (factor["method"], factor["kind"], factor["trials"]) == ("sgd", "training", 1)
    (group,) = found["groups"]
    assert group["learned_from"] == 1
    # One trial taught it, so its own seconds are predicted, beside the starts of its process and of its turn; the
    # machine's speed is measured anew.
    (elapsed_s,) = read_records(tmp_path / "reports/mine-smoke").trials["elapsed_s"]
    assert 0.5 * elapsed_s < group["seconds"] - PROCESS_START_S < 2.0 * elapsed_s + TURN_START_S
    # Elsewhere the same store is used only when asked for, and not from another number of threads.
    other = json.loads(plan("--json", "--from", "reports/mine-smoke")[1])
    assert other["learned"]["from"] == ["reports/mine-smoke"]
    threads = ("--set", "execution.threads_training=2")
    refused = json.loads(plan("--json", "--from", "reports/mine-smoke", *threads)[1])
    assert refused["learned"]["from"] == []
    assert "threads_training" in refused["learned"]["left_out"]["reports/mine-smoke"]


def test_an_optimizer_that_describes_no_cost_is_planned_as_unknown(plan, monkeypatch):
    from tngd_bench.optimizers import registry

    found = registry._found()
    entries = {**found.entries, "mine": dataclasses.replace(found.entries["sgd"], name="mine", cost=None)}
    monkeypatch.setattr(registry, "_found", lambda: dataclasses.replace(found, entries=entries))
    text = plan("--set", 'training.digits.optimizers=["mine"]', "--set", "cost.size.enabled=false")[1]
    (row,) = [line for line in text.splitlines() if re.match(r"training digits +989 ", line)]
    assert re.search(r"mine +3 +≥ .* unknown +not described", row)
    assert "not predicted: mine (without a usable description of the cost)" in text
    assert "; at least " in text
    described = dataclasses.replace(entries["mine"], cost=lambda **size: (1e9, 250.0 * size["parameters"]))
    monkeypatch.setattr(
        registry, "_found", lambda: dataclasses.replace(found, entries={**entries, "mine": described})
    )
    text = plan("--set", 'training.digits.optimizers=["mine"]', "--set", "cost.size.enabled=false")[1]
    assert "not predicted" not in text


def test_a_line_says_what_its_times_come_from_and_which_are_lower_bounds():
    place = "cost", "size", "digits-mlp"
    groups = [
        Group(*place, n, 32, 10, "mine", 2, 0, 4.0, 1e6, 0, None, known=False, basis=basis)
        for n, basis in ((1_000, "timed"), (10_000, "timed"), (100_000, "extrapolated"), (1_000_000, "bound"))
    ]
    lines = [_row(line) for line in _folded(groups, every_size=False)]
    assert [(row[1], row[-3], row[-1]) for row in lines] == [
        ("1,000–10,000", "8.00 s", "timed now"),
        ("100,000", "4.00 s", "extrapolated"),
        ("1,000,000", "≥ 4.00 s", "not described"),
    ]
    skipped = [dataclasses.replace(group, trials=0, skipped=2) for group in groups]
    assert len(_folded(skipped, every_size=False)) == 1
    known = Group(*place, 1_000, 32, 10, "sgd", 2, 0, 4.0, 1e6, 3, None, basis="trials")
    assert _row([known])[-3:] == ("4.00 s", "977 KiB", "3 trials")


def test_what_runs_again_after_a_change_of_code_is_said_with_the_reason(plan, tmp_path, monkeypatch):
    changes = ["cost.size.enabled=false", "training.digits.seeds=1", 'training.digits.optimizers=["sgd"]']
    words = [*(word for change in changes for word in ("--set", change)), "--output", tmp_path / "out"]
    machine = measure_machine(load_study("mine.toml").study.execution)
    monkeypatch.setattr(dry_run, "measure_machine", lambda execution: machine)
    run_study(load_study("mine.toml", changes), tmp_path / "out", Recorder())
    assert "1 processes are finished, 0 are to run" in plan(*words)[1]
    parts = {**source.own_parts(), "tngd_bench/solvers": "changed"}
    monkeypatch.setattr(source, "own_parts", lambda: parts)
    trial_code._code.cache_clear()
    text = plan(*words)[1]
    trial_code._code.cache_clear()
    assert "0 processes are finished, 1 are to run" in text
    assert "1 of them again: tngd_bench/solvers has changed (`run --keep-old`" in text


FIGURES = (
    ("smoke", None, 20),
    ("paper-fig2a", "quick", 17),
    ("quick", None, 44),
    ("rivals", None, 39),
    ("beyond-kfac", None, 37),
    ("paper-fashion", None, 51),
)
"""Of studies that have run, as many figures as their pages had (2026-11-30)."""


def test_the_report_s_time_is_part_of_the_plan(plan):
    text = plan()[1]
    assert re.search(r"^report +\d", text, re.MULTILINE)
    assert figures_of(load_study("smoke").study) == 22


@pytest.mark.parametrize(("study", "profile", "made"), FIGURES)
def test_figures_are_told_before_they_are_made(study, profile, made):
    assert figures_of(load_study(study, profile=profile).study) == pytest.approx(made, rel=0.25)


def test_the_start_and_the_report_take_longer_where_python_does(monkeypatch):
    study = load_study("quick").study
    here = []
    for pace in (0.5, 2.0):
        monkeypatch.setattr(forecast, "interpreter_pace", lambda pace=pace: pace)
        here.append((forecast.run_start_seconds(), forecast.report_seconds(study)))
    assert here[1] == pytest.approx(tuple(4.0 * seconds for seconds in here[0]))
