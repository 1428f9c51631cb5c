import json
import math

import pytest

from tngd_bench.analysis.baseline import (
    Baseline,
    BaselineError,
    incomparable,
    read_baseline,
    updated,
    write_baseline,
)
from tngd_bench.analysis.metric_kinds import is_time, make_metric

ENVIRONMENT = {"torch": "2.13.0", "cpu": "a", "cores": 2, "threads": 1}


def baseline(environment=ENVIRONMENT, **values):
    metrics = [make_metric(f"operations/{name}", [value]) for name, value in values.items()]
    return Baseline({metric.name: metric for metric in metrics}, environment)


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "folder" / "baseline.json"
    made = updated(None, baseline(sgd=1.5, tngd=math.inf), reason="first", date="2026-01-01", revision="abc")
    write_baseline(path, made)
    assert read_baseline(path) == made
    assert json.loads(path.read_text())["history"][0]["reason"] == "first"


def test_the_reason_of_every_change_is_kept():
    first = updated(None, baseline(sgd=1.0, adam=2.0), reason="first", date="2026-01-01", revision=None)
    second = updated(first, baseline(sgd=1.0, tngd=3.0), reason="TNGD", date="2026-01-02", revision="abc")
    assert [entry["reason"] for entry in second.history] == ["first", "TNGD"]
    assert second.history[1]["changed"] == {"operations/adam": [2.0, None], "operations/tngd": [None, 3.0]}
    assert (
        updated(second, baseline(sgd=1.0, tngd=3.0), reason="again", date="2026-01-03", revision=None) is None
    )
    other = baseline({**ENVIRONMENT, "torch": "2.14.0"}, sgd=1.0, tngd=3.0)
    assert updated(second, other, reason="torch 2.14", date="2026-01-03", revision=None) is not None


def test_a_change_needs_a_reason():
    with pytest.raises(ValueError, match="reason"):
        updated(None, baseline(sgd=1.0), reason=" ", date="2026-01-01", revision=None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 2, "environment": {}, "metrics": [], "history": []}',
        '{"schema": 1, "environment": {}, "metrics": [{"name": "other/x", "values": [1]}], "history": []}',
        '{"schema": 1, "environment": {}, "metrics": [{"name": "operations/x"}], "history": []}',
        '{"schema": 1, "environment": {}, "metrics": 3, "history": []}',
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(BaselineError, match=r"baseline\.json"):
        read_baseline(path)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(BaselineError, match="baseline update"):
        read_baseline(tmp_path / "baseline.json")


def test_exact_figures_need_the_same_torch_and_times_the_same_machine():
    other_machine = {**ENVIRONMENT, "cpu": "b"}
    other_torch = {**ENVIRONMENT, "torch": "2.12.0"}
    build = {**ENVIRONMENT, "torch": "2.13.0+cpu"}
    assert incomparable("exact", ENVIRONMENT, other_machine) is None
    assert incomparable("exact", ENVIRONMENT, build) is None
    assert "other machine" in incomparable("time", ENVIRONMENT, other_machine)
    assert "other torch: 2.13.0 there, 2.12.0 here" in incomparable("exact", ENVIRONMENT, other_torch)
    assert "other torch" in incomparable("time", ENVIRONMENT, other_torch)
    assert "other machine" in incomparable("time", {"torch": "2.13.0"}, {"torch": "2.13.0"})
    assert incomparable("time", ENVIRONMENT, ENVIRONMENT) is None


def test_a_metric_is_of_a_known_kind():
    assert is_time("step time/x")
    assert not is_time("operations/step time")
    with pytest.raises(ValueError, match="begins with"):
        make_metric("speed/x", [1.0])
