import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.training.device_pairs import INSIDE, OUTSIDE, UNDECIDED, device_pairs, pairs_sentence

MINE = {"name": "mine", "base": "paper", "adc_bits": 4}
IDEAL = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
"""The margins of these losses are 5 %."""


def study(runs, accuracies=None):
    """`runs`: (label, device, other settings, losses by seed; None: diverged); returns trials and final values."""
    trials, final = [], []
    for label, device, settings, losses in runs:
        for seed, loss in enumerate(losses):
            key = f"{label}#{seed}"
            name = device["name"] if isinstance(device, dict) else device
            known = json.dumps({"lr": 0.1, "device": device, **settings})
            base = {"key": key, "optimizer": label, "method": "tngd", "group": "g", "problem": "digits-mlp"}
            trials.append({**base, "device": name, "settings": known})
            row = {**base, "parameters": 100, "sweep_parameter": None, "seed": seed}
            row |= {"status": "diverged" if loss is None else "ok", "untrained_train_loss": 10.0}
            row |= {"final_loss": math.nan if loss is None else loss, "final_test_accuracy": math.nan}
            if accuracies is not None:
                row |= {"final_test_accuracy": accuracies[label][seed], "untrained_test_accuracy": 0.1}
            final.append(row)
    return pd.DataFrame(trials), pd.DataFrame(final)


def worse(by):
    return [loss * (1 + by) for loss in IDEAL]


def test_an_own_device_is_paired_with_the_ideal_one_of_the_same_settings():
    slow = {
        **MINE,
        "name": "slow",
        "adc_bits": None,
        "link_rate_bits_per_s": 1e6,
    }  # ideal: it only takes time
    frames = study(
        [
            ("tngd", "paper", {}, IDEAL),
            ("tngd[device=mine]", MINE, {}, worse(0.01)),
            ("tngd[device=slow]", slow, {}, IDEAL),
            ("tngd[lr=1,device=mine]", MINE, {"lr": 1.0}, worse(0.01)),
            ("tngd[noise_variance=0.1]", "paper", {"noise_variance": 0.1}, worse(0.5)),
        ]
    )
    found = {pair.optimizer: pair for pair in device_pairs(*frames)}
    assert set(found) == {
        "tngd[device=mine]",
        "tngd[noise_variance=0.1]",
    }  # lr = 1 has no ideal device beside it
    assert {pair.ideal for pair in found.values()} == {"tngd"}
    assert found["tngd[device=mine]"].verdict == INSIDE
    assert found["tngd[noise_variance=0.1]"].verdict == OUTSIDE


@pytest.mark.parametrize("seeds", [6, 9])
def test_the_test_is_the_signed_rank_test_against_the_margin(seeds):
    generator = np.random.default_rng(seeds)
    ideal, excess = 1 + generator.random(seeds), generator.normal(0.03, 0.04, seeds)
    (pair,) = device_pairs(
        *study([("tngd", "paper", {}, ideal), ("tngd[adc_bits=4]", "paper", {"adc_bits": 4}, ideal + excess)])
    )
    beyond = excess - 0.05 * ideal
    expected = [stats.wilcoxon(beyond, alternative=side).pvalue for side in ("less", "greater")]
    assert [pair.p_inside, pair.p_outside] == pytest.approx(expected)


def test_both_scores_must_be_inside_and_one_outside_is_enough():
    runs = [("tngd", "paper", {}, IDEAL), ("tngd[device=mine]", MINE, {}, IDEAL)]
    lost = {"tngd": [0.9] * 7, "tngd[device=mine]": [0.85] * 7}
    (pair,) = device_pairs(*study(runs, lost))
    assert (pair.verdict, pair.p_inside) == (OUTSIDE, 1.0)
    assert pair.p_outside == pytest.approx(2 / 2**7)
    (pair,) = device_pairs(*study(runs, {"tngd": [0.9] * 7, "tngd[device=mine]": [0.895] * 7}))
    assert (pair.verdict, pair.p_inside) == (INSIDE, pytest.approx(1 / 2**7))


def test_a_device_on_which_training_diverges_is_worse():
    frames = study([("tngd", "paper", {}, IDEAL), ("tngd[device=mine]", MINE, {}, [None] * 7)])
    (pair,) = device_pairs(*frames)
    assert (pair.verdict, pair.diverged) == (OUTSIDE, 7)
    assert "1.30 → diverged" in pairs_sentence([pair], optimizer_infos(frames[0]))


def test_without_a_base_or_seeds_enough_nothing_is_decided():
    few = study([("tngd", "paper", {}, IDEAL[:3]), ("tngd[device=mine]", MINE, {}, IDEAL[:3])])
    (pair,) = device_pairs(*few)
    assert (pair.verdict, "5 needed" in pair.note) == (UNDECIDED, True)
    unlearned = [9.8] * 7  # of 10 before training
    (pair,) = device_pairs(
        *study([("tngd", "paper", {}, unlearned), ("tngd[device=mine]", MINE, {}, unlearned)])
    )
    assert (pair.verdict, "have not learned" in pair.note) == (UNDECIDED, True)
    diverged = study([("tngd", "paper", {}, [None] * 7), ("tngd[device=mine]", MINE, {}, IDEAL)])
    (pair,) = device_pairs(*diverged)
    assert pair.verdict == UNDECIDED


def test_several_devices_are_corrected_for_and_too_few_seeds_are_said():
    runs = [("tngd", "paper", {}, IDEAL)]
    runs += [(f"tngd[adc_bits={bits}]", "paper", {"adc_bits": bits}, IDEAL) for bits in range(2, 12)]
    found = device_pairs(*study(runs))
    assert [pair.p_inside for pair in found] == pytest.approx([10 / 2**7] * 10)
    assert {pair.note for pair in found} == {"too few to tell: 7 seeds, 8 needed"}
    assert "10 not decided, of 10" in pairs_sentence(found, optimizer_infos(study(runs)[0]))
