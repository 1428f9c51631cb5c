"""Leads told together, against scipy's test and against the rate of error on data of known truth."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from benchmarks.known_truth_times import EQUAL, KINDS, NAMES, timed
from tngd_bench.analysis.cost.across_sections import ratio_in_sections
from tngd_bench.analysis.cost.iteration_cost import paired_quotients, paired_ratio
from tngd_bench.analysis.cost.leads import AMONG_MANY, JudgedLead, Lead, duel, leads, together
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.statistics.run_spread import RunSpread
from tngd_bench.studies.plan.enough_processes import LEVEL

QUIET_RUN = RunSpread(1e-9, "none")


def costs(seed, logs, processes=5, noise=0.05):
    return timed(np.random.default_rng(seed), logs, processes, noise=noise)


@pytest.mark.parametrize("processes", [3, 5])
def test_the_p_value_is_that_of_students_test_over_processes_and_agrees_with_the_interval(processes):
    decided = 0
    for seed in range(30):
        part = costs(seed, {"a": 0.03, "b": 0.0}, processes)
        ratio = paired_ratio(part, "a", "b")
        logs = [np.log(np.median(block)) for block in paired_quotients(part, "a", "b")]
        assert ratio.p == pytest.approx(stats.ttest_1samp(logs, 0.0).pvalue, rel=1e-9)
        low, high = stats.t.interval(0.95, processes - 1, np.mean(logs), stats.sem(logs))
        assert (ratio.p <= 0.05) == (low > 0 or high < 0)
        decided += ratio.p <= 0.05
    assert 0 < decided < 30


def test_an_interval_of_a_stopped_section_and_its_p_value_agree():
    for seed in range(30):
        ratio = paired_ratio(costs(seed, {"a": 0.03, "b": 0.0}).assign(precision=0.1), "a", "b")
        assert (ratio.p <= 0.05) == ratio.decided


def lead_of(p, choices=1):
    """A lead far beyond the run-to-run spread, of that p-value."""
    ratio = dataclasses.replace(paired_ratio(costs(0, {"a": 1.0, "b": 0.0}), "a", "b"), p=p)
    return Lead(1000, "b", "a", ratio, QUIET_RUN, choices)


def test_leads_told_together_are_corrected_by_holm_and_for_the_choice_of_the_quickest():
    told = together([lead_of(p) for p in (0.01, 0.04, 0.02)])
    assert [lead.adjusted_p for lead in told] == pytest.approx([0.03, 0.04, 0.04])
    assert all(not lead.doubt for lead in told)
    told = together([lead_of(0.01), lead_of(0.04), lead_of(0.03)])
    assert [lead.doubt for lead in told] == ["", AMONG_MANY, AMONG_MANY]
    (alone,) = together([lead_of(0.02, choices=3)])
    assert (alone.adjusted_p, alone.doubt) == (pytest.approx(0.06), AMONG_MANY)
    assert together([]) == ()


def test_a_lead_told_alone_is_confirmed_as_before():
    for seed in range(20):
        (lead,) = together(leads(costs(seed, {"ngd-gram": 0.03, "kfac": 0.0}), KINDS, QUIET_RUN))
        assert (lead.doubt == "") == lead.ratio.decided


def test_a_duel_counts_of_how_many_its_first_is_the_quickest():
    ahead = {**dict.fromkeys(NAMES, 1.0), "tngd": 0.0}
    device, lead = duel([costs(0, ahead)], KINDS)
    assert (device, lead.optimizer, lead.choices) == ("tngd", "tngd", 1)
    _, lead = duel([costs(0, {**dict.fromkeys(NAMES, 0.0), "tngd": 1.0})], KINDS)
    assert (lead.runner_up, lead.choices) == ("tngd", 4)
    assert duel([costs(0, {"kfac": 0.0, "ngd-cg": 0.0})], KINDS) is None
    assert duel([costs(0, EQUAL)], dict.fromkeys(EQUAL, KINDS["tngd"])) is None


def test_true_leads_are_confirmed_at_many_sizes():
    true = {**dict.fromkeys(NAMES, 1.0), "kfac": 0.0}
    told = together([duel([costs(seed, true)], KINDS)[1] for seed in range(12)])
    assert [lead.doubt for lead in told] == [""] * 12


def test_a_lead_has_no_verdict_before_it_is_told_together_with_the_others():
    lead = lead_of(0.04)
    assert not hasattr(lead, "doubt")
    assert isinstance(lead, Lead)
    first, _ = together([lead, lead])
    assert (type(first), first.doubt) == (JudgedLead, AMONG_MANY)
    with pytest.raises(TypeError, match="adjusted_p"):
        JudgedLead(1000, "b", "a", lead.ratio)


def section(seed, logs, speed=0.0):
    """One section's timings of `logs`, on a machine that was slower by `speed` in its hour."""
    shifted = {label: log + speed for label, log in logs.items()}
    own = costs(seed, shifted)
    return own.assign(method=own["optimizer"])


def test_a_rival_that_another_section_timed_counts_whatever_the_hour_did():
    """Known truth: K-FAC is twice as quick as every device, and CG, beside one of them, half as quick."""
    for speed in (-0.3, 0.0, 0.3):
        full = section(1, {"sgd": -3.0, "kfac": -0.7, "tngd": 0.05}, speed)
        without = section(2, {"sgd": -3.0, "ngd-cg": 0.7, "tngd[analog_time=5]": 0.0})
        known = KINDS | {"sgd": optimizer_info("sgd", "sgd")}
        known |= {"tngd[analog_time=5]": optimizer_info("tngd[analog_time=5]", "tngd")}
        for sections in ((full, without), (without, full)):
            device, lead = duel(sections, known)
            (told,) = together([lead])
            assert (device, told.optimizer, told.doubt) == (lead.runner_up, "kfac", "")
            true = 0.7 if lead.runner_up == "tngd[analog_time=5]" else 0.75
            assert np.log(lead.ratio.low) <= true <= np.log(lead.ratio.high)


@pytest.mark.parametrize("order", [1, -1])
def test_a_device_that_leads_is_the_quickest_though_a_slower_one_met_the_rival_in_pairs(order):
    """Known truth: both devices are ahead of K-FAC, the one of another section the more so."""
    one = section(1, {"sgd": -3.0, "tngd": -1.0})
    other = section(2, {"sgd": -3.0, "tngd-adam": -0.5, "kfac": 0.0})
    known = KINDS | {name: optimizer_info(name, name) for name in ("sgd", "tngd-adam")}
    device, lead = duel([one, other][::order], known)
    assert (device, lead.optimizer, lead.runner_up) == ("tngd", "tngd", "kfac")
    assert np.log(lead.ratio.low) <= 1.0 <= np.log(lead.ratio.high)


def test_a_lead_by_pairs_says_where_the_medians_tell_the_other_order():
    """Against numpy's median of the totals of each: noise is as large as the difference, so that both happen."""
    seen = set()
    for seed in range(60):
        own = costs(seed, {"kfac": 0.0, "tngd": 0.05}, processes=2, noise=0.5)
        _, lead = duel([own], KINDS)
        middle = {label: np.median(part["total_s"]) for label, part in own.groupby("optimizer")}
        assert lead.crossed == (lead.optimizer != min(middle, key=middle.get))
        seen.add(lead.crossed)
    assert seen == {True, False}


def test_two_that_met_neither_each_other_nor_one_sgd_are_compared_by_medians_and_untested():
    known = KINDS | {"sgd": optimizer_info("sgd", "sgd")}
    apart = section(1, {"kfac": -0.7}), section(2, {"ngd-cg": 0.7, "tngd": 0.0})
    _, lead = duel(apart, known)
    assert (lead.optimizer, lead.runner_up, lead.ratio) == ("kfac", "tngd", None)
    assert together([lead])[0].doubt == "untested"
    # where the quickest rival beside the device is ahead of it too, that pair decides
    near = section(1, {"kfac": -0.7}), section(2, {"ngd-cg": -0.5, "tngd": 0.0})
    _, lead = duel(near, known)
    assert (lead.optimizer, lead.runner_up, together([lead])[0].doubt) == ("ngd-cg", "tngd", "")


def test_the_ratio_across_sections_is_welchs_and_paired_sections_are_pooled():
    one, other = section(1, {"sgd": -3.0, "a": 0.0}), section(2, {"sgd": -3.0, "b": 0.2}, 0.4)
    found = ratio_in_sections([one, other], "b", "a")
    logs = [
        [np.log(np.median(block)) for block in paired_quotients(part, label, "sgd")]
        for part, label in ((other, "b"), (one, "a"))
    ]
    welch = stats.ttest_ind(*logs, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    interval = welch.confidence_interval(0.95)
    assert np.log([found.low, found.high]) == pytest.approx([interval.low, interval.high])
    both = [section(seed, {"a": 0.0, "b": 0.2}) for seed in (3, 4)]
    pooled = ratio_in_sections(both, "b", "a")
    assert (pooled.processes, pooled.pairs) == (10, 70)
    logs = [np.log(np.median(block)) for part in both for block in paired_quotients(part, "b", "a")]
    assert pooled.p == pytest.approx(stats.ttest_1samp(logs, 0.0).pvalue)


def test_one_section_that_a_precision_stopped_widens_the_interval_across_sections():
    one, other = section(1, {"sgd": -3.0, "a": 0.0}), section(2, {"sgd": -3.0, "b": 0.2})
    fixed = ratio_in_sections([one, other], "b", "a")
    logs = [
        [np.log(np.median(block)) for block in paired_quotients(part, label, "sgd")]
        for part, label in ((other, "b"), (one, "a"))
    ]
    interval = stats.ttest_ind(*logs, equal_var=False).confidence_interval(LEVEL)
    for stopped in ([one.assign(precision=0.1), other], [one, other.assign(precision=0.1)]):
        found = ratio_in_sections(stopped, "b", "a")
        assert np.log([found.low, found.high]) == pytest.approx([interval.low, interval.high])
        assert found.low < fixed.low < fixed.high < found.high
        assert found.p > fixed.p


def test_of_two_equals_in_two_sections_one_in_twenty_differs_in_ratio():
    wrong, studies = 0, 300
    for seed in range(studies):
        one = section(2 * seed, {"sgd": -3.0, "a": 0.0}, 0.2)
        other = section(2 * seed + 1, {"sgd": -3.0, "b": 0.0})
        wrong += ratio_in_sections([one, other], "b", "a").decided
    assert wrong <= stats.binom.ppf(0.999, studies, 0.05)


def test_pairs_decide_who_leads_where_an_hour_was_slow_for_one_of_two():
    """Known truth: K-FAC takes nine tenths of the time; the last processes, three times as slow, timed it alone."""
    both = costs(0, {"kfac": np.log(0.9), "ngd-gram": 0.0}, noise=0.01)
    slow = both.assign(total_s=both["total_s"].where(both["process"] < 2, 3.0 * both["total_s"]))
    stopped = slow[(slow["optimizer"] == "kfac") | (slow["process"] < 3)]
    medians = stopped.groupby("optimizer")["total_s"].median()
    assert medians["kfac"] > medians["ngd-gram"]
    (lead,) = leads(stopped, KINDS, QUIET_RUN)
    assert (lead.optimizer, lead.runner_up) == ("kfac", "ngd-gram")
    assert lead.ratio.low <= 1.0 / 0.9 <= lead.ratio.high
