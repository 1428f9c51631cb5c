import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tngd_bench.analysis.training.time_to_target import (
    DEFAULT_TARGETS,
    Target,
    hit_rate,
    hit_times,
    median_interval,
    study_targets,
    target_from_reference,
    time_to_target,
)

TARGET = Target("test_accuracy", 0.9, "by hand")


def trial(key, seed, status="ok"):
    values = {"kind": "training", "group": "g", "optimizer": "o", "sweep_parameter": None}
    return {"key": key, "seed": seed, "status": status, **values}


def curve(key, accuracies, seconds_per_iteration=0.5):
    return [
        {
            "key": key,
            "iteration": 10 * place,
            "test_accuracy": accuracy,
            "measured_s": 10 * place * seconds_per_iteration,
            "modelled_s": 20 * place * seconds_per_iteration,
        }
        for place, accuracy in enumerate(accuracies)
    ]


def table(trials, rows, target=TARGET):
    columns = ["key", "iteration", "test_accuracy", "measured_s", "modelled_s"]
    frame = pd.DataFrame(rows, columns=columns)
    trials, targets = pd.DataFrame(trials), {"g": (target,)}
    return time_to_target(trials, hit_times(trials, frame, targets), targets).iloc[0]


def test_hits_by_hand():
    rows = curve("a", [0.1, 0.8, 0.95]) + curve("b", [0.1, 0.9, 0.5]) + curve("c", [0.1, math.nan, 0.92])
    found = table([trial("a", 0), trial("b", 1), trial("c", 2)], rows)
    assert (found["hits"], found["tries"]) == (3, 3)
    assert [found[f"iterations_{mark}"] for mark in ("q1", "median", "q3")] == [20.0, 20.0, 20.0]
    assert found["modelled_median"] == 20.0


def test_a_miss_is_infinite_and_no_mean_is_taken():
    rows = curve("a", [0.1, 0.95]) + curve("b", [0.1, 0.2]) + curve("c", [0.1, 0.3])
    found = table([trial("a", 0), trial("b", 1), trial("c", 2)], rows)
    assert found["hits"] == 1
    assert found["iterations_median"] == math.inf
    assert found["modelled_median"] == math.inf
    assert found["iterations_q1"] == math.inf  # the higher neighbour of a hit and a miss is the miss


def test_one_miss_of_three_leaves_the_median_finite_and_the_upper_quartile_censored():
    rows = curve("a", [0.1, 0.95]) + curve("b", [0.1, 0.2, 0.95]) + curve("c", [0.1, 0.3])
    found = table([trial("a", 0), trial("b", 1), trial("c", 2)], rows)
    assert [found[f"iterations_{mark}"] for mark in ("q1", "median", "q3")] == [20.0, 20.0, math.inf]


def test_diverged_is_a_miss_and_skipped_is_no_try():
    trials = [trial("a", 0), trial("b", 1, "diverged"), trial("c", 2, "skipped"), trial("d", 3, "failed")]
    found = table(trials, curve("a", [0.1, 0.95]))
    assert (found["hits"], found["tries"], found["not_tried"]) == (1, 2, 2)
    assert found["iterations_median"] == math.inf


def test_nothing_tried_gives_no_time_rather_than_infinity():
    found = table([trial("c", 2, "skipped")], [])
    assert (found["tries"], found["hits"]) == (0, 0)
    assert math.isnan(found["iterations_median"])


def test_a_loss_is_reached_from_above():
    reached = Target("train_loss", 0.5, "").reached(pd.Series([0.6, 0.5, math.nan]))
    assert reached.tolist() == [False, True, False]


def test_targets_come_from_the_study_or_are_the_stated_defaults():
    stated = {"metric": "test_accuracy", "value": 0.97, "provenance": "median of 20 reruns of tuned Adam"}
    study = {"training": [{"name": "a", "targets": [stated]}, {"name": "b"}]}
    assert study_targets(study) == {"a": (Target(**stated),), "b": DEFAULT_TARGETS}
    assert study_targets({}) == {}


def test_a_problem_without_an_accuracy_has_no_usual_targets_and_keeps_stated_ones():
    stated = {"metric": "test_loss", "value": 3.0, "provenance": "stated"}
    sections = [
        {"name": "a", "problem": "squad-lora"},
        {"name": "b", "problem": "squad-lora", "targets": [stated]},
    ]
    assert study_targets({"training": sections}) == {"a": (), "b": (Target(**stated),)}
    assert study_targets({"training": [{"name": "c", "problem": "digits-mlp"}]}) == {"c": DEFAULT_TARGETS}


def test_an_unknown_metric_is_refused_by_name():
    with pytest.raises(ValueError, match=r"metric must be one of: train_loss, .*not 'speed'"):
        Target("speed", 1.0, "")


def test_hit_rates_carry_the_exact_binomial_interval():
    # Clopper-Pearson, tabulated: 0 of 5 → [0, 0.5218], 3 of 5 → [0.1466, 0.9473], 5 of 5 → [0.4782, 1].
    assert hit_rate(0, 5) == pytest.approx((0.0, 0.0, 0.5218), abs=1e-4)
    assert hit_rate(3, 5) == pytest.approx((0.6, 0.1466, 0.9473), abs=1e-4)
    assert hit_rate(5, 5) == pytest.approx((1.0, 0.4782, 1.0), abs=1e-4)
    assert all(math.isnan(value) for value in hit_rate(0, 0))
    with pytest.raises(ValueError, match="hits must be between 0 and tries = 2, not 3"):
        hit_rate(3, 2)


def reference(losses, statuses=None):
    rows = [
        {"group": "g", "optimizer": "adam", "sweep_parameter": None, "status": "ok", "final_loss": loss}
        | {"final_test_accuracy": 1 - loss}
        for loss in losses
    ]
    for row, status in zip(rows, statuses or [], strict=False):
        row["status"] = status
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("seeds", "place"), [(4, 1), (5, 1), (8, 1), (9, 2), (14, 3), (19, 4)])
def test_a_target_is_one_that_four_in_five_reruns_reach(seeds, place):
    losses = [0.01 * (seed + 1) for seed in range(seeds)]
    target = target_from_reference(reference(losses), "g", "adam", "train_loss")
    assert target.value == pytest.approx(sorted(losses)[-place])
    accuracy = target_from_reference(reference(losses), "g", "adam", "test_accuracy")
    assert accuracy.value == pytest.approx(1 - sorted(losses)[-place])
    assert f"four in five of {seeds} reruns" in target.provenance


@pytest.mark.parametrize("seeds", [4, 5, 9])
def test_on_known_truth_a_further_rerun_reaches_it_four_times_in_five_at_least(seeds):
    generator = np.random.default_rng(seeds)
    hits = 0
    for _ in range(400):
        *losses, further = generator.random(seeds + 1)
        hits += further <= target_from_reference(reference(losses), "g", "adam", "train_loss").value
    assert hits >= stats.binom.ppf(0.001, 400, 0.8)


def test_a_baseline_that_misses_counts_as_worst_and_too_few_seeds_give_no_target():
    losses = [0.1 + 0.01 * seed for seed in range(9)]
    one = target_from_reference(reference(losses, ["diverged"]), "g", "adam", "train_loss")
    assert one.value == pytest.approx(0.18)  # the second worst of nine, the worst being the one that diverged
    with pytest.raises(ValueError, match="did not finish in 2 or more"):
        target_from_reference(reference(losses, ["diverged"] * 2), "g", "adam", "train_loss")
    with pytest.raises(ValueError, match="has 3 seeds; a target needs 4"):
        target_from_reference(reference([0.1, 0.2, 0.3]), "g", "adam", "train_loss")


def test_a_time_is_censored_by_the_evaluations_about_it():
    rows = (
        curve("a", [0.1, math.nan, 0.8, math.nan, 0.95, 0.2])
        + curve("b", [0.95, 0.1])
        + curve("c", [0.1, 0.2])
    )
    frame = pd.DataFrame(rows)
    hits = hit_times(pd.DataFrame([trial(k, s) for s, k in enumerate("abc")]), frame, {"g": (TARGET,)})
    found = hits.set_index("key")
    assert found["iterations"].to_dict() == {"a": 40.0, "b": 0.0, "c": math.inf}
    assert found["after"].to_dict() == {"a": 20.0, "b": -1.0, "c": 10.0}


def test_medians_have_their_exact_interval():
    # the sign test's table: of five and six all of the range, of nine from the 2nd, of twenty from the 6th
    for number, k, confidence in ((5, 1, 0.9375), (6, 1, 0.96875), (9, 2, 0.9609375), (20, 6, 0.95861)):
        values = np.arange(1.0, number + 1)
        low, high, level = median_interval(values)
        assert (low, high) == (k, number + 1 - k)
        assert level == pytest.approx(confidence, abs=1e-5)
    assert np.isnan(median_interval(np.array([]))).all()
    found = table(
        [trial(key, seed) for seed, key in enumerate("abc")], curve("a", [0.1, 0.95]) + curve("b", [0.95])
    )
    assert (found["iterations_low"], found["iterations_median"], found["iterations_high"]) == (
        0.0,
        10.0,
        math.inf,
    )
    assert (found["confidence"], found["after_median"]) == (0.75, 0.0)


def test_the_interval_of_a_median_covers_it_as_often_as_it_says():
    # Exhaustively: each of n values falls below the true median or above it, with even odds.
    for n in (6, 9, 12):
        covered = 0
        for sides in itertools.product((-1.0, 1.0), repeat=n):
            values = [side * (1 + k / n) for k, side in enumerate(sides)]
            low, high, _ = median_interval(np.array(values))
            covered += low <= 0 <= high
        assert covered / 2**n >= 0.95
        low, _, _ = median_interval(np.arange(float(n)))
        assert low > 0.0 or n < 9, "and it is not simply the range"


def test_too_few_values_give_their_range():
    assert median_interval(np.array([2.0, 1.0, 3.0]))[:2] == (1.0, 3.0)


def test_the_order_of_values_does_not_matter():
    values = np.random.default_rng(0).random(20)
    assert median_interval(values) == median_interval(np.sort(values))
