import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis import claim_training
from tngd_bench.analysis.claims import Pool

ITERATIONS = np.arange(0, 401)


def runs(optimizers, seeds=5, *, noise=0.02, seconds=1e-3):
    """Training records: `optimizers` maps a label to loss(iteration, seed), or to (loss, seconds, accuracy)."""
    trials, curves = [], []
    for optimizer, given in optimizers.items():
        loss, pace, accuracy = given if isinstance(given, tuple) else (given, seconds, lambda seed: 0.9)
        for seed in range(seeds):
            key = f"{optimizer}#{seed}"
            generator = np.random.default_rng(seed)  # the same batches for every optimizer of a seed
            values = loss(ITERATIONS, seed) * np.exp(noise * generator.standard_normal(len(ITERATIONS)))
            common = {"key": key, "group": "training", "problem": "p", "parameters": 10, "batch_size": 4}
            common |= {"optimizer": optimizer, "method": optimizer, "seed": seed, "sweep_parameter": None}
            trials.append({**common, "kind": "training", "status": "ok", "sweep_value": np.nan})
            frame = pd.DataFrame({**common, "iteration": ITERATIONS, "loss": values})
            frame.loc[0, "loss"] = np.nan
            frame["train_loss"] = frame["loss"]
            frame["train_accuracy"] = np.nan
            frame["test_loss"] = np.nan
            frame["test_accuracy"] = accuracy(seed)
            frame["modelled_s"] = pace * frame["iteration"]
            curves.append(frame.assign(measured_s=frame["modelled_s"]))
    return Pool(pd.DataFrame(trials), pd.DataFrame(), pd.concat(curves, ignore_index=True))


def decay(rate, start=2.0):
    """A loss that falls exponentially, a little differently for each seed."""
    return lambda iteration, seed: start * np.exp(-rate * iteration / 400) * (1 + 0.1 * seed)


def outcome(finding):
    return [(part.holds, part.decided) for part in finding.parts]


EARLY = {"first": "a", "rivals": ["b"], "value": "early-loss", "clock": "iteration", "share": 0.2}


@pytest.mark.parametrize(
    ("rate", "expected"), [(3.0, (True, True)), (0.5, (False, True))], ids=["confirmed", "refuted"]
)
def test_a_lower_loss_on_every_seed_decides(rate, expected):
    finding = claim_training.better(runs({"a": decay(rate), "b": decay(1.5)}), EARLY)
    assert outcome(finding) == [expected]
    assert finding.numbers["iterations"] == 400
    assert len(finding.keys) == 10


def test_seeds_that_disagree_and_too_few_seeds_decide_nothing():
    mixed = {"a": lambda i, seed: decay(1.5 + (0.5 if seed % 2 else -0.5))(i, seed), "b": decay(1.5)}
    assert outcome(claim_training.better(runs(mixed), EARLY)) == [(False, False)]
    few = runs({"a": decay(3.0), "b": decay(1.5)}, seeds=4)
    assert outcome(claim_training.better(few, EARLY)) == [(False, False)]


def test_the_clock_decides_what_early_means():
    # a is lower at the same iteration, but each of its iterations takes five times as long
    pool = runs({"a": (decay(3.0), 5e-3, lambda seed: 0.9), "b": (decay(2.0), 1e-3, lambda seed: 0.9)})
    assert outcome(claim_training.better(pool, EARLY)) == [(True, True)]
    assert outcome(claim_training.better(pool, {**EARLY, "clock": "modelled_s"})) == [(False, True)]


def test_an_accuracy_is_better_where_it_is_higher_and_a_missing_rival_is_named():
    pool = runs(
        {"a": (decay(1), 1e-3, lambda seed: 0.9 + 0.01 * seed), "b": (decay(1), 1e-3, lambda seed: 0.88)}
    )
    finding = claim_training.better(
        pool, {"first": "a", "rivals": ["b", "c"], "value": "final_test_accuracy"}
    )
    assert outcome(finding) == [(True, True)]
    assert finding.missing == "not run beside a: c"
    turned = claim_training.better(pool, {"first": "b", "rivals": ["a"], "value": "final_test_accuracy"})
    assert outcome(turned) == [(False, True)]


def test_a_diverged_run_loses():
    pool = runs({"a": (decay(1), 1e-3, lambda seed: 0.5), "b": (decay(1), 1e-3, lambda seed: 0.9)})
    trials = pool.trials.copy()
    trials.loc[trials["optimizer"] == "b", "status"] = "diverged"
    finding = claim_training.better(
        Pool(trials, pool.costs, pool.curves), {"first": "a", "rivals": ["b"], "value": "final_test_accuracy"}
    )
    assert outcome(finding) == [(True, True)]


def test_variants_are_judged_one_by_one():
    pool = runs({"a": decay(3.0), "b": decay(1.0), "n": decay(2.0)})
    finding = claim_training.any_better(pool, {"firsts": ["a", "b"], "second": "n", "value": "mean-loss"})
    assert outcome(finding) == [(True, True), (False, True)]


@pytest.mark.parametrize(
    ("pace", "expected"), [(2e-3, (True, True)), (5e-3, (False, True))], ids=["confirmed", "refuted"]
)
def test_a_time_ratio_lies_in_its_range_or_not(pace, expected):
    pool = runs({"a": (decay(1), pace, lambda seed: 0.9), "b": decay(1)})
    finding = claim_training.time_ratio(pool, {"first": "a", "second": "b", "low": 1.333, "high": 3.0})
    assert outcome(finding) == [expected]
    assert finding.numbers["ratio"] == pytest.approx(pace / 1e-3)


def test_a_time_ratio_across_the_bound_is_undecided_and_one_alone_is_not_tested():
    pool = runs({"a": decay(1), "b": decay(1)})
    curves = pool.curves.copy()
    for seed, factor in enumerate([1.0, 1.2, 1.5, 2.0, 2.5]):
        curves.loc[(curves["optimizer"] == "a") & (curves["seed"] == seed), "modelled_s"] *= factor
    finding = claim_training.time_ratio(
        Pool(pool.trials, pool.costs, curves), {"first": "a", "second": "b", "low": 1.333, "high": 3.0}
    )
    assert outcome(finding) == [(False, False)]
    alone = claim_training.time_ratio(
        runs({"a": decay(1)}), {"first": "a", "second": "b", "low": 1, "high": 3}
    )
    assert alone.parts == ()


CLOSE = {"first": "a", "second": "b", "tolerance": 0.05}


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.03, (True, True)), (1.2, (False, True))], ids=["confirmed", "refuted"]
)
def test_two_losses_are_close_within_the_tolerance_or_not(factor, expected):
    pool = runs({"a": lambda i, seed: factor * decay(1)(i, seed), "b": decay(1)})
    finding = claim_training.close(pool, CLOSE)
    assert outcome(finding) == [expected]
    assert finding.numbers["median"] == pytest.approx(factor - 1, abs=1e-9)


def test_close_on_some_seeds_only_is_undecided():
    pool = runs({"a": lambda i, seed: (1.2 if seed else 1.0) * decay(1)(i, seed), "b": decay(1)})
    assert outcome(claim_training.close(pool, CLOSE)) == [(False, False)]


def test_each_step_of_a_series_must_come_closer():
    factors = {"t5": 1.4, "t10": 1.2, "t50": 1.25, "ngd": 1.0}
    pool = runs({name: (lambda i, seed, f=f: f * decay(1)(i, seed)) for name, f in factors.items()})
    # the same distance on every seed of a step would tie in rank only, not in sign: each seed decides
    finding = claim_training.closer(pool, {"series": ["t5", "t10", "t50"], "second": "ngd"})
    assert outcome(finding) == [(True, True), (False, True)]


def memory_pool(advantages, controls):
    made = {}
    for damping, advantage in advantages.items():
        made[f"n{damping}"] = decay(1)
        made[f"s{damping}"] = lambda i, seed, f=advantage: f * decay(1)(i, seed)
        made[f"c{damping}"] = lambda i, seed, f=controls[damping]: f * decay(1)(i, seed)
    return runs(made)


MEMORY = {
    **{
        key: [f"{mark}0.01", f"{mark}1"]
        for key, mark in (("series", "s"), ("references", "n"), ("controls", "c"))
    },
    "value": "mean-loss",
    "tolerance": 0.05,
}


@pytest.mark.parametrize(
    ("advantages", "controls", "expected"),
    [
        ({0.01: 0.7, 1: 1.0}, {0.01: 1.1, 1: 1.0}, [True, True, True]),
        ({0.01: 0.7, 1: 0.7}, {0.01: 1.1, 1: 1.0}, [True, False, True]),
        ({0.01: 1.3, 1: 1.0}, {0.01: 1.1, 1: 1.0}, [False, True, True]),
        ({0.01: 0.7, 1: 1.0}, {0.01: 0.7, 1: 1.0}, [True, True, False]),
    ],
    ids=["memory", "stays at large λ", "no advantage", "from the gradient too"],
)
def test_the_memory_explanation_stands_on_three_legs(advantages, controls, expected):
    finding = claim_training.memory(memory_pool(advantages, controls), MEMORY)
    assert [part.holds for part in finding.parts] == expected


def test_one_damping_tests_no_memory():
    assert claim_training.memory(memory_pool({1: 1.0}, {1: 1.0}), MEMORY).parts == ()


def swept(losses, status="ok"):
    """`losses`: level → final loss added to the seed's own."""
    trials, curves = [], []
    for level, excess in losses.items():
        for seed, own in enumerate([1.0, 1.01, 1.02, 1.03, 1.04]):
            key = f"{level}#{seed}"
            common = {"key": key, "group": "noise", "problem": "p", "parameters": 10, "batch_size": 4}
            common |= {
                "optimizer": "tngd",
                "method": "tngd",
                "seed": seed,
                "sweep_parameter": "noise_variance",
            }
            trials.append({**common, "kind": "training", "status": status, "sweep_value": level})
            curves.append(
                {**common, "iteration": 1, "loss": own + excess, "train_loss": own + excess}
                | dict.fromkeys(
                    ["train_accuracy", "test_loss", "test_accuracy", "measured_s", "modelled_s"], 1.0
                )
            )
    return Pool(pd.DataFrame(trials), pd.DataFrame(), pd.DataFrame(curves))


TOLERATED = {"parameter": "noise_variance", "level": 0.001}


def test_a_level_is_tolerated_or_not_or_was_not_swept():
    inside = claim_training.tolerated(swept({0.0: 0.0, 1e-4: 0.0, 1e-3: 0.0, 1e-2: 1.0}), TOLERATED)
    assert outcome(inside) == [(True, True)]
    outside = claim_training.tolerated(swept({0.0: 0.0, 1e-4: 0.5, 1e-3: 1.0}), TOLERATED)
    assert outcome(outside) == [(False, True)]
    other = claim_training.tolerated(swept({0.0: 0.0, 1e-4: 0.5}), TOLERATED)
    assert other.parts == ()
    assert "was not swept" in other.missing


def test_a_level_at_the_edge_of_the_band_is_not_decided():
    # the band of these seeds is 0.02; resampled seeds have narrower ones
    edge = claim_training.tolerated(swept({0.0: 0.0, 1e-4: 0.0, 1e-3: 0.015}), TOLERATED)
    assert outcome(edge)[0][1] is False
