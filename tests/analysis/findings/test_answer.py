"""The answer of a study against numbers worked out here from the same rows, and against formulas."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from tests.analysis.findings.test_find import COSTS, CURVES, TRIALS, Study
from tests.report.conftest import make_records
from tngd_bench.analysis.claims.verdicts import judge
from tngd_bench.analysis.findings import paragraphs
from tngd_bench.analysis.findings.answer import answer
from tngd_bench.analysis.results import Results, pooled
from tngd_bench.studies.store.records import Records


def answered(study, **environment):
    costs = pd.DataFrame(study.costs) if study.costs else pd.DataFrame(columns=COSTS)
    curves = pd.DataFrame(study.curves) if study.curves else pd.DataFrame(columns=CURVES)
    trials = pd.DataFrame(study.trials, columns=TRIALS)
    return answer(Results(Records({}, environment, trials, costs, curves, ignored={})))


def told(found, term):
    return next((each for each in found.paragraphs if each.term == term), None)


@pytest.fixture
def study():
    return Study()


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ((9e-3, 9e-3), "At all 2 sizes timed, a digital second-order optimizer had a shorter step"),
        ((0.0, 0.0), "At all 2 sizes timed, the device had the shortest second-order step"),
        ((0.0, 9e-3), "The device had the shortest second-order step at 1 of 2 sizes timed: N = 100"),
    ],
)
def test_the_bottom_line_counts_at_how_many_sizes_the_device_leads(study, links, said):
    for parameters, link in zip((100, 1000), links, strict=True):
        study.cost("sgd", parameters, 1e-6)
        study.cost("ngd-gram", parameters, 3e-3)
        study.cost("tngd", parameters, 1e-3, link=link)
    assert answered(study).bottom_line == f"{said}{' than the device' * (min(links) > 0)} " + (
        "(differences confirmed at all of them)."
    )


@pytest.mark.parametrize("winners", [(0,), (1, 2), (0, 1, 2, 3)])
def test_the_bottom_line_names_the_sizes_of_the_fewer_and_how_many_more(study, winners):
    for place, size in enumerate((100, 200, 300, 400, 500)):
        study.cost("ngd-gram", size, 3e-3)
        study.cost("tngd", size, 1e-3, link=0.0 if place in winners else 9e-3)
    line = answered(study).bottom_line
    few = len(winners) <= 2
    named = [size for place, size in enumerate((100, 200, 300, 400, 500)) if (place in winners) == few]
    assert re.findall(r"N = (\d+)", line) == [str(size) for size in named[:2]]
    assert f"at {len(winners)} of 5 sizes timed{': ' if few else ', all but '}N" in line


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
    assert answered(study).bottom_line.endswith("(differences confirmed at none of them).")


def test_cost_and_what_holds_the_device_back_are_the_medians_at_one_size(study):
    for parameters, gram in ((100, 1e-3), (1000, 5e-3)):
        study.cost("adam", parameters, 1e-4, spread=0.0)
        study.cost("kfac", parameters, 2e-3, spread=0.0)
        study.cost("ngd-gram", parameters, gram, spread=0.0)
        study.cost("tngd", parameters, 4e-3, link=8e-3, spread=0.0)
    found = answered(study)
    cost, held = told(found, "Cost"), told(found, "What holds it back")
    assert cost.text == (
        "A step at N = 1,000, batch 4, 2 outputs: device 12.0 ms, K-FAC 2.00 ms, NGD (Gram) 5.00 ms."
    )
    assert cost.pieces() == (
        "A step at N = 1,000, batch 4, 2 outputs: device ",
        "12.0 ms",
        ", K-FAC 2.00 ms, NGD (Gram) 5.00 ms.",
    )
    assert held.text == (
        "Sending data (modelled): 8.00 ms of 12.0 ms. The rest, 4.00 ms, is below NGD (Gram)'s 5.00 ms."
    )


def test_learning_names_the_device_and_the_best_other_with_what_seeds_tell(study):
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
