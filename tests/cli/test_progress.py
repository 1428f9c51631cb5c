import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from tngd_bench.cli.progress import (
    LiveAudience,
    PlainAudience,
    against_plan,
    make_audience,
)
from tngd_bench.studies.plan import forecast
from tngd_bench.studies.plan.trials import Extent
from tngd_bench.studies.run import audience as module
from tngd_bench.studies.run.audience import outcome, remaining_seconds, rough


class FakeTrial:
    """Of three optimizers two are run and one is skipped."""

    to_run, candidates = 2, ("sgd", "adam", "ngd")

    def __init__(self, name, predicted_s):
        self.name, self.predicted_s = name, predicted_s

    def describe(self):
        return self.name


@pytest.fixture
def plan():
    trials = {str(k): FakeTrial(f"trial {k}", 2.0) for k in range(4)}
    study = SimpleNamespace(name="s", execution=SimpleNamespace(workers=2), training=(), cost=())
    return SimpleNamespace(
        trials=trials, study=study, extent=Extent.of(trials.values()), again={}, kept_old={}
    )


def planned(trials_s):
    """The seconds of a plan whose trials take so many, of a study without figures."""
    study = SimpleNamespace(training=(), cost=())
    return forecast.run_start_seconds() + trials_s + forecast.report_seconds(study)


def run_through(audience, plan, pending):
    with audience:
        audience.preparing("data")
        audience.planned(plan, pending)
        for key in pending:
            audience.started(plan.trials[key])
            ended = [("sgd", "ok", None), ("adam", "failed", "defect"), ("ngd", "skipped", "too large")]
            entries = [dict(zip(("optimizer", "status", "reason"), entry, strict=True)) for entry in ended]
            audience.finished(plan.trials[key], entries)


def test_plain_lines_count_on_from_what_was_finished_and_name_what_has_no_result(plan):
    file = io.StringIO()
    run_through(make_audience(Console(file=file, width=80)), plan, ["2", "3"])
    assert file.getvalue().splitlines() == [
        "preparing: data",
        "study s: 8 trials in 4 processes, 4 skipped; 4 trials finished earlier; "
        f"about {rough(planned(2.0))} by formula (`tngd-bench plan` times steps too)",
        "[6/8] trial 2; adam failed: defect; ngd skipped: too large",
        "[8/8] trial 3; adam failed: defect; ngd skipped: too large",
    ]


def test_once_a_minute_a_line_says_how_long_it_will_take(plan, monkeypatch):
    """Four trials of 30 s, two at a time, each taking twice as long: after 60 s half is left, and as slow."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    for trial in plan.trials.values():
        trial.predicted_s = 30.0
    lines = []
    audience = PlainAudience(lines.append)
    audience.planned(plan, [*plan.trials])
    for pair in (("0", "1"), ("2", "3")):
        for key in pair:
            audience.started(plan.trials[key])
        now[0] += 60.0
        for key in pair:
            audience.finished(plan.trials[key], [])
    assert [line for line in lines if "left" in line] == ["60 s, ≈ 61 s left", "2.0 min, ≈ 3 s left"]


def test_a_trial_at_work_counts_as_far_as_it_was_predicted(plan, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    for trial in plan.trials.values():
        trial.predicted_s = 300.0
    audience = PlainAudience(lambda text: None)
    audience.planned(plan, ["0", "1"])
    for key in ("0", "1"):
        audience.started(plan.trials[key])
    for passed, told in (
        (0.0, "0 s, ≈ 5.0 min left"),
        (150.0, "2.5 min, ≈ 2.5 min left"),
        (299.0, "5.0 min, ≈ 33 s left"),
    ):
        now[0] = 1000.0 + passed
        assert audience.clock() == told
    now[0] = 1600.0
    assert audience.clock() == "10 min, ≈ 63 s left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.2, "1 s"),
        (119.0, "119 s"),
        (150.0, "2.5 min"),
        (6600.0, "110 min"),
        (9000.0, "2.5 h"),
    ],
)
def test_durations_are_rough(seconds, text):
    assert rough(seconds) == text


def test_results_of_other_code_are_told_with_what_has_changed(plan):
    file = io.StringIO()
    plan.again = {"2": "kmom-plugin has changed", "3": "kmom-plugin has changed"}
    plan.kept_old = {"1": "tngd_bench/optimizers has changed"}
    make_audience(Console(file=file, width=80)).planned(plan, ["2", "3"])
    text = file.getvalue()
    assert "run again: 2 processes: kmom-plugin has changed; old results: store/earlier" in text
    assert "--keep-old" in text
    assert "kept though measured by other code: 1 process: tngd_bench/optimizers has changed" in text


def terminal(width, **environment):
    file = io.StringIO()
    return Console(
        file=file, force_terminal=True, width=width, _environ={"TERM": "xterm", **environment}
    ), file


@pytest.mark.parametrize("width", [40, 100])
def test_a_terminal_shows_the_time_passed_and_left_on_one_line(plan, width):
    console, file = terminal(width)
    audience = make_audience(console)
    assert isinstance(audience, LiveAudience)
    audience.planned(plan, ["0", "1", "2", "3"])
    assert re.fullmatch(r"\d+ s, ≈ \d s left", audience.clock())
    console.print(audience._progress)
    (line,) = [each for each in file.getvalue().splitlines() if "━" in each]
    assert len(re.sub(r"\x1b\[[\d;]*m", "", line)) <= width
    assert "s left" in line  # what runs is cut first
    run_through(audience, plan, ["0", "1", "2", "3"])
    assert "ngd skipped: too large" in file.getvalue()
    assert audience.done == audience.total == 8
    assert audience.clock() == ""


def test_colours_are_left_out_where_nobody_wants_them(plan):
    console, file = terminal(100, NO_COLOR="1")
    run_through(make_audience(console), plan, ["0"])
    assert not re.search(r"\x1b\[[\d;]*(?:3[0-7]|38)[;m]", file.getvalue())


def test_other_outputs_and_dumb_terminals_get_plain_lines():
    assert type(make_audience(Console(file=io.StringIO()))) is PlainAudience
    assert type(make_audience(terminal(80, TERM="dumb")[0])) is PlainAudience


def test_a_run_is_told_against_its_plan(plan):
    audience = PlainAudience(lambda text: None)
    audience.planned(plan, ["0", "1"])
    assert audience.predicted_s == 2.0  # two trials of 2 s side by side
    assert audience.planned_s == pytest.approx(planned(2.0))
    assert against_plan(312.0, 300.0) == "time: 5.2 min, planned 5.0 min by formula"
    assert against_plan(3.0, 0.0) == ""


def test_time_left_follows_the_prediction_and_then_experience():
    assert remaining_seconds(0.0, 100.0, 100.0) == pytest.approx(100.0)
    assert remaining_seconds(50.0, 100.0, 50.0) == pytest.approx(50.0)
    assert remaining_seconds(180.0, 100.0, 10.0) == pytest.approx(
        19.0, rel=0.05
    )  # twice as slow as predicted
    assert remaining_seconds(100.0, 100.0, 0.0) == 0.0
    assert remaining_seconds(1.0, 0.0, 0.0) == 0.0


def test_what_has_a_result_needs_no_word():
    assert outcome([{"optimizer": "sgd", "status": "ok", "reason": None}]) == ""
