import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tngd_bench.analysis.training.profiles import profiles, ratios_to_best, task_times
from tngd_bench.analysis.training.time_to_target import Target

MISS = math.inf


def table(times):
    """`times`: optimizer → its times on tasks 0, 1, …; None where it was not tried; evaluated at every 5 and at 100."""
    rows = [
        (task, optimizer, time, 100 if math.isinf(time) else time - 5)
        for optimizer, row in times.items()
        for task, time in enumerate(row)
        if time is not None
    ]
    return pd.DataFrame(rows, columns=["task", "optimizer", "iterations", "after"])


def share(found, optimizer, tau):
    part = found[(found["optimizer"] == optimizer) & (found["tau"] <= tau)]
    return part["share"].iloc[-1]


def test_a_profile_by_hand():
    #            task:  0    1     2     3 (nobody)
    found = profiles(table({"a": [10, 30, MISS, MISS], "b": [20, 10, 40, MISS], "c": [50, 35, 40, MISS]}))
    # ratios: a 1, 3, ∞, ∞ · b 2, 1, 1, ∞ · c 5, 3.5, 1, ∞; four tasks in every denominator
    assert [share(found, "a", tau) for tau in (1, 2, 3, 4)] == [0.25, 0.25, 0.5, 0.5]
    assert [share(found, "b", tau) for tau in (1, 2, 3, 4)] == [0.5, 0.75, 0.75, 0.75]
    assert [share(found, "c", tau) for tau in (1, 3.4, 3.5, 4)] == [0.25, 0.25, 0.5, 0.5]
    assert set(found["tasks"]) == {4}
    assert found.groupby("optimizer")["solved"].first().to_dict() == {"a": 2, "b": 3, "c": 3}
    assert found["tau"].max() == 4.0


def test_ties_win_together_and_a_task_not_tried_is_no_smaller_denominator():
    found = profiles(table({"a": [10, 10], "b": [10, None]}))
    assert share(found, "a", 1) == 1.0
    assert share(found, "b", 1) == 0.5
    assert found.groupby("optimizer")["won"].first().to_dict() == {"a": 0.5, "b": 0.0}
    assert set(found["untold"]) == {0.5}


def test_a_task_is_won_by_whom_the_evaluations_show_to_be_first_and_by_nobody_else():
    """Against a count over the intervals (after, by], one task and pair of optimizers at a time."""
    times = np.random.default_rng(0).choice([5, 10, 12, 20, MISS], (3, 200))
    found = profiles(table(dict(zip("abc", times.tolist(), strict=True))))
    after = np.where(np.isinf(times), 100, times - 5)
    won = [
        np.mean(
            [
                math.isfinite(times[me, task])
                and all(times[me, task] <= after[o, task] for o in range(3) if o != me)
                for task in range(200)
            ]
        )
        for me in range(3)
    ]
    shares = found.groupby("optimizer")[["won", "untold"]].first()
    assert shares["won"].tolist() == pytest.approx(won)
    solved = np.isfinite(times).any(axis=0).mean()
    assert shares["untold"].tolist() == pytest.approx([solved - sum(won)] * 3)
    assert 0.1 < sum(won) < solved


def test_a_best_time_of_zero_is_a_tie_or_nothing():
    found = ratios_to_best(table({"a": [0], "b": [3], "c": [0]})).set_index("optimizer")["ratio"]
    assert found.to_dict() == {"a": 1.0, "b": MISS, "c": 1.0}


def test_nobody_solved_anything():
    found = profiles(table({"a": [MISS], "b": [MISS]}))
    assert (found["share"] == 0).all()


def test_a_range_below_one_is_refused():
    with pytest.raises(ValueError, match="largest must be >= 1"):
        profiles(table({"a": [1]}), largest=0.5)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_profiles_are_what_the_definition_counts(data):
    time = st.one_of(st.just(MISS), st.floats(0.1, 100))
    tasks = data.draw(st.integers(1, 6))
    times = np.array(
        data.draw(st.lists(st.lists(time, min_size=tasks, max_size=tasks), min_size=2, max_size=4))
    )
    found = profiles(table({str(place): row.tolist() for place, row in enumerate(times)}))
    for tau in (1.0, 1.5, 2.0, 4.0):
        for place, row in enumerate(times):
            best = times.min(axis=0)
            counted = sum(math.isfinite(t) and t <= tau * b for t, b in zip(row, best, strict=True))
            # t ≤ τ·b and t/b ≤ τ may round apart by one unit in the last place
            near = sum(
                math.isfinite(t) and t <= tau * b * (1 + 1e-12) for t, b in zip(row, best, strict=True)
            )
            assert counted / tasks - 1e-12 <= share(found, str(place), tau) <= near / tasks + 1e-12


def test_tasks_are_setting_target_and_seed():
    common = {"kind": "training", "group": "g", "problem": "p", "parameters": 5, "batch_size": 2}
    common |= {"sweep_parameter": None, "method": "m"}
    trials, curves = [], []
    for seed in range(2):
        for optimizer, hit in (("a", 10), ("b", 20)):
            key = f"{optimizer}{seed}"
            trials.append({**common, "optimizer": optimizer, "seed": seed, "key": key, "status": "ok"})
            for iteration in (0, 10, 20):
                curves.append(
                    {"key": key, "iteration": iteration, "test_accuracy": 0.95 if iteration >= hit else 0.1}
                    | {"measured_s": float(iteration), "modelled_s": 2.0 * iteration}
                )
    trials.append({**common, "optimizer": "b", "seed": 2, "key": "x", "status": "skipped"})
    times = task_times(
        pd.DataFrame(trials), pd.DataFrame(curves), {"g": (Target("test_accuracy", 0.9, "by hand"),)}
    )
    assert times["task"].nunique() == 2
    found = profiles(times, "modelled")
    assert share(found, "a", 1) == 1.0
    assert [share(found, "b", tau) for tau in (1, 2)] == [0.0, 1.0]
