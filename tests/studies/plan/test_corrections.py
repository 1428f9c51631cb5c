import pandas as pd
import pytest

from tngd_bench.studies.plan.corrections import corrections_of, evaluations_of, ratios_of
from tngd_bench.studies.plan.durations import STEP_OVERHEAD_S, steps_seconds
from tngd_bench.studies.store.records import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS, Records


def frame(rows, columns):
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in columns.items()}
    )


def records():
    """Two optimizers with a known speed: sgd three times as slow as the formula, tngd with a simulated device."""
    common = {"group": "g", "problem": "p", "parameters": 1, "parameters_requested": 1, "batch_size": 1}
    common |= {"outputs": 1, "rows": 1, "width": "w", "settings": "{}", "threads": 1, "estimate_bytes": 1.0}
    trials, costs, curves = [], [], []
    for number, (method, step, digital) in enumerate(
        [("sgd", 0.3, 0.3), ("sgd", 0.6, 0.6), ("sgd", 0.3, 0.3), ("tngd", 0.4, 0.1)]
    ):
        row = common | {
            "key": f"c{number}",
            "kind": "cost",
            "optimizer": method,
            "method": method,
            "process": number,
        }
        trials.append(row | {"status": "ok", "estimate_seconds": 0.1 - STEP_OVERHEAD_S, "elapsed_s": 1.0})
        for repetition in range(3):
            times = {"step_s": step, "digital_s": digital, "write_s": 0.0, "relax_s": 0.0, "read_s": 0.0}
            costs.append(row | times | {"repetition": repetition})
    for number, (status, elapsed) in enumerate([("ok", 2.0), ("diverged", 99.0), ("ok", 4.0)]):
        row = common | {
            "key": f"t{number}",
            "kind": "training",
            "optimizer": "sgd",
            "method": "sgd",
            "seed": number,
        }
        trials.append(row | {"status": status, "estimate_seconds": 0.01, "elapsed_s": elapsed})
        for iteration in range(11):
            loss = {"train_loss": 1.0} if iteration % 5 == 0 else {}
            # a quarter of the run is steps, the rest three evaluations
            seconds = {"measured_s": elapsed / 4.0 * iteration / 10.0}
            curves.append(row | {"iteration": iteration, "loss": 1.0} | loss | seconds)
    return Records(
        {}, {}, frame(trials, TRIAL_COLUMNS), frame(costs, COST_COLUMNS), frame(curves, CURVE_COLUMNS)
    )


def test_the_median_ratio_of_finished_trials_is_learned_for_each_kind():
    found = corrections_of(ratios_of(records()))
    assert set(found) == {("sgd", "cost"), ("tngd", "cost"), ("sgd", "training")}
    assert found["sgd", "cost"].factor == pytest.approx(3.0)
    assert found["sgd", "cost"].trials == 3
    assert found["tngd", "cost"].factor == pytest.approx(
        5.0
    )  # the simulated step, and the host's part timed after it
    assert found["sgd", "training"].factor == pytest.approx(0.75 / steps_seconds(0.01, 10))
    assert found["sgd", "training"].trials == 2


def test_what_a_training_takes_beside_its_steps_is_learned_per_evaluation():
    assert sorted(evaluations_of(records())["seconds"]) == pytest.approx([0.5, 1.0])  # of 2 and 4 s


def test_a_store_with_nothing_finished_teaches_nothing():
    empty = Records({}, {}, *(frame([], columns) for columns in (TRIAL_COLUMNS, COST_COLUMNS, CURVE_COLUMNS)))
    assert corrections_of(ratios_of(empty)) == {}
