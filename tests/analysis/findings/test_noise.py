"""The sentence on imperfections: the level that a device tolerates, or why none is known."""

import math

import pandas as pd
import pytest

from tngd_bench.analysis.findings.noise import tolerance_text
from tngd_bench.analysis.training.tolerance import Tolerance

IDEAL = [0.1, 0.11, 0.12, 0.13, 0.14]


def worse(by):
    return [loss + by for loss in IDEAL]


def test_noise_states_a_tolerance_or_that_there_is_none(study):
    for level, shift in ((0.0, 0.0), (1e-3, 0.0), (1e-1, 1.0)):
        study.train("tngd", worse(shift), "noise_variance", level)
    for bits, shift in ((math.nan, 0.0), (8.0, 0.5)):
        study.train("tngd", worse(shift), "adc_bits", bits)
    sentence = study.find().noise
    assert sentence.startswith(
        "Levels no worse than the ideal device on the same seed, by final training loss and test accuracy. Margins: "
        "5 % of the loss (or 0.01) and 1 point of accuracy (paired signed-rank test at 5 %; test accuracy from → to). "
        "On digits-mlp, N = 100, 50 iterations, 5 seeds. "
    )
    assert "Thermal noise κ₀: TNGD up to 0.001, not 0.1, 93 → 93 %" in sentence
    assert "ADC resolution: TNGD at no level, not even 8 bits" in sentence
    assert sentence.count("N = 100, 50 iterations, 5 seeds") == 1


def test_a_score_that_falls_is_judged_though_the_loss_does_not(study):
    for level, accuracy in ((0.0, 0.92), (1e-2, 0.92), (1e-1, 0.87)):
        study.train("tngd", IDEAL, "noise_variance", level, accuracy=accuracy)
    assert "TNGD up to 0.01, not 0.1, 92 → 92 %" in study.find().noise


def test_an_ideal_device_that_has_not_learned_gives_no_tolerance(study):
    for level, accuracy in ((0.0, 0.13), (0.03, 0.54)):
        study.train("tngd", IDEAL, "programming_error", level, accuracy=accuracy)
    assert study.find().noise == (
        "Tolerance of TNGD to programming error not confirmed: 5 of 5 seeds of the ideal device have not learned "
        "(test accuracy 13 %)."
    )


def test_levels_that_the_seeds_do_not_decide_are_named(study):
    margin = [0.05 * loss + (0.001 if seed % 2 else -0.001) for seed, loss in enumerate(IDEAL)]
    near = [loss + max(own, 0.01 + (own - 0.05 * loss)) for loss, own in zip(IDEAL, margin, strict=True)]
    for level, losses in ((0.0, IDEAL), (1e-3, IDEAL), (1e-2, near), (1e-1, worse(1.0))):
        study.train("tngd", losses, "noise_variance", level)
    assert "TNGD up to 0.001, not 0.1 (0.01 undecided), 93 → 93 %" in study.find().noise


def test_noise_of_losses_alone_says_so(study):
    for level in (0.0, 0.1):
        study.train("tngd", IDEAL, "noise_variance", level, accuracy=math.nan)
    sentence = study.find().noise
    assert sentence.startswith(
        "Levels no worse than the ideal device on the same seed, by final training loss. "
    )
    assert "accuracy" not in sentence


def test_every_imperfection_is_in_the_sentence_with_its_direction_and_what_diverged(study):
    for level, losses in ((0.0, IDEAL), (0.003, IDEAL), (0.01, [None] * 5)):
        study.train("tngd", losses, "programming_error", level)
    for volts, shift in ((math.nan, 0.0), (1.0, 0.0), (0.3, 1.0)):
        study.train("tngd", worse(shift), "rail_volts", volts)
    for delay in (0.0, 1.0):
        study.train("tngd", IDEAL, "delay", delay)
    sentence = study.find().noise
    assert "Programming error: TNGD up to 0.003, not 0.01 (5 of 5 seeds diverge)" in sentence
    assert "Rail voltage: TNGD down to 1 V, not 0.3 V" in sentence
    assert "delay" not in sentence  # a setting of the algorithm, not an imperfection


def levels(*verdicts):
    return pd.DataFrame({"level": range(len(verdicts)), "verdict": verdicts})


def test_a_tolerance_in_words_counts_down_where_less_is_harsher():
    rail = Tolerance("g", "tngd", "rail_volts", 1.0, 0.3, 5, levels("inside", "outside"), "", ideal=0.2)
    assert (
        tolerance_text(rail)
        == "no worse than ideal down to rail voltage = 1 V, worse from 0.3 V on (5 seeds; ideal level 0.200)"
    )


@pytest.mark.parametrize(
    ("worst", "first", "verdicts", "text"),
    [
        (0, 1, ["inside", "outside"], "no worse than ideal up to noise = 0, worse from 1 on"),
        (1, math.nan, ["inside", "inside"], "no worse than ideal at every level measured, to noise = 1"),
        (0, math.nan, ["inside", "undecided"], "no worse than ideal up to noise = 0"),
        (math.nan, 0, ["outside"], "worse than ideal already at the mildest level measured, noise = 0"),
        (math.nan, 1, ["undecided", "outside"], "undecided at milder levels, worse from noise = 1 on"),
        (math.nan, math.nan, ["undecided"], "undecided at every level measured"),
    ],
)
def test_a_tolerance_in_words_says_what_is_undecided(worst, first, verdicts, text):
    found = Tolerance("g", "tngd", "noise", worst, first, 5, levels(*verdicts), "", ideal=0.2)
    undecided = [str(place) for place, verdict in enumerate(verdicts) if verdict == "undecided"]
    after = f" ({undecided[0]} undecided)" if undecided else ""
    assert tolerance_text(found) == f"{text} (5 seeds; ideal level 0.200){after}"


def test_of_many_settings_the_two_ends_are_named(study):
    settings = (
        ("tngd[lr=0.1]", 1e-3),
        ("tngd[lr=0.2]", 1e-2),
        ("tngd[lr=0.3]", 1e-4),
        ("tngd[lr=0.4]", 1e-3),
    )
    for label, last in settings:
        for level in (0.0, 1e-4, 1e-3, 1e-2, 1e-1):
            study.train(label, worse(0.0 if level <= last else 1.0), "noise_variance", level)
    sentence = study.find().noise
    least, most = sentence.split("Thermal noise κ₀, 4 settings: least ")[1].split(", most ")
    assert "0.3" in least
    assert "up to 10⁻⁴, not 0.001" in least
    assert "up to 0.01, not 0.1" in most
    assert "lr = 0.1" not in sentence


def test_settings_that_stand_the_same_show_their_ideal_scores(study):
    for label, accuracy in (("tngd[lr=0.1]", 0.95), ("tngd[lr=0.2]", 0.9)):
        for level in (0.0, 1e-3):
            study.train(label, IDEAL, "noise_variance", level, accuracy=accuracy)
    assert "2 settings, ideal level 90 to 95 %: at every level, to 0.001" in study.find().noise


def test_noise_with_four_seeds_is_not_confirmed(study):
    study.train("tngd", IDEAL[:4], "noise_variance", 0.0)
    study.train("tngd", worse(0.5)[:4], "noise_variance", 0.1)
    assert "not confirmed" in study.find().noise


def test_what_is_not_confirmed_is_said_once_for_all_imperfections(study):
    for parameter, swept in (("noise_variance", (0.0, 0.1)), ("adc_bits", (float("nan"), 4.0))):
        for level in swept:
            study.train("tngd", [0.1], parameter, level)
    sentence = study.find().noise
    assert sentence.count("too few to tell, 1 seed of the ideal device, 5 needed") == 1
    assert "ADC resolution and thermal noise κ₀" in sentence
