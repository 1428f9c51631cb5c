import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from tngd_bench.cli.progress import (
    LiveAudience,
    PlainAudience,
    make_audience,
    outcome,
    remaining_seconds,
)
from tngd_bench.studies.plan.trials import Extent


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
    study = SimpleNamespace(name="s", execution=SimpleNamespace(workers=2))
    return SimpleNamespace(
        trials=trials, study=study, extent=Extent.of(trials.values()), again={}, kept_old={}
    )


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
        "study s: 8 trials in 4 processes, 4 skipped; 4 trials finished earlier",
        "[6/8] trial 2; adam failed: defect; ngd skipped: too large",
        "[8/8] trial 3; adam failed: defect; ngd skipped: too large",
    ]


def test_results_of_other_code_are_told_with_what_has_changed(plan):
    file = io.StringIO()
    plan.again = {"2": "kmom-plugin has changed", "3": "kmom-plugin has changed"}
    plan.kept_old = {"1": "tngd_bench/optimizers has changed"}
    make_audience(Console(file=file, width=80)).planned(plan, ["2", "3"])
    text = file.getvalue()
    assert "run again: 2 processes: kmom-plugin has changed; old results: store/earlier" in text
    assert "--keep-old" in text
    assert "kept though measured by other code: 1 process: tngd_bench/optimizers has changed" in text


def test_a_terminal_shows_the_time_left(plan):
    file = io.StringIO()
    audience = make_audience(Console(file=file, force_terminal=True, width=100))
    assert isinstance(audience, LiveAudience)
    run_through(audience, plan, ["0", "1", "2", "3"])
    assert "left" in file.getvalue()
    assert "ngd skipped: too large" in file.getvalue()
    assert audience.done == audience.total == 8


def test_other_outputs_get_plain_lines():
    assert type(make_audience(Console(file=io.StringIO()))) is PlainAudience


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
