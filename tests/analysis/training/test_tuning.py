"""Searches made up so that every answer is known: scores, endings, best tries, spending, best of k."""

import json
import math

import pandas as pd
import pytest

from tngd_bench.analysis.training.tuning import best_of_k_curves, tuning_summary
from tngd_bench.studies.store.columns import CURVE_COLUMNS, TRIAL_COLUMNS
from tngd_bench.studies.store.records import Records
from tngd_bench.studies.tuning.results import best_tries, finalists, is_search, tuning_trials

NO_END = None


def searched(runs, metric="validation_loss", labels=None, finals=()):
    """Records of runs given as (label, method, settings, seed, status, final value, seconds); `finals` likewise."""
    column = "test_" + metric.removeprefix("validation_")
    trials, curves = [], []
    for number, (label, method, settings, seed, status, value, seconds) in enumerate([*runs, *finals]):
        key = f"k{number}#0"
        trials.append(
            {
                "key": key,
                "kind": "training",
                "group": "mnist" if number < len(runs) else "mnist-finals",
                "optimizer": label,
                "method": method,
                "settings": json.dumps(settings),
                "seed": seed,
                "status": status,
                "reason": None if status == "ok" else f"it {status}",
                "elapsed_s": seconds,
                "validation_share": 0.2,
            }
        )
        # A last iteration without evaluation comes after the one that counts; a diverged run was good early on.
        points = [(0, 9.0), (5, 0.01 if value is NO_END else value), (6, math.nan)]
        curves += [{"key": key, "iteration": i, column: v} for i, v in reversed(points)]
    study = {
        "tuning": {"metric": metric, "spaces": {}},
        "training": [
            {
                "name": "mnist",
                "validation_share": 0.2,
                "optimizers": labels or list(dict.fromkeys(r[0] for r in runs)),
            },
            *(
                [
                    {
                        "name": "mnist-finals",
                        "validation_share": 0.2,
                        "seeds": 3,
                        "epochs": 2.0,
                        "optimizers": [],
                    }
                ]
                if finals
                else []
            ),
        ],
    }
    frames = [
        pd.DataFrame([{name: row.get(name) for name in columns} for row in rows])
        for rows, columns in ((trials, TRIAL_COLUMNS), (curves, CURVE_COLUMNS))
    ]
    return Records(study, {}, frames[0], pd.DataFrame(), frames[1])


SGD = [
    ("sgd", "sgd", {"lr": 0.1, "momentum": 0.0}, 0, "ok", 0.5, 1.0),
    ("sgd[lr=1]", "sgd", {"lr": 0.2, "momentum": 0.5}, 0, "ok", 0.2, 2.0),
    ("sgd[lr=2]", "sgd", {"lr": 1.0, "momentum": 0.5}, 0, "diverged", NO_END, 0.5),
    ("sgd[lr=3]", "sgd", {"lr": 0.3, "momentum": 0.5}, 0, "ok", 0.4, 1.5),
]
ADAM = [
    ("adam", "adam", {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}, 0, "ok", 0.3, 2.0),
    ("adam[lr=1]", "adam", {"lr": 3e-2, "beta1": 0.5, "beta2": 0.999, "eps": 1e-6}, 0, "ok", 0.1, 2.0),
    (
        "adam[lr=2]",
        "adam",
        {"lr": 1e-2, "beta1": 0.5, "beta2": 0.999, "eps": 1e-6},
        0,
        "timed-out",
        NO_END,
        9.0,
    ),
    ("adam[lr=3]", "adam", {"lr": 2e-2, "beta1": 0.5, "beta2": 0.999, "eps": 1e-6}, 0, "ok", 0.1, 2.0),
]


def test_a_try_s_score_is_its_last_value_and_an_ending_without_one_has_none():
    tries = tuning_trials(searched(SGD + ADAM))
    assert tries["number"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert tries["default"].tolist() == [True, False, False, False] * 2
    assert tries["score"].fillna(-1).tolist() == [0.5, 0.2, -1, 0.4, 0.3, 0.1, -1, 0.1]
    assert tries["status"].tolist()[2] == "diverged"
    assert tries["reason"].tolist()[6] == "it timed-out"


def test_the_best_is_the_earlier_of_equal_ones_and_never_a_diverged_one():
    best = best_tries(tuning_trials(searched(SGD + ADAM)), larger=False)
    assert best["label"].tolist() == ["sgd[lr=1]", "adam[lr=1]"]


def final(of, *ends):
    """Runs of the finals of `of`, one for each end, None where it diverged."""
    label, method, settings = of[:3]
    return [
        (label, method, settings, seed, "diverged" if end is None else "ok", end, 1.0)
        for seed, end in enumerate(ends, start=1)
    ]


def test_the_finalists_are_the_best_few_of_each_optimizer():
    chosen = finalists(tuning_trials(searched(SGD + ADAM)), 2, larger=False)
    assert set(chosen["label"]) == {"sgd[lr=1]", "sgd[lr=3]", "adam[lr=1]", "adam[lr=3]"}
    assert len(finalists(tuning_trials(searched(SGD[2:3])), 2, larger=False)) == 0


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ((0.2, 0.2, 0.2), (0.1, 0.1, 0.1), "sgd[lr=3]"),  # whatever the search's scores were
        ((0.2, 0.2, 0.2), (0.1, 0.1, 2.3), "sgd[lr=1]"),  # one lost training in three outweighs two good ones
        ((9.0, 9.0, 9.0), (0.1, None, 0.1), "sgd[lr=1]"),  # a run without an end is worse than any end
        ((0.2, 0.2, 0.2), (0.2, 0.2, 0.2), "sgd[lr=1]"),  # equal: the better of the search
        ((None, None, None), (0.3, None, None), "sgd[lr=3]"),
    ],
)
def test_finals_decide_by_failures_then_by_the_mean(first, second, taken):
    records = searched(SGD + ADAM, finals=final(SGD[1], *first) + final(SGD[3], *second))
    tries = tuning_trials(records)
    assert tries["number"].tolist() == [0, 1, 2, 3] * 2  # finals add no tries
    assert tries["seconds"].sum() == sum(run[-1] for run in SGD + ADAM)
    assert tries["final_seconds"].sum() == 6.0
    best = best_tries(tries, larger=False)
    assert best["label"].tolist() == [taken, "adam[lr=1]"]
    summary = tuning_summary(records).set_index("optimizer")
    failed = sum(end is None for end in (first if taken == "sgd[lr=1]" else second))
    assert summary.loc["sgd", "final_failed"] == failed
    assert summary["seconds"].to_dict() == {"sgd": 5.0 + 6.0, "adam": 15.0}


def test_several_runs_of_a_try_count_by_their_median_with_a_diverged_one_as_worst():
    runs = [
        ("sgd", "sgd", {}, seed, status, value, 1.0)
        for seed, (status, value) in enumerate([("ok", 0.1), ("diverged", NO_END), ("ok", 0.6)])
    ]
    runs += [
        ("sgd[lr=1]", "sgd", {}, seed, status, value, 1.0)
        for seed, (status, value) in enumerate([("ok", 0.1), ("diverged", NO_END), ("diverged", NO_END)])
    ]
    tries = tuning_trials(searched(runs))
    assert tries["score"].fillna(-1).tolist() == [0.6, -1]
    assert tries["status"].tolist() == ["ok", "diverged"]
    assert tries["finished"].tolist() == [2, 1]
    assert tries["seconds"].tolist() == [3.0, 3.0]


def test_accuracies_are_maximised_and_a_diverged_run_is_then_worst_too():
    runs = [
        ("sgd", "sgd", {"lr": 0.1, "momentum": 0.0}, 0, "ok", 0.8, 1.0),
        ("sgd[lr=1]", "sgd", {"lr": 0.2, "momentum": 0.0}, 0, "ok", 0.9, 1.0),
        ("sgd[lr=2]", "sgd", {"lr": 0.9, "momentum": 0.0}, 0, "diverged", NO_END, 1.0),
    ]
    records = searched(runs, "validation_accuracy")
    assert tuning_summary(records)["best_score"].tolist() == [0.9]
    curve = best_of_k_curves(records)
    assert curve["expected"].tolist() == [-math.inf, 0.9]


def test_the_summary_counts_endings_and_what_they_cost():
    summary = tuning_summary(searched(SGD + ADAM)).set_index("optimizer")
    assert summary.index.tolist() == ["adam", "sgd"]
    assert summary.loc["sgd", ["tries", "ok", "diverged", "no_result", "not_tried"]].tolist() == [
        4,
        3,
        1,
        0,
        0,
    ]
    assert summary.loc["adam", ["tries", "ok", "diverged", "no_result", "not_tried"]].tolist() == [
        4,
        3,
        0,
        1,
        0,
    ]
    assert summary["seconds"].tolist() == [15.0, 5.0]
    assert summary["share_of_seconds"].tolist() == [0.75, 0.25]
    assert summary["own_score"].tolist() == [0.3, 0.5]
    assert summary.loc["sgd", "settings"] == {"lr": 0.2, "momentum": 0.5}
    assert summary.loc["adam", "settings"] == {"lr": 3e-2, "beta1": 0.5, "eps": 1e-6}
    assert summary["at_edge"].tolist() == [("lr",), ()]


def test_skipped_and_failed_ones_are_no_tries_and_an_optimizer_without_a_score_comes_last():
    lost = [
        ("kfac", "kfac", {}, 0, "skipped", NO_END, 0.0),
        ("kfac[lr=1]", "kfac", {}, 0, "failed", NO_END, 1.0),
        ("kfac[lr=2]", "kfac", {}, 0, "diverged", NO_END, 1.0),
    ]
    records = searched(lost + SGD)
    summary = tuning_summary(records)
    assert summary["optimizer"].tolist() == ["sgd", "kfac"]
    assert summary.iloc[1][["tries", "not_tried", "diverged"]].tolist() == [1, 2, 1]
    assert math.isnan(summary.iloc[1]["best_score"])
    curves = best_of_k_curves(records)
    assert curves[curves["optimizer"] == "kfac"]["expected"].tolist() == [math.inf]


def test_best_of_k_is_over_the_drawn_settings_alone():
    curve = best_of_k_curves(searched(SGD))
    # Draws: 0.2, ∞, 0.4. Pairs: 0.2, 0.2, 0.4.
    assert curve["expected"].tolist() == [math.inf, pytest.approx(0.8 / 3), 0.2]
    assert curve["budget_s"].tolist() == pytest.approx([4 / 3, 8 / 3, 4.0])


def test_half_a_search_numbers_its_tries_as_the_whole():
    labels = [run[0] for run in SGD]
    tries = tuning_trials(searched(SGD[2:], labels=labels))
    assert tries["number"].tolist() == [2, 3]
    assert not tries["default"].any()


def test_a_search_is_told_from_other_studies():
    assert is_search(searched(SGD).study)
    assert not is_search({"tuning": {"metric": "validation_loss"}, "training": [{"name": "a"}]})
    assert not is_search({"training": [{"name": "a", "validation_share": 0.2}]})
