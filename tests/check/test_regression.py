"""The gate's statistics: against enumeration, scipy, and simulated data whose truth is known."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.check.regression import (
    CheckedMetric,
    Judgement,
    compare,
    confirm,
    mann_whitney_p,
    outcome,
    shift_interval,
)

ROOT = Path(__file__).parents[2]
SAMPLES = st.lists(st.integers(1, 6).map(float), min_size=1, max_size=5)


def timed(values, tolerance=0.07):
    return CheckedMetric("step time/x", "× SGD", "time", tuple(values), tolerance)


def exact(value, tolerance=1e-9, slack=0.0):
    return CheckedMetric("operations/x", "FLOP", "exact", (value,), tolerance, slack)


@given(SAMPLES, SAMPLES)
def test_p_is_the_share_of_all_splits_as_extreme(base, head):
    pooled = base + head
    ranks = scipy.stats.rankdata(pooled)
    mean = len(base) * (len(pooled) + 1) / 2
    observed = abs(ranks[: len(base)].sum() - mean)
    splits = [abs(sum(split) - mean) for split in itertools.combinations(ranks, len(base))]
    expected = sum(split >= observed - 1e-9 for split in splits) / len(splits)
    assert mann_whitney_p(base, head) == pytest.approx(expected)


def test_p_without_ties_is_that_of_scipy():
    generator = np.random.default_rng(0)
    for n, m in ((7, 7), (9, 12), (18, 18)):
        base, head = generator.standard_normal(n), generator.standard_normal(m) + 0.7
        expected = scipy.stats.mannwhitneyu(base, head, method="exact").pvalue
        assert mann_whitney_p(base, head) == pytest.approx(expected)


def test_six_samples_can_never_be_significant_and_seven_can():
    assert mann_whitney_p(range(1, 7), range(11, 17)) > 0.002
    assert mann_whitney_p(range(1, 8), range(11, 18)) < 0.002


def test_interval_holds_the_true_ratio_as_often_as_it_says():
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        base = np.exp(0.1 * generator.standard_normal(9))
        head = 1.2 * np.exp(0.1 * generator.standard_normal(9))
        estimate, lower, upper = shift_interval(base, head)
        assert lower <= estimate <= upper
        held += lower <= 1.2 <= upper
    # 95 % nominal; 99.9 % of binomial counts lie in between
    assert scipy.stats.binom.ppf(0.0005, 600, 0.95) <= held <= scipy.stats.binom.ppf(0.9995, 600, 0.975)


def test_interval_is_infinite_with_too_few_samples():
    assert shift_interval([1.0, 1.1], [2.0, 2.2])[1:] == (0.0, math.inf)


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        (100.0, 100.0, "ok"),
        (100.0, 101.0, "regression"),
        (100.0, 99.0, "ok"),
        (100.0, math.nan, "regression"),
        (100.0, math.inf, "regression"),
        (math.nan, 100.0, "failed"),
        (math.inf, math.inf, "ok"),
        (math.inf, 100.0, "ok"),
        (0.0, 1.0, "regression"),
        (0.0, 0.0, "ok"),
    ],
)
def test_exact_figures(base, head, verdict):
    assert compare(exact(base), exact(head)).verdict == verdict


def test_tolerance_and_slack_are_the_baselines():
    assert compare(exact(100.0, 0.02), exact(101.9, 0.0)).verdict == "ok"
    assert compare(exact(100.0, 0.02), exact(102.1)).verdict == "regression"
    assert compare(exact(20.0, 0.0, slack=1.0), exact(21.0)).verdict == "ok"
    assert compare(exact(20.0, 0.0, slack=1.0), exact(22.0)).verdict == "regression"


def test_a_gain_is_said_so_that_it_can_be_kept():
    assert "baseline update" in compare(exact(100.0), exact(50.0)).reason


def test_what_one_side_lacks_is_compared_with_nothing():
    assert compare(None, exact(1.0)).verdict == "nothing compared"
    assert compare(exact(1.0), None).verdict == "nothing compared"
    assert compare(timed([]), timed([1.0] * 9)).verdict == "nothing compared"
    assert compare(exact(1.0), timed([1.0] * 9)).verdict == "failed"
    with pytest.raises(ValueError, match="one side"):
        compare(None, None)


def spread(center, n=9, width=0.01):
    return [center * (1 + width * (k - n // 2)) for k in range(n)]


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (spread(1.005), "ok"),
        (spread(1.05), "ok"),  # significant or not: under the tolerance
        (spread(1.15), "regression"),
        (spread(0.8), "ok"),
        (spread(2.0, n=6), "inconclusive"),
        (spread(1.1, width=0.1), "inconclusive"),
        ([0.5] * 4 + [1.0] + [1.6] * 4, "inconclusive"),  # no shift, and 15 % could hide in it
        ([1.0] * 8 + [-1.0], "nothing compared"),
    ],
)
def test_times(head, verdict):
    assert compare(timed(spread(1.0)), timed(head)).verdict == verdict


class Runs:
    """Head is `slowdowns[k]` times base in run k; notes what each run was asked for."""

    def __init__(self, *slowdowns):
        self.slowdowns = list(slowdowns)
        self.asked = []

    def __call__(self, names):
        self.asked.append(list(names))
        factor = self.slowdowns[len(self.asked) - 1]
        width = 0.1 if factor == "noise" else 0.01
        center = 1.1 if factor == "noise" else factor
        base = {
            name: CheckedMetric(name, "× SGD", "time", tuple(spread(1.0, width=width)), 0.07)
            for name in names
        }
        head = {
            name: CheckedMetric(name, "× SGD", "time", tuple(spread(center, width=width)), 0.07)
            for name in names
        }
        return base, head


@pytest.mark.parametrize(
    ("slowdowns", "verdict", "runs"),
    [
        ([1.0], "ok", 1),
        ([1.2, 1.2], "regression", 2),
        ([1.2, 1.0, 1.2], "regression", 3),
        ([1.2, 1.0, 1.0], "ok", 3),
        (["noise", 1.2, 1.2], "regression", 3),
        (["noise", 1.0], "ok", 2),
        (["noise", "noise", "noise"], "inconclusive", 3),
        (["noise", "noise", 1.2], "inconclusive", 3),
        ([1.2, "noise", "noise"], "inconclusive", 3),
    ],
)
def test_a_slowdown_counts_when_two_runs_show_it(slowdowns, verdict, runs):
    measure = Runs(*slowdowns)
    (judgement,) = confirm(measure, ["step time/x"])
    assert judgement.verdict == verdict
    assert len(measure.asked) == judgement.runs == runs


def test_only_what_is_in_doubt_is_measured_again():
    asked = []

    def measure(names):
        asked.append(list(names))
        heads = {"slow": 1.3, "fine": 1.0}
        return (
            {name: timed(spread(1.0)) for name in names},
            {name: timed(spread(heads[name])) for name in names},
        )

    judged = confirm(measure, ["slow", "fine"])
    assert asked == [["slow", "fine"], ["slow"]]
    assert [one.verdict for one in judged] == ["regression", "ok"]


def test_false_alarms_are_rare_and_a_slowdown_of_15_percent_is_seen():
    # 4 % noise, and in a tenth of the samples another process's time
    generator = np.random.default_rng(3)

    def sample(center, n):
        bursts = generator.choice([1.0, 1.3], size=n, p=[0.9, 0.1])
        return tuple(center * bursts * np.exp(0.04 * generator.standard_normal(n)))

    def flagged(center):
        count = iter((9, 18, 18))

        def measure(names):
            n = next(count)
            return {"x": timed(sample(1.0, n))}, {"x": timed(sample(center, n))}

        (judgement,) = confirm(measure, ["x"])
        return judgement.verdict == "regression"

    alarms = sum(flagged(1.0) for _ in range(200))
    found = sum(flagged(1.15) for _ in range(60))
    assert alarms <= 1
    assert found >= 50


def judgement(verdict, kind="exact"):
    return Judgement("operations/x", "FLOP", kind, verdict, "")


def test_times_that_were_all_compared_with_nothing_are_not_passed_over():
    judged = [judgement("ok"), judgement("nothing compared", "time")]
    assert outcome(judged) == (3, "nothing compared")
    assert outcome([*judged, judgement("ok", "time")]) == (0, "ok")
    assert outcome([*judged, judgement("regression")]) == (1, "regression")


@pytest.mark.parametrize(
    ("verdicts", "strict", "code"),
    [
        ([], False, 3),
        (["nothing compared"], False, 3),
        (["ok"], False, 0),
        (["ok", "nothing compared"], False, 0),
        (["ok", "inconclusive"], False, 0),
        (["ok", "inconclusive"], True, 2),
        (["inconclusive"], True, 2),
        (["ok", "failed"], False, 2),
        (["ok", "failed", "regression"], False, 1),
        (["inconclusive", "regression"], True, 1),
    ],
)
def test_exit_codes(verdicts, strict, code):
    assert outcome([judgement(verdict) for verdict in verdicts], strict=strict)[0] == code


@pytest.mark.parametrize("strict", [False, True])
def test_the_verdict_on_the_whole_is_as_the_schema_says(strict):
    """Every set of verdicts, by the sentence of docs/check.schema.json written out anew."""
    schema = json.loads((ROOT / "docs" / "check.schema.json").read_text())
    told = schema["properties"]["verdict"]["description"].partition(" of ")[2].partition(".")[0]
    order = told.split(", ")
    assert sorted(order) == sorted(schema["$defs"]["verdict"]["enum"])
    for number in range(1, len(order) + 1):
        for verdicts in itertools.combinations(order, number):
            left = [
                each
                for each in order
                if each in verdicts
                and (each != "nothing compared" or number == 1)  # one kind of figure, another was compared
                and (each != "inconclusive" or strict or "ok" not in verdicts)
            ]
            assert outcome([judgement(each) for each in verdicts], strict=strict)[1] == left[0]


PROCESS, WITHIN = 0.06, 0.02
"""Spread of log seconds between processes, as where memory lies differs, and within one."""


def _flagged(seed, *, slower=1.0, processes=9):
    """Whether a step is called a regression: first samples of one process a side, then a median each of several."""
    generator = np.random.default_rng(seed)
    runs = iter([1, processes, processes])

    def side(factor, count):
        shifts = PROCESS * generator.standard_normal((count, 1))
        samples = factor * np.exp(shifts + WITHIN * generator.standard_normal((count, 9)))
        return samples[0] if count == 1 else np.median(samples, axis=1)

    def measure(names):
        count = next(runs)
        base, head = side(1.0, count), side(slower, count)
        return {"step time/x": timed(base)}, {"step time/x": timed(head)}

    (judgement,) = confirm(measure, ["step time/x"])
    return judgement.verdict == "regression"


def test_processes_that_differ_are_no_slowdown_where_the_process_is_the_unit():
    assert not any(_flagged(seed) for seed in range(60))
    # the samples of one process a run, however many, say nothing on the tree
    assert sum(_flagged(seed, processes=1) for seed in range(60)) >= 2
    assert sum(_flagged(seed, slower=1.3) for seed in range(20)) >= 5


@pytest.mark.slow(reason="4,000 simulated comparisons")
def test_processes_that_differ_are_flagged_at_the_rate_that_the_gate_states():
    number, bar = 4_000, 0.01
    false = sum(_flagged(seed) for seed in range(number))
    assert scipy.stats.binomtest(false, number, bar, alternative="greater").pvalue > 1e-3
    single = sum(_flagged(seed, processes=1) for seed in range(number))
    assert scipy.stats.binomtest(single, number, bar, alternative="greater").pvalue < 1e-6
