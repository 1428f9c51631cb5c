"""The paragraphs of an answer: their numbers worked out from the same rows, and what they leave open."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest

from tests.analysis.findings.rows import Study, answered, results_of, told
from tests.report.conftest import make_records
from tngd_bench.analysis.claims.verdicts import judge
from tngd_bench.analysis.findings import convergence, paragraphs
from tngd_bench.analysis.findings.answer import answer
from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.results import Results, pooled
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.analysis.training.final_scores import leading


def test_cost_and_what_holds_the_device_back_are_the_medians_at_one_size(study):
    for parameters, gram in ((100, 1e-3), (1000, 5e-3)):
        study.cost("adam", parameters, 1e-4, spread=0.0)
        study.cost("kfac", parameters, 2e-3, spread=0.0)
        study.cost("ngd-gram", parameters, gram, spread=0.0)
        study.cost("tngd", parameters, 4e-3, link=8e-3, spread=0.0)
    found = answered(study)
    cost, held = told(found, "Cost"), told(found, "What holds it back")
    assert cost.text == (
        "A step at N = 1,000, batch 4, 2 outputs: TNGD on the device 12.0 ms, K-FAC 2.00 ms, NGD (Gram) 5.00 ms."
    )
    assert cost.pieces() == (
        "A step at N = 1,000, batch 4, 2 outputs: TNGD on the device ",
        "12.0 ms",
        ", K-FAC 2.00 ms, NGD (Gram) 5.00 ms.",
    )
    assert held.text == (
        "Sending data (modelled): 8.00 ms of 12.0 ms. The rest, 4.00 ms, is below NGD (Gram)'s 5.00 ms but exceeds "
        "K-FAC's 2.00 ms."
    )


def test_learning_names_the_device_and_the_best_other_with_what_seeds_tell(study):
    study.cost("sgd", 100, 1e-6)
    study.train("tngd", [0.1] * 3, accuracy=[0.9, 0.92, 0.94])
    study.train("kfac", [0.2] * 3, accuracy=[0.5, 0.8, 0.9])
    study.train("sgd", [0.3] * 3, accuracy=[0.6, 0.7, 0.7])
    found = told(answered(study), "Learning")
    assert found.text == (
        "On digits-mlp, not tuned, TNGD ends at 92 % test accuracy; K-FAC at 80 % "
        "(3 seeds, too few to tell). Trained for 50 iterations."
    )
    assert found.bold == "92 %"


@pytest.mark.parametrize(
    ("iterations", "budget"),
    [
        ({"tngd": 1_560, "kfac": 1_560, "sgd": 1_560}, "1,560 iterations"),
        ({"tngd": 390, "kfac": 1_560, "sgd": 780}, "390 to 1,560 iterations"),
        ({"tngd": 1, "kfac": 1, "sgd": None}, "1 iteration"),
    ],
)
def test_scores_are_told_with_what_the_finished_runs_were_trained_for(study, iterations, budget):
    for optimizer, trained in iterations.items():
        study.train(optimizer, [0.1 if trained else None] * 3, accuracy=0.9, iterations=trained or 9)
    results = results_of(study)
    # nothing was timed, so that learning is the bottom line
    assert answer(results).bottom_line.endswith(f"). Trained for {budget}.")
    assert f"(N = 100, b = 4, {budget}, settings not tuned)" in find(results).convergence


def test_the_level_told_is_one_that_every_setting_stands(make_swept):
    found = told(answer(make_swept), "Imperfections")
    levels = {each.both.parameter: each.both.worst_inside for each in make_swept.scored_tolerances}
    assert np.isfinite(levels["adc_bits"])
    assert f"ADC resolution {levels['adc_bits']:g} bits" in found.text


@pytest.fixture(scope="module")
def make_swept():
    return Results(make_records(optimizers=("sgd", "ngd-gram", "tngd"), sizes=(1_000, 10_000)))


def test_a_study_of_sweeps_alone_tells_what_they_decide(make_swept):
    whole = make_swept.records
    trials = whole.trials[whole.trials["sweep_parameter"].notna()]
    curves = whole.curves[whole.curves["key"].isin(trials["key"])]
    found = answer(
        Results(dataclasses.replace(whole, trials=trials, curves=curves, costs=whole.costs.iloc[:0]))
    )
    (tolerated,) = [each.text for each in answer(make_swept).paragraphs if each.term == "Imperfections"]
    assert found.bottom_line == tolerated
    assert tolerated not in [each.text for each in found.paragraphs]


def test_what_was_measured_is_not_among_what_was_not(make_swept):
    told = "Not measured here: any claim of arXiv 2405.13817 (the study “paper” tests them)."
    assert answer(make_swept).not_asked == told


def test_claims_are_counted_by_kind(make_swept):
    judged = judge(pooled({"s": make_swept}))
    text = paragraphs.claims(judged, make_swept)
    names = [each.name for each in judged if each.name != "not tested"]
    if not names:
        assert text is None
        return
    assert sum(map(int, re.findall(r"\d+", text[0]))) == len(names)


def test_a_paragraph_that_fails_says_so_and_leaves_the_rest(study, monkeypatch):
    study.cost("ngd-gram", 100, 3e-3)
    study.cost("tngd", 100, 1e-3)

    def fails(_results):
        raise ValueError("no such thing")

    monkeypatch.setattr(paragraphs, "cost", fails)
    found = answered(study)
    assert told(found, "Cost").text == "This sentence could not be made (ValueError: no such thing)."
    assert [term for term, _ in found.failed] == ["Cost"]
    assert told(found, "What holds it back") is not None


def test_medians_and_pairs_that_point_in_different_directions_confirm_nothing(study):
    """The device is higher by a hair on 21 of 40 seeds and in the median, and far lower on the other 19."""
    theirs = [0.80 + 0.001 * seed for seed in range(40)]
    ours = [score + (1e-5 if seed > 18 else -0.5) for seed, score in enumerate(theirs)]
    study.train("tngd", [0.1] * 40, accuracy=ours)
    study.train("kfac", [0.1] * 40, accuracy=theirs)
    section = convergence.main_training(results_of(study))
    score = leading(section.part)
    (found, p) = section._compared("tngd", ["kfac"], score)["kfac"]
    assert (found.higher, found.direction) == (21, "lower")
    assert p <= 0.05
    assert section.medians(score, ["tngd", "kfac"]).index[0] == "tngd"
    assert section.undecided("tngd", ["kfac"], score, "kfac") == "no difference confirmed"
    assert "lower by the signed-rank test" in section.score("tngd", ["kfac"])


def test_runs_without_an_end_are_the_worst_in_a_median_and_are_counted(study):
    study.train("tngd", [0.1, 0.1, 0.1, None, None], accuracy=[0.99, 0.6, 0.5, 0.9, 0.9])
    study.train("kfac", [0.2] * 5, accuracy=0.9)
    assert answered(study).bottom_line == (  # nothing was timed
        "On digits-mlp, not tuned, TNGD ends at 50 % test accuracy; K-FAC at 90 % "
        "(5 seeds, 2 of 5 of TNGD did not finish, too few to tell). Trained for 50 iterations."
    )


@pytest.mark.parametrize(
    ("device", "term"), [("paper", "Sending data"), ("rram", "Sending, writing and reading data")]
)
def test_what_is_written_and_converted_is_not_told_as_sent(study, device, term):
    study.cost("ngd-gram", 100, 3e-3)
    study.cost("tngd", 100, 1e-3, link=9e-3, device=device)
    assert told(answered(study), "What holds it back").text.startswith(f"{term} (modelled): 9.00 ms")
    assert ("the modelled link takes" in study.find().cost) is (device == "paper")


@pytest.mark.parametrize(
    ("device", "noise", "base"),
    [
        ("paper", 0.0, "the ideal device"),
        ("rram", 0.0, "the same device without that imperfection"),
        ("paper", 1e-3, "the same device without that imperfection"),
    ],
)
def test_a_device_with_other_imperfections_is_not_called_ideal(study, device, noise, base):
    about = {"device": device, "settings": json.dumps({"noise_variance": noise})}
    for level in (np.nan, 8.0):
        study.train("tngd", [0.1 + 0.01 * seed for seed in range(6)], "adc_bits", level, **about)
    assert f"no worse than {base} on the same seed" in study.find().noise
    assert answered(study).bottom_line.startswith(  # nothing was timed
        "No worse than ideal with ADC" if "ideal" in base else f"No worse than {base}: ADC"
    )


@pytest.mark.parametrize(
    ("kfac", "gram", "said"),
    [
        (1e-3, 2e-3, "exceeds NGD (Gram)'s 2.00 ms."),
        (3e-3, 5e-3, "is below NGD (Gram)'s 5.00 ms but exceeds K-FAC's 3.00 ms."),
        (5e-3, 6e-3, "is below NGD (Gram)'s 6.00 ms and K-FAC's 5.00 ms."),
        (7e-3, 6e-3, "is below NGD (Gram)'s 6.00 ms."),
    ],
)
def test_what_the_device_takes_besides_is_held_to_the_quickest_rival_too(study, kfac, gram, said):
    for label, pace in (("kfac", kfac), ("ngd-gram", gram)):
        study.cost(label, 100, pace, spread=0.0)
    study.cost("tngd", 100, 4e-3, link=8e-3, spread=0.0)
    assert told(answered(study), "What holds it back").text.endswith(f"The rest, 4.00 ms, {said}")


def test_every_imperfection_that_was_swept_is_in_the_paragraph_with_how_it_ended(study):
    for name, factors, seeds in (
        ("programming_error", (1.0, 4.0), 6),
        ("noise_variance", (1.0, 1.0), 6),
        ("wire_ohm", (1.0, 1.0), 3),
    ):
        for level, factor in zip((0.0, 0.1), factors, strict=True):
            losses = [0.2 * factor + 0.001 * seed for seed in range(seeds)]
            study.train("tngd", losses, name, level, group=name)
    assert answered(study).bottom_line == (
        "No worse than ideal with thermal noise κ₀ 0.1. At no level tried for certain: programming error. "
        f"Not judged in every setting: {parameter_name('wire_ohm')}."
    )


@pytest.mark.parametrize(
    ("processes", "repetitions", "needed"),
    [(1, 9, "3 processes per size"), (3, 1, "5 paired iterations per size")],
)
def test_what_to_measure_next_is_what_a_test_lacks(study, processes, repetitions, needed):
    for label, pace in (("ngd-gram", 1e-3), ("tngd", 3e-3)):
        study.cost(label, 100, pace, processes=processes, repetitions=repetitions)
    text = told(answered(study), "Measure next").text
    assert text == f"{needed}: 1 of 1 size had too few for a test."


@pytest.mark.parametrize(
    "rivals", [("adam",), ("adam", "sgd", "kfac"), ("adam", "ngd", "ngd-gram", "ngd-cg", "kfac")]
)
def test_with_the_seeds_asked_for_nothing_is_too_few(rivals):
    def trained(seeds):
        study = Study()
        for place, label in enumerate(("tngd", *rivals)):
            study.train(
                label, [0.1 * (1 + place) + 0.001 * seed for seed in range(seeds)], accuracy=0.9 - 0.1 * place
            )
        return answered(study)

    few = trained(3)
    asked = int(re.match(r"(\d+) seeds in place of 3", told(few, "Measure next").text)[1])
    assert "too few to tell" in few.bottom_line  # what it says of learning
    assert "too few" not in trained(asked).bottom_line
    assert "too few" in trained(asked - 1).bottom_line


def test_training_in_sweeps_alone_is_not_called_unmeasured(study):
    study.train("tngd", [0.2] * 5, "noise_variance", 0.0)
    assert "training without a swept setting, " in answered(study).not_asked


def test_each_section_is_judged_by_its_own_score(study):
    for level, factor in ((0.0, 1.0), (0.1, 1.5)):
        study.train("tngd", [0.2] * 6, "noise_variance", level, group="digits")
        study.train(
            "tngd", [0.2] * 6, "noise_variance", level, math.nan, group="pinn", problem="poisson-pinn"
        )
        for point in study.curves[-12:]:
            point["test_l2_error"] = 0.1 * factor if point["iteration"] else 1.0
    results = results_of(study)
    digits, pinn = results.scored_tolerances
    assert [each.score.score.title for each in (digits, pinn)] == ["test accuracy", "test relative L2 error"]
    assert [each.both.levels["verdict"].tolist() for each in (digits, pinn)] == [["inside"], ["outside"]]
    text = find(results).noise
    assert ", 93 → 93 %" in text
    assert ", 0.100 → 0.150" in text
    assert "test accuracy or test relative L2 error from → to" in text


@pytest.mark.parametrize(("settings", "told"), [(1, True), (6, True), (7, False), (12, False)])
@pytest.mark.parametrize("of_device", [True, False])
@pytest.mark.parametrize("lower", [True, False])
def test_the_lowest_of_many_settings_takes_more_than_one_setting(study, settings, told, of_device, lower):
    """Eight seeds of one side give p = 2/256, which 0.05 holds six times over; of the side chosen from many alone."""
    one, many = ("adam", "tngd") if of_device else ("tngd", "adam")
    study.train(one, [0.5 + 0.001 * seed for seed in range(8)])
    for place in range(settings):
        losses = [(0.1 if lower else 0.6) + 0.01 * place + 0.001 * seed for seed in range(8)]
        study.train(f"{many}[lr={place}]", losses, method=many, device="paper" if of_device else None)
    ended = convergence.convergence_sentence(results_of(study))
    word = "lower" if lower is of_device else "higher"
    assert (f"That is {word} than Adam" in ended) is (told or not lower)
    assert ("No difference confirmed" in ended) is (not told and lower)


def test_a_run_that_is_not_complete_is_said_to_be_none(study):
    study.cost("ngd-gram", 100, 3e-3)
    study.cost("tngd", 100, 1e-3)
    whole = results_of(study).records
    assert told(answer(Results(whole)), "Not complete") is None
    part = told(answer(Results(dataclasses.replace(whole, runs=6, missing=2))), "Not complete")
    assert part.text.startswith("2 of 6 processes of this study have no result yet")


def test_a_device_that_finished_in_no_seed_is_told_beside_another_that_did(study):
    for label, loss in {"tngd": None, "tngd-adam": 0.3, "kfac": 0.2, "ngd-cg": None, "spring": None}.items():
        study.train(label, [loss] * 6)
    text = answered(study).bottom_line
    assert "TNGD-Adam ends at" in text
    assert sum(f"6 of 6 of {title} did not finish" in text for title in ("TNGD", "NGD (CG)", "SPRING")) == 2
    assert "6 of 6 of TNGD did not finish" in text
    assert "1 more in no seed" in text
