"""Metrics of a store, on records made from formulas."""

import dataclasses

import numpy as np
import pytest

from tests.report.conftest import ROWS, device_seconds, make_records
from tngd_bench.check.gate import MetricFilter, check_stores
from tngd_bench.check.regression import compare
from tngd_bench.check.study_metrics import study_baseline

WHERE = "N=10000, b=32, d=10"


@pytest.fixture(scope="module")
def records():
    return make_records(sizes=(1_000, 10_000), optimizers=("sgd", "ngd-gram", "tngd"))


@pytest.fixture(scope="module")
def metrics(records):
    return study_baseline(records).metrics


def test_exact_figures_are_those_of_the_records(metrics):
    assert metrics[f"operations/cost/ngd-gram/{WHERE}"].values == (6.0 * 32 * 10_000,)
    assert metrics[f"modelled latency/cost/tngd/{WHERE}"].value == pytest.approx(sum(device_seconds(10_000)))
    assert ROWS == 320
    assert f"modelled latency/cost/ngd-gram/{WHERE}" not in metrics


def test_times_are_ratios_to_sgd_in_the_same_process_and_round(records, metrics):
    costs = records.costs[(records.costs["parameters"] == 10_000)]
    sgd, gram = (costs[costs["optimizer"] == name]["step_s"].to_numpy() for name in ("sgd", "ngd-gram"))
    np.testing.assert_allclose(metrics[f"step time/cost/ngd-gram/{WHERE}"].values, gram / sgd)
    assert f"step time/cost/sgd/{WHERE}" not in metrics


def test_training_gives_the_last_loss_and_the_steps_to_half_of_the_first(records, metrics):
    runs = records.curves[(records.curves["group"] == "digits") & (records.curves["seed"] == 1)]
    curve = runs[runs["optimizer"] == "tngd"].dropna(subset=["train_loss"])
    where = "digits/tngd/N=10000, b=32, d=10/seed 1"
    assert metrics[f"loss/{where}"].value == curve["train_loss"].iloc[-1]
    reached = curve[curve["train_loss"] <= curve["train_loss"].iloc[0] / 2]["iteration"].iloc[0]
    assert metrics[f"steps to half the loss/{where}"].value == reached


def test_every_run_of_a_sweep_has_a_name_of_its_own(records, metrics):
    runs = records.trials[(records.trials["kind"] == "training") & (records.trials["status"] == "ok")]
    assert sum(name.startswith("loss/") for name in metrics) == len(runs)


def compare_all(base, head):
    return [compare(base.get(name), head.get(name)) for name in {**base, **head}]


def test_a_store_is_no_worse_than_itself(metrics):
    assert {one.verdict for one in compare_all(metrics, metrics)} == {"ok"}


def test_a_run_that_diverges_now_is_a_regression(records, metrics):
    trials = records.trials.copy()
    trials.loc[(trials["group"] == "digits") & (trials["optimizer"] == "tngd"), "status"] = "diverged"
    head = study_baseline(dataclasses.replace(records, trials=trials)).metrics
    worse = {one.name for one in compare_all(metrics, head) if one.verdict == "regression"}
    assert worse == {f"loss/digits/tngd/{WHERE}/seed {seed}" for seed in range(3)}


def test_results_at_a_seed_are_compared_between_studies_of_one_name_alone(records):
    iterations = records.trials["solver_iterations"].where(records.trials["kind"] != "cost", 7.0)
    records = dataclasses.replace(records, trials=records.trials.assign(solver_iterations=iterations))
    other = dataclasses.replace(records, study=records.study | {"name": "another"})
    base, head = study_baseline(records), study_baseline(other)
    assert {one.verdict for one in check_stores(base, [base], MetricFilter(times=False))} == {"ok"}
    judged = check_stores(base, [head], MetricFilter(times=False))
    kinds = {verdict: set() for verdict in ("ok", "nothing compared")}
    for one in judged:
        kinds[one.verdict].add(one.name.partition("/")[0])
        assert one.verdict == "ok" or "“synthetic” and “another”" in one.reason
    assert kinds["ok"] == {"operations", "modelled latency"}
    assert kinds["nothing compared"] == {"solver iterations", "steps to half the loss", "loss"}


@pytest.mark.parametrize("left", ["nothing", "no SGD"])
def test_without_times_of_sgd_there_are_no_times_and_all_else(records, metrics, left):
    costs = records.costs.iloc[:0] if left == "nothing" else records.costs.query("optimizer != 'sgd'")
    found = study_baseline(dataclasses.replace(records, costs=costs)).metrics
    assert not any(name.startswith("step time/") for name in found)
    assert {name for name in metrics if name.startswith("loss/")} <= set(found)


def test_levels_that_are_words_and_second_settings_have_names_of_their_own(records):
    """Of levels under one name the last alone would be judged, and the others might get worse unseen."""
    runs = records.trials[records.trials["group"] == "digits"]
    words = {0: ("start", None, "zero"), 1: ("start", None, "gradient"), 2: ("start", None, "previous")}
    levels = runs["seed"].map(words)
    swept = runs.assign(sweep_parameter=levels.str[0], sweep_value=np.nan, sweep_label=levels.str[2], seed=0)
    paired = swept.assign(
        sweep_value=4.0, sweep_parameter="adc_bits", sweep_label="4", sweep_parameter_2="start"
    )
    paired = paired.assign(sweep_value_2=np.nan, sweep_label_2=levels.str[2])
    for trials in (swept, paired):
        found = study_baseline(dataclasses.replace(records, trials=trials)).metrics
        assert sum(name.startswith("loss/") for name in found) == len(runs)


@pytest.mark.parametrize(("spread", "told"), [(None, False), (0.01, True)])
def test_a_slowdown_by_no_more_than_two_runs_of_one_study_differ_by_is_none(records, spread, told):
    """10 % in both new stores: within what is assumed of two runs, and beyond what null runs measured here."""
    left = {} if spread is None else {"run_spread": {"value": spread, "runs": 3, "measured": "then"}}
    environment = records.environment | left | {"threads_cost": 1}
    base = dataclasses.replace(records, environment=environment)
    slower = base.costs.assign(
        step_s=base.costs["step_s"].where(base.costs["optimizer"] != "ngd-gram", 1.1 * base.costs["step_s"])
    )
    new = study_baseline(dataclasses.replace(base, costs=slower))
    judged = check_stores(study_baseline(base), [new, new], MetricFilter(("step time/*/ngd-gram/*",)))
    assert {one.verdict == "regression" for one in judged} == {told}
