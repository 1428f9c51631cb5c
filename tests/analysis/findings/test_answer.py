"""The answer of a study against numbers worked out here from the same rows, and against formulas."""

import dataclasses
import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from tests.analysis.findings.test_find import COSTS, CURVES, TRIALS, Study
from tests.report.conftest import make_records
from tngd_bench.analysis.claims.verdicts import judge
from tngd_bench.analysis.findings import convergence, paragraphs
from tngd_bench.analysis.findings.answer import answer
from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.results import Results, pooled
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.analysis.training.final_scores import leading
from tngd_bench.studies.store.records import Records


def results_of(study, **environment):
    costs = pd.DataFrame(study.costs) if study.costs else pd.DataFrame(columns=COSTS)
    curves = pd.DataFrame(study.curves) if study.curves else pd.DataFrame(columns=CURVES)
    trials = pd.DataFrame(study.trials, columns=TRIALS)
    return Results(Records({}, environment, trials, costs, curves, ignored={}))


def answered(study, **environment):
    return answer(results_of(study, **environment))


def told(found, term):
    return next((each for each in found.paragraphs if each.term == term), None)


ONLY = "a shorter step than its only digital second-order rival, NGD (Gram)"


@pytest.fixture
def study():
    return Study()


@pytest.mark.parametrize(
    ("links", "said"),
    [
        (
            (9e-3, 9e-3),
            "At both sizes timed, a digital second-order optimizer had a shorter step than TNGD "
            "(confirmed at all of them).",
        ),
        ((0.0, 0.0), f"At both sizes timed, TNGD had {ONLY} (confirmed at all of them)."),
        (
            (0.0, 9e-3),
            f"TNGD had {ONLY}, at 1 of 2 sizes timed: N = 100 (confirmed). "
            "At the other a digital second-order optimizer had the shorter step (confirmed).",
        ),
    ],
)
def test_the_bottom_line_counts_at_how_many_sizes_the_device_leads(study, links, said):
    for parameters, link in zip((100, 1000), links, strict=True):
        study.cost("sgd", parameters, 1e-6)
        study.cost("ngd-gram", parameters, 3e-3)
        study.cost("tngd", parameters, 1e-3, link=link)
    assert answered(study).bottom_line == said


@pytest.mark.parametrize(
    ("times", "rivals"),
    [
        ({}, "its only digital second-order rival, NGD (CG)"),
        ({"kfac": (4e-3, 4e-3, 4e-3)}, "its quickest digital second-order rival, NGD (CG)"),
        ({"kfac": (2e-3, 4e-3, 4e-3)}, "its quickest digital second-order rivals, K-FAC and NGD (CG)"),
        ({"kfac": (2e-3, 4e-3, 4e-3), "ngd-gram": (4e-3, 2e-3, 4e-3)}, "every digital second-order rival"),
    ],
)
def test_a_lead_names_whom_it_is_over_and_whether_there_was_another(study, times, rivals):
    for place, parameters in enumerate((100, 200, 300)):
        study.cost("tngd", parameters, 1e-3)
        for rival, own in {"ngd-cg": (3e-3, 3e-3, 3e-3), "sgd": (1e-6, 1e-6, 1e-6), **times}.items():
            study.cost(rival, parameters, own[place])
    assert f"TNGD had a shorter step than {rivals} (" in answered(study).bottom_line


@pytest.mark.parametrize("winners", [(0,), (1, 2), (0, 1, 2, 3)])
def test_the_bottom_line_names_the_sizes_of_the_fewer_and_how_many_more(study, winners):
    for place, size in enumerate((100, 200, 300, 400, 500)):
        study.cost("ngd-gram", size, 3e-3)
        study.cost("tngd", size, 1e-3, link=0.0 if place in winners else 9e-3)
    line = answered(study).bottom_line
    few = len(winners) <= 2
    named = [size for place, size in enumerate((100, 200, 300, 400, 500)) if (place in winners) == few]
    assert re.findall(r"N = (\d+)", line) == [str(size) for size in named[:2]]
    assert f"at {len(winners)} of 5 sizes timed{': ' if few else ': all but '}N" in line


def test_sizes_of_one_n_are_told_apart_by_their_batch(study):
    for batch, link in ((4, 0.0), (8, 9e-3), (16, 9e-3)):
        study.cost("ngd-gram", 100, 3e-3, batch_size=batch)
        study.cost("tngd", 100, 1e-3, link=link, batch_size=batch)
    assert "at 1 of 3 sizes timed: N = 100, b = 4 (" in answered(study).bottom_line


@pytest.mark.parametrize("link", [0.0, 9e-3])
@pytest.mark.parametrize("sizes", [(100,), (100, 1000)])
def test_nothing_is_asserted_of_a_difference_that_no_test_was_made_of(study, link, sizes):
    for size in sizes:
        study.cost("ngd-gram", size, 3e-3, processes=1)
        study.cost("tngd", size, 1e-3, link=link, processes=1)
    line = answered(study).bottom_line
    assert "seemed to have" in line
    assert "(not tested: that takes 5 paired iterations from 3 processes)" in line


def test_a_difference_within_the_scatter_is_not_called_confirmed(study):
    for parameters in (100, 1000):
        study.cost("ngd-gram", parameters, 1e-3, spread=0.3)
        study.cost("tngd", parameters, 1e-3, spread=0.3)
    line = answered(study).bottom_line
    assert line.count("seemed to have") == 2
    assert line.count("(not confirmed)") == 2


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
        "On digits-mlp TNGD ends at 92 % test accuracy; K-FAC at 80 % (3 seeds, too few to tell)."
    )
    assert found.bold == "92 %"


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


def test_nothing_measured_is_said_and_named(study):
    found = answered(study)
    assert found.bottom_line == "Nothing was measured in this study."
    assert found.paragraphs == ()
    assert found.not_asked.count(", ") == 4


def test_what_was_measured_is_not_among_what_was_not(make_swept):
    told = "Not measured here: any claim of arXiv 2405.13817 (the study “paper” tests them)."
    assert answer(make_swept).not_asked == told


def test_a_device_known_from_below_alone_never_leads():
    records = make_records(optimizers=("sgd", "ngd-gram", "tngd"), sizes=(1_000,), training=False)
    bounded = records.trials["optimizer"] == "tngd"
    trials = records.trials.assign(
        not_stated=np.where(bounded, "write_convert", None), stated_s=np.where(bounded, 1e-9, np.nan)
    )
    own = records.costs["optimizer"] == "tngd"
    costs = records.costs.assign(
        total_s=records.costs["total_s"].where(~own),
        digital_s=records.costs["digital_s"].where(~own, 1e-9),
        overlap_s=0.0,
    )
    found = answer(Results(dataclasses.replace(records, trials=trials, costs=costs)))
    assert "device had" not in found.bottom_line
    assert "≥" in told(found, "Cost").text
    assert told(found, "What holds it back") is None


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


@pytest.mark.parametrize("optimizers", [("sgd",), ("sgd", "kfac"), ("kfac", "ngd-gram", "tngd")])
def test_an_answer_is_short_and_its_bold_numbers_are_its_own(optimizers):
    found = answer(Results(make_records(optimizers=optimizers, sizes=(1_000, 10_000))))
    words = " ".join(text for _, text in found.lines()).split()
    assert len(words) <= 160
    assert all(each.bold in each.text for each in found.paragraphs)
    sentences = re.split(r"(?<=[.])\s+(?=[A-Z])", " ".join(text for _, text in found.lines()))
    assert max(len(sentence.split()) for sentence in sentences) <= 30
    assert not re.search(r"[a-z]_[a-z]|nan", " ".join(words))


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
        "On digits-mlp TNGD ends at 50 % test accuracy; K-FAC at 90 % "
        "(5 seeds, 2 of 5 of TNGD did not finish, too few to tell)."
    )


@pytest.mark.parametrize(
    ("sure", "said"), [((False, True), ("not confirmed", "all")), ((True, False), ("confirmed", "none"))]
)
def test_what_is_confirmed_is_told_of_the_sizes_that_each_side_leads_at(study, sure, said):
    """A lead of 5 % is within what runs differ by, one of three times is not."""
    for size, ahead in ((100, True), (200, False), (300, False)):
        lead = 3.0 if sure[not ahead] else 1.05
        study.cost("ngd-gram", size, 1e-3 * (lead if ahead else 1.0 / lead))
        study.cost("tngd", size, 1e-3)
    line = answered(study).bottom_line
    device, rivals = line.removesuffix(".").split(". ")
    assert device.endswith(f"N = 100 ({said[0]})")
    assert rivals.startswith("At the 2 others a digital second-order optimizer")
    assert rivals.endswith(f"the shorter step (confirmed at {said[1]} of them)")
    assert ["seemed to have" in each for each in (device, rivals)] == [not each for each in sure]


@pytest.mark.parametrize(("links", "sizes"), [((0.0, 9e-3, 0.0), "1 of 3"), ((9e-3, 9e-3, 0.0), "2 of 3")])
def test_sizes_where_the_device_is_known_from_below_alone_are_not_passed_over(study, links, sizes):
    for size, link in zip((100, 200, 300), links, strict=True):
        study.cost("ngd-gram", size, 3e-3)
        study.cost("tngd", size, 1e-3, link=link)
    line = bounded(study, links)
    assert line.startswith(f"At {sizes} sizes timed, a digital second-order optimizer had")
    assert "elsewhere the device is known from below only, and nobody leads" in line


def test_a_device_known_from_below_alone_is_not_ranked(study):
    study.cost("ngd-gram", 100, 3e-3)
    study.cost("kfac", 100, 2e-3)
    study.cost("tngd", 100, 1e-3)
    line = bounded(study, (0.0,))
    assert line.startswith("Quickest step at N = 100, batch 4, 2 outputs, of 2 optimizers: K-FAC (1.9")
    assert "and not ranked: TNGD (≥ 1" in line


def bounded(study, links):
    """The bottom line with a device that states no time for its D/A converters, and `links` by size."""
    results = results_of(study)
    own = results.trials["optimizer"] == "tngd"
    stated = dict(zip(sorted(set(results.trials["parameters"])), links, strict=True))
    trials = results.trials.assign(
        not_stated=np.where(own, "write_convert", None),
        stated_s=results.trials["parameters"].map(stated).where(own),
    )
    costs = results.costs.assign(
        total_s=results.costs["total_s"].mask(results.costs["optimizer"] == "tngd"), overlap_s=0.0
    )
    return answer(Results(dataclasses.replace(results.records, trials=trials, costs=costs))).bottom_line


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


def test_of_several_optimizers_on_devices_the_one_that_leads_is_named(study):
    for size, paces in ((100, (1e-3, 2e-3)), (200, (2e-3, 1e-3))):
        study.cost("ngd-gram", size, 3e-3)
        for label, pace in zip(("tngd", "tngd-adam"), paces, strict=True):
            study.cost(label, size, pace)
    found = answered(study)
    assert "the quickest optimizer on a device, TNGD and TNGD-Adam, had a shorter step" in found.bottom_line
    assert told(found, "Cost").text.startswith(
        "A step at N = 200, batch 4, 2 outputs: TNGD-Adam on a device "
    )


def test_no_optimizer_on_a_device_is_left_out_where_the_digital_one_leads(study):
    for label, pace in (("ngd-gram", 1e-3), ("tngd", 3e-3), ("tngd-adam", 4e-3)):
        study.cost(label, 100, pace)
    assert "a shorter step than every optimizer on a device (confirmed)" in answered(study).bottom_line


def test_a_size_that_two_sections_time_is_one_size(study):
    for group, rivals in (("a", {"ngd-gram": 1e-4}), ("b", {"ngd-gram": 3e-3, "kfac": 2e-3})):
        for label, pace in {"tngd": 1e-3, **rivals}.items():
            study.cost(label, 100, pace, group=group)
    line = answered(study).bottom_line
    assert line.startswith("At the one size timed, TNGD had a shorter step than its quickest digital")
    assert "K-FAC" in line


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


def test_a_size_with_one_of_the_two_alone_is_not_counted_as_compared(study):
    for label, size in (("ngd-gram", 100), ("tngd", 100), ("ngd-gram", 200), ("tngd", 300)):
        study.cost(label, size, 1e-3 if label == "tngd" else 3e-3)
    assert answered(study).bottom_line.startswith("At the one size timed with both, TNGD had a shorter step")


def test_a_run_that_is_not_complete_is_said_to_be_none(study):
    study.cost("ngd-gram", 100, 3e-3)
    study.cost("tngd", 100, 1e-3)
    whole = results_of(study).records
    assert told(answer(Results(whole)), "Not complete") is None
    part = told(answer(Results(dataclasses.replace(whole, runs=6, missing=2))), "Not complete")
    assert part.text.startswith("2 of 6 processes of this study have no result yet")


def test_the_facts_name_the_processors_of_all_machines(study):
    study.cost("tngd", 100, 1e-3)
    told = " ".join(answered(study, cpu="A", mixed=["A", "B"], threads_cost=1).facts)
    assert "Digital: one thread of 2 machines (A; B), measured." in told
    told = " ".join(answered(study, cpu="A", unlike={"threads_cost": [1, 2]}, threads_cost=1).facts)
    assert "Digital: 1 or 2 threads of A, measured." in told
