import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tngd_bench.analysis.cost import iteration_cost

SETTING = {"group": "cost", "problem": "p", "parameters": 100, "batch_size": 2, "outputs": 3, "rows": 6}


def trial(key, status="ok", flops=10.0, peak=5.0):
    return {"key": key, "kind": "cost", "status": status, "flops": flops, "peak_bytes": peak}


def timed(key, optimizer, process, times, device=(0.0, 0.0, 0.0)):
    write, relax, read = device
    return [
        {
            **SETTING,
            "key": key,
            "optimizer": optimizer,
            "method": optimizer,
            "process": process,
            "repetition": repetition,
            "step_s": 2 * digital,
            "digital_s": digital,
            "write_s": write,
            "relax_s": relax,
            "read_s": read,
            "total_s": digital + sum(device),
        }
        for repetition, digital in enumerate(times)
    ]


@pytest.fixture
def frames():
    rows = timed("a#0", "sgd", 0, [1.0, 2.0, 3.0]) + timed("a#1", "sgd", 1, [2.0, 4.0, 6.0])
    rows += timed("b#0", "tngd", 0, [2.0, 4.0, 6.0], (10.0, 1.0, 2.0))
    rows += timed("b#1", "tngd", 1, [4.0, 8.0, 12.0], (10.0, 1.0, 2.0))
    rows += timed("c#0", "gone", 0, [1.0])
    trials = [trial("a#0"), trial("a#1", peak=7.0), trial("b#0"), trial("b#1"), trial("c#0", "diverged")]
    return pd.DataFrame(rows), pd.DataFrame(trials)


def test_summary_by_hand(frames):
    summary = iteration_cost.summarise(*frames).set_index("optimizer")
    assert list(summary.index) == ["sgd", "tngd"]  # the diverged trial gives no number
    sgd, tngd = summary.loc["sgd"], summary.loc["tngd"]
    assert (sgd["digital_q1_s"], sgd["digital_median_s"], sgd["digital_q3_s"]) == (2.0, 2.5, 3.75)
    assert (sgd["n"], sgd["processes"], sgd["peak_bytes"]) == (6, 2, 7.0)
    assert sgd["keys"] == ("a#0", "a#1")
    assert tngd["digital_median_s"] == 5.0
    assert tngd["modelled_s"] == 13.0
    assert tngd["total_median_s"] == 18.0
    assert tngd["total_mean_s"] == 6.0 + 13.0
    assert tngd["step_s"] == 10.0


def test_a_row_without_a_time_is_not_counted(frames):
    costs, trials = frames
    costs.loc[0, "total_s"] = np.nan
    assert iteration_cost.summarise(costs, trials).set_index("optimizer").loc["sgd", "n"] == 5


def test_ratios_are_paired_within_process_and_repetition(frames):
    ratios = iteration_cost.ratios_to_sgd(*frames).set_index("optimizer")
    # Paired, every measured ratio is exactly 2, though the medians' spread is wide.
    assert ratios.loc["tngd", ["digital_ratio", "digital_low", "digital_high"]].tolist() == [2.0, 2.0, 2.0]
    by_hand = np.median([15 / 1, 17 / 2, 19 / 3, 17 / 2, 21 / 4, 25 / 6])
    assert ratios.loc["tngd", "total_ratio"] == pytest.approx(by_hand)
    assert ratios.loc["tngd", "total_low"] <= by_hand <= ratios.loc["tngd", "total_high"]
    assert ratios.loc["sgd", "total_ratio"] == 1.0


@pytest.mark.parametrize(
    ("ran", "reference"),
    [
        (("sgd[tuned]",), "sgd[tuned]"),
        (("sgd[lr=0.1]",), "sgd[lr=0.1]"),
        (("sgd[lr=0.1]", "sgd[tuned]"), "sgd[tuned]"),
        (("sgd[tuned]", "sgd", "sgd[lr=0.1]"), "sgd"),
    ],
)
def test_sgd_in_other_settings_is_the_reference_where_it_ran_no_other_way(frames, ran, reference):
    costs, trials = frames
    own = costs[costs["optimizer"] == "sgd"]
    costs = pd.concat([costs[costs["optimizer"] != "sgd"], *(own.assign(optimizer=label) for label in ran)])
    ratios = iteration_cost.ratios_to_sgd(costs, trials).set_index("optimizer")
    assert set(ratios["reference"]) == {reference}
    assert set(ratios.index) == {"tngd", *ran}
    assert ratios.loc["tngd", "digital_ratio"] == 2.0
    assert ratios.loc[reference, "total_ratio"] == 1.0


def test_without_the_reference_there_is_no_ratio(frames):
    costs, trials = frames
    assert iteration_cost.ratios_to_sgd(costs[costs["optimizer"] != "sgd"], trials).empty
    assert iteration_cost.paired_ratio(costs, "tngd", "absent") is None


def test_a_ratio_is_decided_only_with_enough_pairs_and_an_interval_off_one(frames):
    costs, _ = frames
    three = pd.concat([costs, costs[costs["process"] == 0].assign(process=2)])
    assert iteration_cost.paired_ratio(three, "tngd", "sgd").decided
    assert not iteration_cost.paired_ratio(three, "sgd", "sgd").decided
    assert not iteration_cost.paired_ratio(costs, "tngd", "sgd").decided  # two processes
    assert not iteration_cost.paired_ratio(costs[costs["process"] == 0], "tngd", "sgd").decided  # three pairs


def test_processes_of_unequal_length_keep_their_pairs():
    rows = timed("a#0", "x", 0, [3.0] * 9) + timed("a#1", "x", 1, [3.0])
    rows += timed("b#0", "y", 0, [1.0] * 9) + timed("b#1", "y", 1, [1.0])
    ratio = iteration_cost.paired_ratio(pd.DataFrame(rows), "x", "y")
    assert (ratio.value, ratio.pairs, ratio.processes) == (3.0, 10, 2)
    assert (ratio.low, ratio.high) == pytest.approx((3.0, 3.0))


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_the_interval_of_a_ratio_is_student_s_over_the_medians_of_processes(processes):
    generator = np.random.default_rng(processes)
    logs = 0.1 * generator.standard_normal((processes, 1)) + 0.05 * generator.standard_normal((processes, 5))
    rows = [row for p in range(processes) for row in timed(f"a#{p}", "x", p, np.exp(logs[p]))]
    rows += [row for p in range(processes) for row in timed(f"b#{p}", "y", p, [1.0] * 5)]
    ratio = iteration_cost.paired_ratio(pd.DataFrame(rows), "x", "y")
    medians = np.median(logs, axis=1)
    low, high = stats.ttest_1samp(medians, 0.0).confidence_interval(0.95)
    assert ratio.value == pytest.approx(np.median(np.exp(logs)))
    assert (ratio.low, ratio.high) == pytest.approx((np.exp(low), np.exp(high)))


def test_an_interval_makes_up_for_processes_that_a_precision_stopped():
    rows = [
        row for p, log in enumerate((0.1, 0.15, 0.3)) for row in timed(f"a#{p}", "x", p, [np.exp(log)] * 5)
    ]
    rows += [row for p in range(3) for row in timed(f"b#{p}", "y", p, [1.0] * 5)]
    ratio = iteration_cost.paired_ratio(pd.DataFrame(rows).assign(precision=0.1), "x", "y")
    low, high = stats.ttest_1samp([0.1, 0.15, 0.3], 0.0).confidence_interval(0.97)
    assert (ratio.low, ratio.high) == pytest.approx((np.exp(low), np.exp(high)))


def test_one_process_has_the_range_of_its_pairs_and_no_verdict():
    rows = timed("a#0", "x", 0, [2.0, 3.0, 5.0, 7.0, 8.0, 9.0]) + timed("b#0", "y", 0, [1.0] * 6)
    ratio = iteration_cost.paired_ratio(pd.DataFrame(rows), "x", "y")
    assert (ratio.low, ratio.value, ratio.high, ratio.tested) == (2.0, 6.0, 9.0, False)


def test_nothing_timed_gives_empty_frames_with_their_columns(frames):
    costs, trials = frames
    empty = iteration_cost.summarise(costs.iloc[:0], trials)
    assert empty.empty
    assert {"digital_median_s", "modelled_s", "keys"} <= set(empty.columns)
    assert iteration_cost.ratios_to_sgd(costs.iloc[:0], trials).empty


@pytest.fixture
def bounded(frames):
    """A device that states no time for an item: 10 s of its bill are known, the written part and the total are not."""
    costs, trials = frames
    tngd = costs["optimizer"] == "tngd"
    costs.loc[tngd, ["write_s", "total_s"]] = np.nan
    costs["overlap_s"] = 0.5
    device = trials["key"].str.startswith("b")
    return costs, trials.assign(stated_s=np.where(device, 10.0, np.nan))


def test_without_every_price_there_is_a_lower_bound_and_no_total(bounded):
    summary = iteration_cost.summarise(*bounded).set_index("optimizer")
    tngd, sgd = summary.loc["tngd"], summary.loc["sgd"]
    assert tngd["digital_median_s"] == 5.0
    assert tngd["at_least_s"] == 5.0 + 10.0 - 0.5
    assert tngd[["total_median_s", "total_q1_s", "total_mean_s", "write_s", "modelled_s"]].isna().all()
    assert tngd["relax_s"] == 1.0
    assert sgd["at_least_s"] == sgd["total_median_s"] == 2.5
    assert "tngd" not in set(iteration_cost.finished_costs(*bounded)["optimizer"])
    ratios = iteration_cost.ratios_to_sgd(*bounded).set_index("optimizer")
    assert ratios.loc["tngd", "digital_ratio"] == 2.0
    # pairs (digital, SGD): (2, 1), (4, 2), (6, 3), (4, 2), (8, 4), (12, 6), each with 9.5 s of the device
    assert ratios.loc["tngd", "total_ratio"] == np.median([11.5, 6.75, 15.5 / 3, 6.75, 4.375, 21.5 / 6])


def test_an_old_record_without_the_field_is_left_out_as_before(bounded):
    costs, trials = bounded
    assert "tngd" not in set(iteration_cost.summarise(costs, trials.drop(columns="stated_s"))["optimizer"])


def test_a_store_of_trainings_alone_whose_device_states_no_time_has_no_costs(bounded):
    costs, trials = bounded
    none = costs.iloc[:0].astype({"key": "str"})
    assert iteration_cost.timed_costs(none, trials.assign(kind="training").astype({"key": "str"})).empty
