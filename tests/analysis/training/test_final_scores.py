import math

import pandas as pd

from tngd_bench.analysis.training.final_scores import final_values, summarise_final, unfinished
from tngd_bench.studies.store.columns import outside_sweeps


def trial(key, status="ok", **values):
    setting = {"kind": "training", "group": "g", "problem": "p", "parameters": 10, "parameters_requested": 10}
    setting |= {
        "batch_size": 2,
        "optimizer": "o",
        "method": "o",
        "sweep_parameter": None,
        "sweep_value": math.nan,
    }
    return {**setting, "key": key, "seed": 0, "status": status, **values}


def curve(key, train_losses, losses=None):
    count = len(train_losses)
    return pd.DataFrame(
        {
            "key": key,
            "iteration": range(count),
            "loss": losses or [math.nan] * count,
            "train_loss": train_losses,
            "train_accuracy": math.nan,
            "test_loss": math.nan,
            "test_accuracy": [0.1 * place for place in range(count)],
            "measured_s": [1.0 * place for place in range(count)],
            "modelled_s": [2.0 * place for place in range(count)],
        }
    )


def test_last_evaluated_values_of_a_finished_trial():
    final = final_values(pd.DataFrame([trial("a")]), curve("a", [3.0, 2.0, math.nan])).iloc[0]
    assert final["final_loss"] == 2.0
    assert (final["iterations"], final["measured_s"], final["modelled_s"]) == (2, 2.0, 4.0)


def test_f1_before_the_first_iteration_is_kept_and_missing_where_it_was_not_evaluated():
    run = curve("a", [3.0, 2.0, 1.0]).assign(test_f1=[0.1, math.nan, 0.6])
    final = final_values(pd.DataFrame([trial("a")]), run).iloc[0]
    assert (final["untrained_test_f1"], final["final_test_f1"]) == (0.1, 0.6)
    late = run.assign(test_f1=[math.nan, 0.3, 0.6])
    assert math.isnan(final_values(pd.DataFrame([trial("a")]), late).iloc[0]["untrained_test_f1"])


def test_without_evaluations_the_last_tenth_of_the_batches_counts():
    losses = [9.0] * 18 + [1.0, 2.0]
    final = final_values(pd.DataFrame([trial("a")]), curve("a", [math.nan] * 20, losses)).iloc[0]
    assert final["final_loss"] == 1.5


def test_a_diverged_trial_gives_no_number_even_if_it_has_a_curve():
    trials = pd.DataFrame([trial("a", "diverged"), trial("b", seed=1)])
    final = final_values(trials, pd.concat([curve("a", [3.0, 2.0]), curve("b", [3.0, 1.0])]))
    assert math.isnan(final.loc[final["key"] == "a", "final_loss"].iloc[0])
    ends = summarise_final(final).iloc[0]
    assert (ends["finished"], ends["trials"], ends["diverged"]) == (1, 2, 1)
    assert ends["final_loss_median"] == 1.0
    assert ends["keys"] == ("a", "b")


def test_nothing_finished_gives_nan_and_a_count_of_zero():
    ends = summarise_final(final_values(pd.DataFrame([trial("a", "skipped")]), curve("z", [1.0]))).iloc[0]
    assert ends["finished"] == 0
    assert math.isnan(ends["final_loss_median"])


def test_sweeps_and_unfinished_are_told_apart():
    trials = pd.DataFrame(
        [trial("a"), trial("b", sweep_parameter="noise_variance", sweep_value=0.1), trial("c", "failed")]
    )
    final = final_values(trials, pd.concat([curve("a", [1.0]), curve("b", [1.0])]))
    assert outside_sweeps(final)["key"].tolist() == ["a", "c"]
    assert unfinished(trials)["key"].tolist() == ["c"]
