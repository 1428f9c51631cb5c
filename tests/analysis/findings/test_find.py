import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.findings.noise import tolerance_text
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.tolerance import Tolerance
from tngd_bench.studies.store.records import Records

TRIALS = [
    *[
        "key",
        "kind",
        "group",
        "problem",
        "parameters_requested",
        "parameters",
        "batch_size",
        "outputs",
        "optimizer",
        "method",
    ],
    *["device", "seed", "sweep_parameter", "sweep_value", "status", "settings", "flops", "peak_bytes"],
]


class Study:
    """Collects the rows of a small study."""

    def __init__(self):
        self.trials, self.costs, self.curves = [], [], []

    def _trial(self, optimizer, kind, status, **values):
        row = {
            "key": f"t#{len(self.trials)}",
            "kind": kind,
            "group": kind,
            "problem": "digits-mlp",
            "status": status,
        }
        row |= {"parameters_requested": 100, "parameters": 100, "batch_size": 4, "settings": json.dumps({})}
        row["outputs"] = 2
        row |= {
            "optimizer": optimizer,
            "method": optimizer,
            "device": "paper" if "tngd" in optimizer else None,
        }
        row |= {"sweep_parameter": None, "sweep_value": math.nan, "seed": 0, "flops": 1.0, "peak_bytes": 1.0}
        self.trials.append(row | values)
        return self.trials[-1]

    def cost(self, optimizer, parameters, seconds, link=0.0, status="ok", spread=0.01, **given):
        processes, repetitions = given.pop("processes", 3), given.pop("repetitions", 5)
        row = self._trial(optimizer, "cost", status, parameters=parameters, **given)
        for process in range(processes):
            for repetition in range(repetitions):
                # Independent of the other optimizers, so that a small difference is undecided.
                generator = np.random.default_rng([parameters, process, repetition, *optimizer.encode()])
                digital = seconds * np.exp(spread * generator.standard_normal())
                setting = {
                    name: row[name] for name in ("key", "group", "problem", "parameters", "batch_size")
                }
                setting |= {"outputs": 2, "rows": 8, "optimizer": optimizer, "method": optimizer}
                setting |= {
                    "process": process,
                    "repetition": repetition,
                    "step_s": digital,
                    "digital_s": digital,
                }
                setting |= {
                    "write_s": link / 2,
                    "relax_s": 0.0,
                    "read_s": link / 2,
                    "total_s": digital + link,
                }
                self.costs.append(setting)

    def train(self, optimizer, losses, sweep=None, level=math.nan, accuracy=0.93, **setting):
        for seed, loss in enumerate(losses):
            status = "ok" if loss is not None else "diverged"
            row = self._trial(
                optimizer, "training", status, seed=seed, sweep_parameter=sweep, sweep_value=level, **setting
            )
            reached = accuracy if np.isscalar(accuracy) else accuracy[seed]
            start = math.nan if math.isnan(reached) else 0.1
            for iteration, value in ((0, 2.0), (50, loss)):
                point = {"key": row["key"], "iteration": iteration, "loss": math.nan, "train_loss": value}
                point |= {
                    "train_accuracy": math.nan,
                    "test_loss": math.nan,
                    "test_accuracy": reached if iteration else start,
                }
                self.curves.append(point | {"measured_s": iteration * 1e-3, "modelled_s": iteration * 2e-3})

    def find(self, **study):
        costs = pd.DataFrame(self.costs) if self.costs else pd.DataFrame(columns=COSTS)
        curves = pd.DataFrame(self.curves) if self.curves else pd.DataFrame(columns=CURVES)
        trials = pd.DataFrame(self.trials, columns=TRIALS)
        return find(Results(Records(study, {}, trials, costs, curves)))


COSTS = [
    *[
        "key",
        "group",
        "problem",
        "parameters",
        "batch_size",
        "outputs",
        "rows",
        "optimizer",
        "method",
        "process",
    ],
    *["repetition", "step_s", "digital_s", "write_s", "relax_s", "read_s", "total_s"],
]
CURVES = [
    *["key", "iteration", "loss", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "measured_s"],
    "modelled_s",
]


@pytest.fixture
def study():
    return Study()


def test_a_study_without_anything_says_not_measured(study):
    assert [sentence.endswith("not measured.") for sentence in study.find().sentences()] == [True] * 3


def test_the_cheapest_is_named_per_size_and_first_order_optimizers_do_not_compete(study):
    for parameters, dense, gram in ((100, 1e-3, 2e-3), (1000, 1e-2, 2e-3), (10000, 1.0, 3e-3)):
        study.cost("sgd", parameters, 1e-6)
        study.cost("ngd", parameters, dense)
        study.cost("ngd-gram", parameters, gram, spread=0.0)
        study.cost("tngd", parameters, 1e-3, link=5e-3, spread=0.0)
    sentence = study.find().cost
    assert "NGD (dense) at 1 of 3 sizes, NGD (Gram) at 2 of 3 sizes." in sentence
    assert "At N = 10,000 TNGD needs 6.00 ms (measured digital + modelled device)" in sentence
    assert "the modelled link takes 83.3 %" in sentence
    assert "That is 2.00× [" in sentence
    assert "strongest digital competitor, NGD (Gram)." in sentence
    assert "untested" not in sentence
    assert "SGD" not in sentence


def test_kfac_is_the_strongest_competitor_and_the_exact_one_is_named_beside_it(study):
    study.cost("kfac", 100, 1e-3)
    study.cost("ngd-gram", 100, 2e-3)
    study.cost("tngd", 100, 4e-3)
    sentence = study.find().cost
    assert "strongest digital competitor, K-FAC" in sentence
    assert "that of the fastest exact natural gradient, NGD (Gram)" in sentence


def test_a_lead_within_the_noise_is_not_confirmed(study):
    study.cost("ngd-gram", 100, 1.0e-3, spread=0.3)
    study.cost("ngd-woodbury", 100, 1.01e-3, spread=0.3)
    assert "not confirmed" in study.find().cost


@pytest.mark.parametrize(("times", "doubt"), [(1.08, "Within run-to-run spread. "), (1.3, "")])
def test_a_lead_that_another_run_may_turn_round_is_within_its_spread(study, times, doubt):
    study.cost("ngd-gram", 100, 1e-3, spread=0.005)
    study.cost("ngd-woodbury", 100, times * 1e-3, spread=0.005)
    assert f": NGD (Gram) at N = 100. {doubt}Run-to-run spread" in study.find().cost


def test_too_few_pairs_are_said_to_test_nothing_and_how_many_are_needed(study):
    study.cost("ngd-gram", 100, 1e-3, spread=0.0, repetitions=1)
    study.cost("ngd-woodbury", 100, 2e-3, spread=0.0, repetitions=1)
    study.cost("tngd", 100, 4e-3, spread=0.0, repetitions=1)
    sentence = study.find().cost
    assert "NGD (Gram) at N = 100. Untested. A test takes 5 paired iterations from 3 processes" in sentence
    assert sentence.endswith(
        "NGD (Gram). This is untested: 3 paired iterations from 3 processes, and a test takes 5 from 3 processes."
    )
    assert "not confirmed" not in sentence


def test_tngd_skipped_everywhere_is_not_measured(study):
    study.cost("ngd-gram", 100, 1e-3)
    study._trial("tngd", "cost", "skipped")
    assert study.find().cost.endswith("TNGD's cost: not measured.")


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
        "On digits-mlp, N = 100, 5 seeds. "
    )
    assert "Thermal noise κ₀: TNGD up to 0.001, not 0.1, 93 → 93 %" in sentence
    assert "ADC resolution: TNGD at no level, not even 8 bits" in sentence
    assert sentence.count("N = 100, 5 seeds") == 1


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


def test_without_tngd_the_summary_speaks_of_those_that_ran(study):
    losses = {"adam": 0.2, "sgd": 0.3, "kfac": 0.1}
    for place, (label, loss) in enumerate(losses.items()):
        study.train(label, [loss] * 3)
        study.cost(label, 100, 1e-3 * (place + 1), spread=0.0)
    found = study.find()
    assert "TNGD" not in found.cost + found.convergence
    assert "by median: Adam 1.00 ms, SGD 2.00 ms, K-FAC 3.00 ms." in found.cost
    assert "not tested against one another: K-FAC 0.1" in found.convergence
    order = [found.convergence.index(title) for title in ("K-FAC 0.1", "Adam 0.2", "SGD 0.3")]
    assert order == sorted(order)


def test_the_direction_told_is_that_of_the_test_where_most_seeds_tie(study):
    """18 of 25 pairs tie, so that the estimate is 0; on the other seven the device is lower, p = 2/2⁷."""
    ours = [0.1] * 25
    study.train("tngd", ours)
    study.train("adam", [0.1] * 18 + [0.2 + 0.01 * seed for seed in range(7)])
    sentence = study.find().convergence
    assert "That is lower than Adam" in sentence
    assert "higher" not in sentence
