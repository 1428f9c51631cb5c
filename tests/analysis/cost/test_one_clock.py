import json

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.cost.one_clock import on_one_clock, untimed

SETTING = {"problem": "p", "parameters": 100, "batch_size": 8, "outputs": 2, "method": "adam"}


def trial(key, kind, optimizer, lr=0.1, **changed):
    row = SETTING | {"key": key, "kind": kind, "group": kind, "optimizer": optimizer, "status": "ok"}
    return row | {"settings": json.dumps({"lr": lr}), "sweep_parameter": None, "not_stated": None} | changed


def timed(key, seconds):
    return [{"key": key, "total_s": one, "digital_s": one, "overlap_s": 0.0} for one in seconds]


@pytest.fixture
def frames():
    trials = pd.DataFrame(
        [
            trial("c", "cost", "adam"),
            trial("w", "cost", "adam", batch_size=64),
            trial("own", "training", "adam[lr=0.1]"),
            trial("lr", "training", "adam", lr=0.2),
            trial("wide", "training", "adam", batch_size=64),
            trial("size", "training", "adam", parameters=101),
        ]
    )
    costs = pd.DataFrame([*timed("c", [1.0, 1.0, 4.0]), *timed("w", [5.0])])
    points = [(key, iteration) for key in ("own", "lr", "wide", "size") for iteration in (0, 10)]
    curves = pd.DataFrame(points, columns=["key", "iteration"]).assign(measured_s=99.0, modelled_s=99.0)
    return curves, trials, costs


def test_seconds_are_iterations_times_the_mean_cost_of_the_same_setting_problem_size_and_batch(frames):
    found = on_one_clock(*frames).set_index(["key", "iteration"])["modelled_s"]
    assert found["own", 10] == 10 * 2.0  # the mean: periodic work counts
    assert found["wide", 10] == 50.0
    assert found["own", 0] == 0.0
    assert np.isnan(found["lr", 10])
    assert np.isnan(found["size", 10])
    assert (on_one_clock(*frames)["measured_s"] == 99.0).all()


def test_the_trainings_own_clock_changes_nothing(frames):
    curves, trials, costs = frames
    slow = on_one_clock(curves.assign(modelled_s=1e6), trials, costs)
    pd.testing.assert_frame_equal(slow, on_one_clock(*frames))
    pd.testing.assert_frame_equal(on_one_clock(slow, trials, costs), slow)


def test_what_has_no_cost_is_named_and_a_device_that_states_no_time_is_not_among_it(frames):
    curves, trials, costs = frames
    assert untimed(trials, costs) == {"training": ["adam"]}
    assert untimed(trials, costs.iloc[:0]) == {"training": ["adam[lr=0.1]", "adam"]}
    stated = trials.assign(not_stated="write_cells")
    assert untimed(stated, costs.iloc[:0]) == {}
    assert on_one_clock(curves, trials, costs.iloc[:0])["modelled_s"].isna().all()
