import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.training.convergence import (
    bands_at_iteration,
    bands_at_level,
    bands_at_time,
    finished_curves,
    moving_average,
    smoothed_bands,
)


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


def test_seeds_evaluated_once_at_different_times_are_shown_when_the_last_has_been():
    fast, slow = run("a", [4.0, 2.0]), run("b", [4.0, 1.0], seconds_per_iteration=2.0)
    bands = bands_at_time(pd.concat([fast, slow]), "train_loss")
    assert bands["x"].tolist() == [20.0]
    assert bands["median"].tolist() == [1.5]


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


def tried(keys, statuses=None):
    rows = [{"key": key, "kind": "training", "group": "g", "optimizer": "o", "status": "ok"} for key in keys]
    for row, status in zip(rows, statuses or [], strict=False):
        row["status"] = status
    return pd.DataFrame(rows).assign(sweep_parameter=None)


def test_times_at_fixed_loss_are_first_passages_with_misses_at_infinity():
    curves = pd.concat([run("a", [4.0, 1.0]), run("b", [4.0, 2.0, 1.0]), run("c", [4.0, 3.0, 3.5])])
    bands = bands_at_level(curves, tried("abc"), "train_loss", "iteration", levels=3).set_index("level")
    assert bands.index.tolist() == [4.0, 2.0, 1.0]  # geometric from the worst start to the best value
    assert bands.loc[4.0, ["low", "median", "high", "hits"]].tolist() == [0, 0, 0, 3]
    assert bands.loc[2.0, ["low", "median", "high", "hits"]].tolist() == [10, 10, np.inf, 2]
    assert bands.loc[1.0, ["low", "median", "high", "hits"]].tolist() == [20, 20, np.inf, 2]


def test_a_diverged_run_is_a_miss_at_levels_it_did_not_reach_and_a_skipped_one_is_not_there():
    curves = pd.concat([run("a", [4.0, 1.0]), run("b", [4.0])])
    trials = tried("abcd", ["ok", "diverged", "diverged", "skipped"])
    bands = bands_at_level(curves, trials, "train_loss", "iteration", levels=2).set_index("level")
    assert bands.loc[1.0, ["median", "hits", "seeds"]].tolist() == [np.inf, 1, 3]
    assert bands.loc[4.0, ["median", "hits", "seeds"]].tolist() == [0.0, 2, 3]


def test_an_accuracy_is_reached_from_below():
    curves = run("a", [4.0, 1.0, 0.5]).assign(test_accuracy=[0.1, 0.9, 0.5])
    bands = bands_at_level(curves, tried("a"), "test_accuracy", "iteration", levels=5)
    assert bands["level"].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert bands["median"].tolist() == [0, 10, 10, 10, 10]


def test_both_bands_agree_where_they_meet():
    curves = pd.concat(
        [run(key, list(np.linspace(4, low, 9)), 0.5) for key, low in zip("abc", (1.0, 0.8, 0.6), strict=True)]
    )
    at_time = bands_at_time(curves, "train_loss")
    at_level = bands_at_level(curves, tried("abc"), "train_loss", levels=30)
    for row in at_level[np.isfinite(at_level["median"])].itertuples():
        then = at_time[at_time["x"] >= row.median]
        if len(then):
            assert then["median"].iloc[0] <= row.level + 1e-12


def test_a_moving_average_looks_back_only():
    assert moving_average(np.array([1.0, 3.0, 5.0, 100.0]), 2).tolist() == [1.0, 2.0, 4.0, 52.5]
    assert moving_average(np.array([np.nan, 3.0, 5.0]), 2)[1:].tolist() == [3.0, 4.0]


def test_the_papers_band_is_mean_and_deviation_of_moving_averages():
    first, second = (run(key, [0.0] * 4).assign(loss=losses, measured_s=1.0) for key, losses in
                     (("a", [1.0, 3.0, 5.0, 7.0]), ("b", [3.0, 5.0, 7.0, np.nan])))  # fmt: skip
    bands = smoothed_bands(pd.concat([first, second]), window=2)
    assert bands["iteration"].tolist() == [0, 10, 20]  # the last was not reached by both
    assert bands["mean"].tolist() == [2.0, 3.0, 5.0]
    assert bands["std"].tolist() == pytest.approx([np.sqrt(2.0)] * 3)
    assert bands["median"].tolist() == [2.0, 3.0, 5.0]
    assert smoothed_bands(first, window=2)["std"].isna().all()
