import math

import numpy as np
import pytest

from tests.analysis.training_runs import decay, outcome, runs
from tngd_bench.analysis.claims import training_tests
from tngd_bench.analysis.results import Results

EARLY = {"first": "a", "rivals": ["b"], "value": "early-loss", "clock": "iteration", "share": 0.2}


@pytest.mark.parametrize(
    ("rate", "expected"), [(3.0, (True, True)), (0.5, (False, True))], ids=["confirmed", "refuted"]
)
def test_a_lower_loss_on_every_seed_decides(rate, expected):
    finding = training_tests.better(runs({"a": decay(rate), "b": decay(1.5)}), EARLY)
    assert outcome(finding) == [expected]
    assert finding.numbers["iterations"] == 400
    assert len(finding.keys) == 10


def test_seeds_that_disagree_and_too_few_seeds_decide_nothing():
    mixed = {"a": lambda i, seed: decay(1.5 + (0.5 if seed % 2 else -0.5))(i, seed), "b": decay(1.5)}
    assert outcome(training_tests.better(runs(mixed), EARLY)) == [(False, False)]
    few = training_tests.better(runs({"a": decay(3.0), "b": decay(1.5)}, seeds=4), EARLY)
    assert few.parts == ()
    assert few.missing == "against b: 4 paired seeds, 5 needed"


def test_the_clock_decides_what_early_means():
    # a is lower at the same iteration, but each of its iterations takes five times as long
    pool = runs({"a": (decay(3.0), 5e-3, lambda seed: 0.9), "b": (decay(2.0), 1e-3, lambda seed: 0.9)})
    assert outcome(training_tests.better(pool, EARLY)) == [(True, True)]
    assert outcome(training_tests.better(pool, {**EARLY, "clock": "modelled_s"})) == [(False, True)]


def test_an_accuracy_is_better_where_it_is_higher_and_a_missing_rival_is_named():
    pool = runs(
        {"a": (decay(1), 1e-3, lambda seed: 0.9 + 0.01 * seed), "b": (decay(1), 1e-3, lambda seed: 0.88)}
    )
    finding = training_tests.better(
        pool, {"first": "a", "rivals": ["b", "c"], "value": "final_test_accuracy"}
    )
    assert outcome(finding) == [(True, True)]
    assert finding.missing == "against c: c was not run"
    turned = training_tests.better(pool, {"first": "b", "rivals": ["a"], "value": "final_test_accuracy"})
    assert outcome(turned) == [(False, True)]


def test_a_diverged_run_loses():
    pool = runs({"a": (decay(1), 1e-3, lambda seed: 0.5), "b": (decay(1), 1e-3, lambda seed: 0.9)})
    trials = pool.trials.copy()
    trials.loc[trials["optimizer"] == "b", "status"] = "diverged"
    finding = training_tests.better(
        Results.of(trials, pool.costs, pool.curves),
        {"first": "a", "rivals": ["b"], "value": "final_test_accuracy"},
    )
    assert outcome(finding) == [(True, True)]


def test_variants_are_judged_one_by_one():
    pool = runs({"a": decay(3.0), "b": decay(1.0), "n": decay(2.0)})
    finding = training_tests.each_better(pool, {"firsts": ["a", "b"], "seconds": ["n"], "value": "mean-loss"})
    assert outcome(finding) == [(True, True), (False, True)]


@pytest.mark.parametrize(
    ("without", "expected"),
    [(1.0, (True, True)), (3.0, (False, False)), (4.0, (False, True))],
    ids=["the variation helps", "it does nothing", "it harms"],
)
def test_a_variant_is_credited_only_with_what_it_adds(without, expected):
    nothing = without == 3.0
    plain = (
        (lambda i, seed: decay(3.0)(i, seed) * (1.001 if seed % 2 else 0.999)) if nothing else decay(without)
    )
    pool = runs({"v": decay(3.0), "plain": plain, "n": decay(1.0)})
    finding = training_tests.each_better(
        pool, {"firsts": ["v"], "seconds": ["n", "plain"], "value": "mean-loss"}
    )
    assert outcome(finding) == [(True, True), expected]
    assert [part.what for part in finding.parts] == ["v against n", "v against plain"]


CLOSE = {"first": "a", "second": "b", "tolerance": 0.05}


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.03, (True, True)), (1.2, (False, True))], ids=["confirmed", "refuted"]
)
def test_two_losses_are_close_within_the_tolerance_or_not(factor, expected):
    pool = runs({"a": lambda i, seed: factor * decay(1)(i, seed), "b": decay(1)})
    finding = training_tests.close(pool, CLOSE)
    assert outcome(finding) == [expected]
    assert finding.numbers["median"] == pytest.approx(factor - 1, abs=1e-9)


def test_a_run_that_diverges_beside_one_that_ends_is_not_close():
    pool = runs({"a": decay(1), "b": decay(1)})
    trials = pool.trials.copy()
    trials.loc[trials["key"].isin([f"a#{seed}" for seed in range(5)]), "status"] = "diverged"
    finding = training_tests.close(Results.of(trials, pool.costs, pool.curves), CLOSE)
    assert outcome(finding) == [(False, True)]
    assert finding.parts[0].text.startswith("all diverged (5 seeds)")
    trials.loc[trials["key"] == "a#0", "status"] = "ok"
    (part,) = training_tests.close(Results.of(trials, pool.costs, pool.curves), CLOSE).parts
    assert (part.holds, part.decided) == (False, False)
    assert "4 of them diverged" in part.text


def test_close_on_some_seeds_only_is_undecided():
    pool = runs({"a": lambda i, seed: (1.2 if seed else 1.0) * decay(1)(i, seed), "b": decay(1)})
    assert outcome(training_tests.close(pool, CLOSE)) == [(False, False)]


def test_each_step_of_a_series_must_come_closer():
    factors = {"t5": 1.4, "t10": 1.2, "t50": 1.25, "ngd": 1.0}
    pool = runs({name: (lambda i, seed, f=f: f * decay(1)(i, seed)) for name, f in factors.items()})
    # the same distance on every seed of a step would tie in rank only, not in sign: each seed decides
    finding = training_tests.closer(pool, {"series": ["t5", "t10", "t50"], "second": "ngd"})
    assert outcome(finding) == [(True, True), (False, True)]


def test_two_that_diverged_on_a_seed_are_as_far_as_each_other():
    pool = runs({"t5": decay(1.4), "t10": decay(1.2), "ngd": decay(1)}, seeds=6)
    lost = pool.trials["key"].isin(["t5#0", "t10#0"])
    trials = pool.trials.assign(status=pool.trials["status"].mask(lost, "diverged"))
    finding = training_tests.closer(
        Results.of(trials, pool.costs, pool.curves), {"series": ["t5", "t10"], "second": "ngd"}
    )
    assert outcome(finding) == [(True, True)]
    assert "closer in 5 of 6 seeds" in finding.parts[0].text


def test_a_step_of_too_few_seeds_is_not_judged_and_close_needs_five():
    four = runs({"t5": decay(1.2), "t10": decay(1.1), "ngd": decay(1)}, seeds=4)
    finding = training_tests.closer(four, {"series": ["t5", "t10"], "second": "ngd"})
    assert (finding.parts, finding.missing) == ((), "t10 closer than t5: 4 paired seeds, 5 needed")
    two = training_tests.close(runs({"a": decay(1), "b": decay(1)}, seeds=2), CLOSE)
    assert (two.parts, two.missing) == ((), "a and b: 2 paired seeds, 5 needed")


def test_runs_that_did_not_finish_are_named_beside_the_number():
    pool = runs({"a": decay(3.0), "b": decay(1.5)})
    trials = pool.trials.copy()
    trials.loc[trials["key"] == "b#2", "status"] = "diverged"
    (part,) = training_tests.better(Results.of(trials, pool.costs, pool.curves), EARLY).parts
    assert part.holds
    assert "better in 5 of 5 seeds" in part.text
    assert part.text.endswith("1 of 5 runs of b did not finish")


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.0, (False, True)), (0.004, (False, True)), (0.01, (True, True))]
)
def test_an_accuracy_may_be_lower_by_less_than_the_margin(margin, expected):
    pool = runs({"a": (decay(1), 1e-3, lambda seed: 0.895), "b": (decay(1), 1e-3, lambda seed: 0.9)})
    claimed = {"first": "a", "rivals": ["b"], "value": "final_test_accuracy", "margin": margin}
    finding = training_tests.better(pool, claimed)
    assert outcome(finding) == [expected]
    assert "difference −0.5" in finding.parts[0].text
    assert ("worse by less than 1 point," in finding.rule) == (margin == 0.01)


REACH = {"first": "a", "rivals": ["b"], "value": "reach-loss", "level": 1.0, "clock": "iteration"}


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.0, (False, True)), (0.1, (False, True)), (0.4, (True, True))]
)
def test_a_loss_is_reached_when_its_moving_average_is(margin, expected):
    """By hand: the mean of the 50 losses 2 e^(−ri/400) up to i is at most 1 first at this i."""
    rates = {"a": 1.2, "b": 1.5}
    pool = runs(
        {name: (lambda i, seed, r=rate: 2 * np.exp(-r * i / 400)) for name, rate in rates.items()}, noise=0
    )
    finding = training_tests.better(pool, {**REACH, "margin": margin})
    assert outcome(finding) == [expected]
    for name, rate in rates.items():
        losses = [2 * math.exp(-rate * i / 400) for i in range(1, 401)]
        first = next(i for i in range(50, 401) if sum(losses[i - 50 : i]) / 50 <= 1.0)
        assert finding.numbers[f"against b, {name}"] == first


def test_a_loss_that_is_never_reached_loses_and_one_without_a_clock_is_not_compared():
    pool = runs({"a": decay(0.1), "b": decay(3.0)})
    assert outcome(training_tests.better(pool, REACH)) == [(False, True)]
    both = training_tests.better(runs({"a": decay(0.1), "b": decay(0.2)}), REACH)
    assert outcome(both) == [(False, False)]
    untimed = Results.of(pool.trials, pool.costs, pool.curves.assign(modelled_s=np.nan))
    finding = training_tests.better(untimed, {**REACH, "clock": "modelled_s"})
    assert (finding.parts, finding.missing) == ((), "against b: 0 paired seeds, 5 needed")
