"""The sentence on convergence: whom it compares, by which test, and what it does not tell."""

import re

import pytest

from tests.analysis.findings.rows import Study


def test_convergence_is_decided_by_a_paired_test_corrected_for_the_rivals(study):
    ours = [0.10 + 0.01 * seed for seed in range(8)]
    study.train("tngd", ours)
    study.train("ngd-gram", [loss - 0.001 * (seed + 1) for seed, loss in enumerate(ours)])
    study.train("adam", [2 * loss for loss in ours])
    study.train("sgd", [0.05, 0.06, 0.07, *[2 * loss for loss in ours[3:]]])
    study.train("kfac", [0.01, *[None] * 7])
    sentence = study.find().convergence
    assert "On digits-mlp (N = 100, b = 4, 50 iterations, settings not tuned) TNGD ended at" in sentence
    assert "a median training loss of 0.135" in sentence
    assert (
        "0.135. That is higher than NGD (Gram) (0.131). "
        "That is lower than K-FAC (0.0100, 1 of 8 seeds finished) and Adam (0.270) "
        "(signed-rank test, p ≤ 5 % after Holm's correction, 8 paired seeds). "
        "No difference confirmed to SGD (0.270)."
    ) in sentence


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_that_cannot_decide_are_too_few_to_tell(study, seeds):
    study.train("tngd", [0.1] * seeds)
    study.train("adam", [0.9] * seeds)
    sentence = study.find().convergence
    assert (
        f". It is lower than Adam (0.900) in {seeds} of {seeds} paired seeds. That is too few to tell: 6 seeds needed."
        in sentence
    )


def test_a_diverged_tngd_is_reported_as_such_and_not_as_a_number(study):
    study.train("tngd", [None, None, None])
    study.train("adam", [0.2, 0.2, 0.2])
    sentence = study.find().convergence
    assert "TNGD gave no final loss (diverged). The others: Adam (0.200)." in sentence
    assert "confirmed" not in sentence


def test_a_second_clause_compares_what_was_tuned_with_its_like(study):
    study.train("tngd", [0.10, 0.11, 0.12])
    study.train("adam", [0.09, 0.10, 0.11])
    assert study.find().convergence.count("tuned") == 1
    study.train("adam[tuned]", [0.05, 0.06, 0.07], accuracy=[0.95, 0.96, 0.95], method="adam")
    # nothing else tells how Adam's best setting ended, and TNGD has none that was tuned
    assert "Adam (tuned) (0.0600)" in study.find().convergence
    study.train("tngd[tuned]", [0.01, 0.02, 0.03], accuracy=[0.97, 0.975, 0.98], method="tngd")
    study.train("kfac[tuned]", [0.001, 0.002, 0.003], accuracy=[0.96, 0.97, 0.99], method="kfac")
    first, second = study.find(tuning_record={"search": {"problem": "mnist-cnn"}}).convergence.split(" All ")
    assert "settings not tuned) TNGD ended at a median training loss of 0.110. It is lower than Adam" in first
    assert second == (
        "tuned on mnist-cnn: TNGD ended at 0.0200. It is lower than K-FAC (0.00200) in 0 of 3 paired seeds. It is "
        "lower than Adam (0.0600) in 3 of 3 paired seeds. That is too few to tell: 7 seeds needed. Its test accuracy, "
        "97.5 %, is the highest, before K-FAC (97 %; higher in 2 of 3 paired seeds, too few to tell)."
    )


def test_a_device_that_was_only_run_tuned_is_compared_with_tuned_rivals_alone(study):
    study.train("tngd[tuned]", [0.01, 0.02, 0.03], method="tngd")
    study.train("adam", [0.001, 0.001, 0.001])
    study.train("adam[tuned]", [0.05, 0.06, 0.07], method="adam")
    sentence = study.find().convergence
    assert "50 iterations, all settings tuned) TNGD ended at a median" in sentence
    assert "lower than Adam (0.0600)" in sentence
    assert "All tuned" not in sentence


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("tngd", "adam", "sgd"), "settings not tuned"),
        (("tngd[tuned]", "adam[tuned]", "sgd[tuned]"), "all settings tuned on mnist-cnn"),
        (("tngd[tuned]", "adam", "sgd"), "settings tuned on mnist-cnn where the name says so"),
        (("tngd[tuned]", "adam[tuned]", "sgd"), "all settings tuned on mnist-cnn"),  # the like are compared
    ],
)
def test_the_sentence_says_whether_the_settings_it_compares_were_tuned_and_on_what(study, labels, said):
    for label in labels:
        study.train(label, [0.1, 0.2, 0.3], method=label.removesuffix("[tuned]"))
    found = {"mnist-cnn": {"tuning_record": {"search": {"problem": "mnist-cnn"}}}}
    assert f"50 iterations, {said}) TNGD" in study.find(**found["mnist-cnn"]).convergence
    here = {"tuned_for": {"digits-mlp": {"tuning_record": {"search": {"problem": "digits-mlp"}}}} | found}
    assert f"50 iterations, {said.replace(' on mnist-cnn', '')}) TNGD" in study.find(**here).convergence


def test_the_best_setting_of_each_method_is_compared_and_whoever_ran_is_a_rival(study):
    study.train("tngd", [0.30, 0.31, 0.32])
    study.train("tngd[lr=0.1]", [0.20, 0.21, 0.22], method="tngd")
    study.train("adam", [1.6, 1.7, 1.8], accuracy=0.5)
    study.train("adam[lr=0.01]", [0.10, 0.11, 0.12], method="adam")
    study.train("adam[lr=1]", [0.01, None, None], method="adam")
    study.train("shampoo", [0.05, 0.06, 0.07], accuracy=0.99)
    sentence = study.find().convergence
    assert "TNGD (lr = 0.1) ended at a median training loss of 0.210. It is lower than" in sentence
    assert "shampoo (0.0600)" in sentence
    assert "Adam (lr = 0.01) (0.110)" in sentence
    assert "1.7" not in sentence


def test_of_sections_alike_the_first_in_order_of_their_numbers_is_told_with_its_batch_size(study):
    for group, size in (("digits-b128", 128), ("digits-b32", 32)):
        study.train("tngd", [0.1, 0.1, 0.1], group=group, batch_size=size)
        study.train("adam", [0.2, 0.2, 0.2], group=group, batch_size=size)
    assert "(N = 100, b = 32, 50 iterations," in study.find().convergence
    study.train("adam[tuned]", [0.2, 0.2, 0.2], group="digits-b128", batch_size=128, method="adam")
    assert "(N = 100, b = 128, 50 iterations," in study.find().convergence


@pytest.mark.parametrize("spread", [1e-6, 0.02, 0.8])
def test_the_times_told_agree_with_their_ratio_or_the_sentence_says_why_not(spread):
    for parameters in range(100, 108):
        made = Study()
        made.cost("tngd", parameters, 2e-3, spread=spread)
        made.cost("ngd-gram", parameters, 1e-3, spread=spread)
        text = made.find().cost
        own, ratio, rival = re.search(
            r"needs ([\d.]+ .s) .* is ([\d.]+)× \[.*?\] the ([\d.]+ .s) of", text
        ).groups()
        quotient = seconds_of(own) / seconds_of(rival)
        if "since the times scatter" in text:
            assert spread > 0.1
            assert float(re.search(r"two medians is ([\d.]+),", text)[1]) == pytest.approx(quotient, rel=0.02)
        else:
            assert quotient == pytest.approx(float(ratio), rel=0.08)


def seconds_of(text):
    number, unit = text.split()
    return float(number) * {"s": 1.0, "ms": 1e-3, "µs": 1e-6}[unit]


def test_the_direction_told_is_that_of_the_test_where_most_seeds_tie(study):
    """18 of 25 pairs tie, so that the estimate is 0; on the other seven the device is lower, p = 2/2⁷."""
    ours = [0.1] * 25
    study.train("tngd", ours)
    study.train("adam", [0.1] * 18 + [0.2 + 0.01 * seed for seed in range(7)])
    sentence = study.find().convergence
    assert "That is lower than Adam" in sentence
    assert "higher" not in sentence
