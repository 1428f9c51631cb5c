"""The bottom line of a study against numbers worked out here from the same rows, and against formulas."""

import dataclasses
import re

import numpy as np
import pytest

from tests.analysis.findings.rows import answered, results_of, told
from tests.report.conftest import make_records
from tngd_bench.analysis.findings.answer import answer
from tngd_bench.analysis.results import Results

ONLY = "a shorter step than its only digital second-order rival, NGD (Gram)"


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


def test_nothing_measured_is_said_and_named(study):
    found = answered(study)
    assert found.bottom_line == "Nothing was measured in this study."
    assert found.paragraphs == ()
    assert found.not_asked.count(", ") == 4


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


@pytest.mark.parametrize("optimizers", [("sgd",), ("sgd", "kfac"), ("kfac", "ngd-gram", "tngd")])
def test_an_answer_is_short_and_its_bold_numbers_are_its_own(optimizers):
    found = answer(Results(make_records(optimizers=optimizers, sizes=(1_000, 10_000))))
    words = " ".join(text for _, text in found.lines()).split()
    assert len(words) <= 160
    assert all(each.bold in each.text for each in found.paragraphs)
    sentences = re.split(r"(?<=[.])\s+(?=[A-Z])", " ".join(text for _, text in found.lines()))
    assert max(len(sentence.split()) for sentence in sentences) <= 30
    assert not re.search(r"[a-z]_[a-z]|nan", " ".join(words))


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


def test_a_size_at_which_pairs_and_medians_tell_different_orders_is_named(study):
    for size, seconds in ((130, 1.03e-3), (200, 5e-3)):
        study.cost("ngd-gram", size, 1e-3, spread=0.5)
        study.cost("tngd", size, seconds, spread=0.5)
    costs = results_of(study).costs
    costs = costs[costs["parameters"] == 130].pivot_table("total_s", ["process", "repetition"], "optimizer")
    by_pairs = (costs["tngd"] / costs["ngd-gram"]).median() < 1.0
    by_medians = costs["tngd"].median() < costs["ngd-gram"].median()
    assert by_pairs != by_medians
    assert "; the medians at 1 size tell the other order)." in answered(study).bottom_line


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
    for group, rivals in (("a", {"ngd-gram": 3e-3}), ("b", {"ngd-gram": 3e-3, "kfac": 2e-3})):
        for label, pace in {"tngd": 1e-3, **rivals}.items():
            study.cost(label, 100, pace, group=group)
    line = answered(study).bottom_line
    assert line.startswith("At the one size timed, TNGD had a shorter step than its quickest digital")
    assert "K-FAC" in line


@pytest.mark.parametrize("groups", ["ab", "ba"])
def test_a_device_does_not_lead_where_another_section_timed_a_quicker_rival(study, groups):
    """As in a sample whose line named a device at a size at which K-FAC, in another section, took half its time."""
    for group, rivals in zip(groups, ({"ngd-cg": 3e-3}, {"kfac": 0.5e-3}), strict=True):
        for label, pace in {"sgd": 1e-6, "tngd": 1e-3, **rivals}.items():
            study.cost(label, 100, pace, group=group)
    line = answered(study).bottom_line
    assert line == (
        "At the one size timed, a digital second-order optimizer had a shorter step than TNGD (confirmed)."
    )


def test_what_no_section_timed_together_is_to_be_measured_next(study):
    study.cost("kfac", 100, 0.5e-3, group="a")
    study.cost("tngd", 100, 1e-3, group="b")
    found = answered(study)
    assert "seemed to have a shorter step than TNGD (not tested" in found.bottom_line
    assert told(found, "Measure next").text == (
        "one cost section with K-FAC and TNGD at N = 100: no section timed both."
    )


def test_a_size_with_one_of_the_two_alone_is_not_counted_as_compared(study):
    for label, size in (("ngd-gram", 100), ("tngd", 100), ("ngd-gram", 200), ("tngd", 300)):
        study.cost(label, size, 1e-3 if label == "tngd" else 3e-3)
    assert answered(study).bottom_line.startswith("At the one size timed with both, TNGD had a shorter step")


def test_the_facts_name_the_processors_of_all_machines(study):
    study.cost("tngd", 100, 1e-3)
    told = " ".join(answered(study, cpu="A", mixed=["A", "B"], threads_cost=1).facts)
    assert "Digital: one thread of 2 machines (A; B), measured." in told
    told = " ".join(answered(study, cpu="A", unlike={"threads_cost": [1, 2]}, threads_cost=1).facts)
    assert "Digital: 1 or 2 threads of A, measured." in told


def test_a_study_of_sweeps_alone_says_that_its_device_is_modelled(study):
    for level in (4.0, 8.0):
        study.train("tngd", [0.1] * 5, sweep="adc_bits", level=level)
    assert "Device: paper, modelled, not built." in answered(study).facts
