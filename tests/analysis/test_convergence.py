import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.convergence import bands_at_iteration, bands_at_time, finished_curves


def run(key, losses, seconds_per_iteration=1.0, iterations=None):
    iterations = range(0, 10 * len(losses), 10) if iterations is None else iterations
    return pd.DataFrame(
        {
            "key": key,
            "group": "g",
            "optimizer": "o",
            "iteration": list(iterations),
            "train_loss": losses,
            "modelled_s": [seconds_per_iteration * i for i in iterations],
        }
    )


def test_quartiles_at_fixed_iteration_by_hand():
    curves = pd.concat([run("a", [4.0, 1.0]), run("b", [4.0, 2.0]), run("c", [4.0, 3.0])])
    bands = bands_at_iteration(curves, "train_loss")
    assert bands[["x", "low", "median", "high", "seeds"]].to_numpy().tolist() == [
        [0, 4, 4, 4, 3],
        [10, 1.5, 2, 2.5, 3],
    ]


def test_a_band_never_changes_its_members():
    curves = pd.concat([run("a", [4.0, 1.0, 0.5]), run("b", [4.0, 2.0])])
    assert bands_at_iteration(curves, "train_loss")["x"].tolist() == [0.0, 10.0]


def test_rows_without_an_evaluation_are_ignored():
    curves = run("a", [4.0, np.nan, 2.0])
    assert bands_at_iteration(curves, "train_loss")["x"].tolist() == [0.0, 20.0]
    assert bands_at_iteration(run("a", [np.nan, np.nan]), "train_loss").empty


def test_at_fixed_time_a_seed_shows_its_last_evaluation_and_never_the_future():
    fast, slow = run("a", [4.0, 2.0, 1.0]), run("b", [4.0, 2.0, 1.0], seconds_per_iteration=2.0)
    bands = bands_at_time(pd.concat([fast, slow]), "train_loss")
    assert bands["x"].iloc[0] == 20.0  # the slow seed's first evaluation after an update
    assert bands["x"].iloc[-1] == 20.0  # the fast seed's last
    assert bands[["low", "median", "high"]].iloc[-1].tolist() == pytest.approx([1.25, 1.5, 1.75])


def test_time_bands_end_on_the_last_evaluation():
    bands = bands_at_time(run("a", [4.0, 2.0, 1.0, 0.5]), "train_loss")
    assert bands["x"].iloc[0] == 10.0
    assert bands["x"].iloc[-1] == 30.0
    assert bands["median"].iloc[-1] == 0.5
    assert bands["median"].is_monotonic_decreasing


def test_only_finished_trials_outside_sweeps_enter():
    trials = pd.DataFrame(
        {
            "key": ["a", "b", "c"],
            "kind": "training",
            "status": ["ok", "diverged", "ok"],
            "sweep_parameter": [None, None, "noise_variance"],
        }
    )
    curves = pd.concat([run(key, [1.0]) for key in "abc"])
    assert set(finished_curves(curves, trials)["key"]) == {"a"}
