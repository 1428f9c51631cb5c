"""Two stores made from each other by a known change: the comparison finds that change and nothing else."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tngd_bench.analysis import compare as stores
from tngd_bench.analysis.compare import relative_change
from tngd_bench.analysis.results import Results
from tngd_bench.studies.store.records import Records

OPTIMIZERS = ("sgd", "ngd-gram")


def compare(a, b):
    return stores.compare(Results(a), Results(b))


@pytest.fixture(scope="module")
def records():
    generator = np.random.default_rng(0)
    trials, costs, curves = [], [], []
    for number, optimizer in enumerate(OPTIMIZERS):
        setting = {"group": "g", "problem": "p", "parameters": 1000, "batch_size": 32, "optimizer": optimizer}
        setting["method"] = optimizer
        for process in range(4):
            key = f"c{number}#{process}"
            trials.append(
                setting
                | {"key": key, "kind": "cost", "outputs": 10, "status": "ok", "flops": 1e6 * (1 + number)}
            )
            for _ in range(8):
                total = (1 + number) * 1e-3 * np.exp(0.05 * generator.standard_normal())
                costs.append(setting | {"key": key, "outputs": 10, "process": process, "total_s": total})
        for seed in range(3):
            key = f"t{number}#{seed}"
            trials.append(setting | {"key": key, "kind": "training", "seed": seed, "status": "ok"})
            for iteration in (0, 10):
                point = {
                    "key": key,
                    "iteration": iteration,
                    "train_loss": 1.0 / (1 + iteration + seed),
                    "loss": np.nan,
                }
                still = {"test_accuracy": 0.5, "train_accuracy": 0.5, "test_loss": 1.0, "measured_s": 1.0}
                curves.append(setting | point | still | {"modelled_s": 1.0})
    frame = pd.DataFrame(trials).assign(sweep_parameter=None, sweep_value=np.nan)
    study = {"name": "s", "cost": [{"name": "g", "processes": 2}], "execution": {"dtype": "float32"}}
    return Records(study, {"cpu": "one", "started": "then"}, frame, pd.DataFrame(costs), pd.DataFrame(curves))


def test_a_store_differs_in_nothing_from_itself(records):
    found = compare(records, records)
    assert found.differences.empty
    assert found.only.empty
    assert (found.costs["ratio"] == 1.0).all()
    assert (found.costs["relative"] == 1.0).all()
    assert (found.costs["relative_low"] <= 1.0).all()
    assert (found.costs["relative_high"] >= 1.0).all()
    assert (found.training["equal"] == found.training["pairs"]).all()
    assert found.training["pairs"].tolist() == [3, 3]


def test_a_machine_twice_as_slow_is_seen_and_cancels_against_sgd(records):
    slow = dataclasses.replace(
        records,
        costs=records.costs.assign(total_s=2 * records.costs["total_s"]),
        environment={"cpu": "another"},
    )
    found = compare(records, slow)
    np.testing.assert_allclose(found.costs["ratio"], 2.0)
    np.testing.assert_allclose(found.costs["relative"], 1.0)
    differences = found.differences.set_index("name")
    assert differences.index.tolist() == ["cpu", "started"][:1]
    assert differences.loc["cpu", ["where", "a", "b"]].tolist() == ["environment", "one", "another"]


def test_one_optimizer_slower_is_slower_relative_to_sgd_too(records):
    factor = np.where(records.costs["optimizer"] == "ngd-gram", 1.5, 1.0)
    found = compare(
        records,
        dataclasses.replace(records, costs=records.costs.assign(total_s=factor * records.costs["total_s"])),
    )
    by_name = found.costs.set_index("optimizer")
    assert by_name.loc["ngd-gram", "relative"] == pytest.approx(1.5)
    assert by_name.loc["ngd-gram", "relative_low"] > 1.2
    assert by_name.loc["sgd", "ratio"] == 1.0


def test_without_a_spread_from_run_to_run_the_interval_is_welchs():
    generator = np.random.default_rng(1)
    a, b = generator.normal(0.0, 0.1, 4), generator.normal(0.3, 0.2, 6)
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    found = relative_change(a, b, 0.0)
    assert np.log([found["relative_low"], found["relative_high"]]) == pytest.approx(
        [expected.low, expected.high]
    )


def test_two_processes_and_a_store_without_sgd_test_nothing(records):
    few = dataclasses.replace(records, costs=records.costs[records.costs["process"] < 2])
    found = compare(records, few).costs.set_index("optimizer").loc["ngd-gram"]
    assert found["relative"] == pytest.approx(1.0, abs=0.1)
    assert np.isnan(found["relative_low"])
    alone = dataclasses.replace(records, costs=records.costs[records.costs["optimizer"] != "sgd"])
    assert compare(alone, alone).costs["relative"].isna().all()


@pytest.mark.parametrize("spread", [0.0, 0.04])
def test_of_two_runs_of_one_study_one_interval_in_twenty_leaves_out_one(spread):
    """Known truth: no change; in each run each of the two optimizers is shifted by its own draw, then the noise."""
    generator = np.random.default_rng(5)
    runs, wrong = 400, 0
    for _ in range(runs):
        shifts = spread * generator.standard_normal(4)
        processes = 0.05 * generator.standard_normal((2, 5))
        a, b = processes + (shifts[:2] - shifts[2:])[:, None]
        found = relative_change(a, b, 4 * spread**2)
        wrong += not found["relative_low"] <= 1.0 <= found["relative_high"]
    assert wrong <= stats.binom.ppf(0.999, runs, 0.05)


def test_training_is_paired_by_seed_and_only_at_equal_length(records):
    lower = records.curves.assign(train_loss=records.curves["train_loss"] - 0.01)
    found = compare(records, dataclasses.replace(records, curves=lower))
    np.testing.assert_allclose(found.training["difference"], -0.01)
    assert found.training["b_lower"].tolist() == [3, 3]
    longer = records.curves.assign(iteration=2 * records.curves["iteration"])
    assert compare(records, dataclasses.replace(records, curves=longer)).training.empty


def test_seeds_of_studies_of_two_names_are_not_paired(records):
    other = dataclasses.replace(records, study=records.study | {"name": "t"})
    found = compare(records, other)
    assert found.training.empty
    assert "“s” and “t”" in found.unpaired
    assert len(found.costs) == len(OPTIMIZERS)


def test_a_section_that_changed_is_named_with_both_values(records):
    study = records.study | {"cost": [{"name": "g", "processes": 5}]}
    found = compare(records, dataclasses.replace(records, study=study))
    assert found.differences.to_numpy().tolist() == [["study", "cost.g.processes", "2", "5"]]


def test_sgd_that_only_ran_tuned_is_the_reference_and_sizes_are_in_order_of_their_numbers(records):
    def renamed(frame, size=1000):
        labels = frame["optimizer"].replace({"sgd": "sgd[tuned]"})
        return frame.assign(optimizer=labels, parameters=size, key=frame["key"] + f"/{size}")

    sizes = (15_990, 4_042, 249_567)
    several = dataclasses.replace(
        records,
        trials=pd.concat([renamed(records.trials, size) for size in sizes]),
        costs=pd.concat([renamed(records.costs, size) for size in sizes]),
        curves=renamed(records.curves),
    )
    found = compare(several, several).costs
    assert found["parameters"].drop_duplicates().tolist() == sorted(sizes)
    assert set(found["reference"]) == {"sgd[tuned]"}
    np.testing.assert_allclose(found["relative"], 1.0)


def test_what_one_store_lacks_is_listed(records):
    fewer = records.trials[records.trials["optimizer"] == "sgd"]
    found = compare(records, dataclasses.replace(records, trials=fewer))
    assert set(found.only["store"]) == {"A"}
    assert set(found.only["optimizer"]) == {"ngd-gram"}
    assert found.costs["optimizer"].tolist() == ["sgd"]


def test_levels_of_a_sweep_that_are_words_are_compared_each_with_itself(records):
    """With their numbers alone, of which they have none, every level would be paired with every other."""
    runs = records.trials["kind"] == "training"
    words = records.trials["seed"].map({0.0: "zero", 1.0: "gradient", 2.0: "previous"}).where(runs)
    swept = records.trials.assign(
        sweep_parameter=np.where(runs, "start", None),
        sweep_label=words,
        seed=records.trials["seed"].where(~runs, 0),
    )
    found = compare(*[dataclasses.replace(records, trials=swept)] * 2).training
    assert found["pairs"].tolist() == [1] * 6
    assert found["equal"].tolist() == [1] * 6
    assert set(found["level"]) == {"start = zero", "start = gradient", "start = previous"}


def test_sizes_and_levels_that_one_store_lacks_are_listed_and_so_is_what_was_skipped(records):
    larger = dataclasses.replace(records, trials=records.trials.assign(parameters=2_000))
    found = compare(records, larger).only
    assert set(found["parameters"]) == {1_000, 2_000}
    assert len(found) == 2 * len(records.trials.drop_duplicates(["kind", "group", "optimizer"]))
    skipped = records.trials.assign(status="skipped")
    assert set(compare(records, dataclasses.replace(records, trials=skipped)).only["store"]) == {"A"}


def test_a_run_without_a_final_loss_is_in_no_pair(records):
    lost = records.curves["train_loss"].where(records.curves["key"] != "t0#0", np.nan)
    found = compare(records, dataclasses.replace(records, curves=records.curves.assign(train_loss=lost)))
    assert found.training.set_index("optimizer")["pairs"].to_dict() == {"sgd": 2, "ngd-gram": 3}
    assert (found.training["equal"] == found.training["pairs"]).all()


def test_runs_on_a_problem_with_other_options_are_other_runs(records):
    def with_options(**options):
        study = {**records.study, "training": [{"name": "g", "problem": "p"}], "problem": {"p": options}}
        return dataclasses.replace(records, study=study)

    assert len(compare(with_options(size=1), with_options(size=1)).training) == 2
    other = compare(with_options(size=1), with_options())
    assert (len(other.training), other.unlike) == (0, ("g.problem",))


@pytest.mark.parametrize("entry", ["train_size", "test_size", "evaluation_size", "validation_share"])
def test_runs_on_other_data_are_other_runs_whatever_their_seed(records, entry):
    def with_section(**values):
        return dataclasses.replace(records, study={**records.study, "training": [{"name": "g", **values}]})

    same = compare(with_section(**{entry: 1}), with_section(**{entry: 1}))
    other = compare(with_section(**{entry: 1}), with_section())
    assert (len(same.training), same.unlike) == (2, ())
    assert (len(other.training), other.unlike) == (0, (f"g.{entry}",))


def test_other_settings_under_one_name_are_named(records):
    def with_rate(rate):
        settings = np.where(
            records.trials["optimizer"] == "sgd", json.dumps({"lr": rate}), json.dumps({"lr": 0})
        )
        return dataclasses.replace(records, trials=records.trials.assign(settings=settings))

    assert compare(with_rate(0.1), with_rate(0.1)).differences.empty
    found = compare(with_rate(0.1), with_rate(0.2)).differences
    assert found.to_dict("records") == [
        {"where": "settings", "name": f"{kind}.g: sgd", "a": "lr = 0.1", "b": "lr = 0.2"}
        for kind in ("cost", "training")
    ]
