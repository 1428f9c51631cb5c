"""The spread from run to run where it is known: runs drawn with a shift of their own for each optimizer."""

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.statistics.run_spread import ASSUMED, LEAST, between, left_by, run_spread_of, spread
from tngd_bench.studies.store.records import Records

LABELS = ("sgd", "ngd-gram", "kfac", "tngd")


def run(generator, *, shift, noise=0.03, process=0.03, processes=3, sizes=(1_000, 10_000), labels=LABELS):
    """Return a run whose optimizers take a second, shifted by the run, by the process and by noise."""
    shifts = {label: shift * generator.standard_normal() for label in labels}
    rows = [
        (n, label, p, r, np.exp(shifts[label] + own + noise * generator.standard_normal()))
        for n in sizes
        for p in range(processes)
        for label in labels
        for own in [process * generator.standard_normal()]
        for r in range(5)
    ]
    columns = ["parameters", "optimizer", "process", "repetition", "total_s"]
    costs = pd.DataFrame(rows, columns=columns).assign(
        group="null", problem="p", batch_size=8, outputs=10, rows=80
    )
    costs["method"] = costs["optimizer"]
    costs["key"] = costs["optimizer"] + "@" + costs["parameters"].astype(str)
    trials = costs.drop_duplicates("key")[["key", "optimizer"]].assign(kind="cost", status="ok")
    return Records({}, {"cpu": "one"}, trials, costs, pd.DataFrame())


@pytest.mark.parametrize("truth", [0.0, 0.02, 0.08])
def test_the_spread_between_runs_is_found_whatever_varies_within_them(truth):
    generator = np.random.default_rng(5)
    labels = ("sgd", *(f"o{place}" for place in range(12)))
    runs = [run(generator, shift=truth, labels=labels) for _ in range(12)]
    # 12 runs of 13 shifts: the estimate is good to about 6 %, and to what the noise within runs leaves
    assert spread(between(runs)) == pytest.approx(max(truth, LEAST), rel=0.25, abs=0.006)


def test_a_row_has_the_variances_by_hand():
    generator = np.random.default_rng(1)
    runs = [run(generator, shift=0.1) for _ in range(3)]
    row = between(runs).set_index(["parameters", "optimizer"]).loc[(10_000, "kfac")]
    logs = []
    for each in runs:
        own = each.costs[each.costs["parameters"] == 10_000].pivot_table(
            index=["process", "repetition"], columns="optimizer", values="total_s"
        )
        logs.append(np.log((own["kfac"] / own["sgd"]).groupby("process").median()))
    assert row["among"] == pytest.approx(np.var([each.mean() for each in logs], ddof=1))
    assert row["within"] == pytest.approx(np.mean([each.var() / 3 for each in logs]))
    assert row["low"] == pytest.approx(np.exp(min(each.mean() for each in logs)))


def test_runs_that_share_nothing_and_a_single_run_are_refused():
    generator = np.random.default_rng(2)
    one = run(generator, shift=0.0)
    with pytest.raises(ValueError, match="two runs or more, not 1"):
        between([one])
    with pytest.raises(ValueError, match="share no optimizer"):
        between([one, run(generator, shift=0.0, sizes=(50,))])
    with pytest.raises(ValueError, match="share no optimizer"):
        between([run(generator, shift=0.0, processes=1) for _ in range(2)])


def test_runs_whose_own_noise_hides_what_varies_between_them_are_refused():
    generator = np.random.default_rng(4)
    noisy = between([run(generator, shift=0.02, process=0.5) for _ in range(3)])
    with pytest.raises(ValueError, match="too noisy to tell what varies between them"):
        spread(noisy)


def test_an_environment_tells_the_spread_and_its_source():
    generator = np.random.default_rng(3)
    left = left_by([run(generator, shift=0.05) for _ in range(3)], "2026-11-29")
    found = run_spread_of({"run_spread": left})
    assert found.value == left["value"]
    assert found.source == "measured on this machine by 3 null runs, 2026-11-29"
    assert run_spread_of({}) == ASSUMED
    with pytest.raises(ValueError, match="must hold value, runs and measured"):
        run_spread_of({"run_spread": 0.03})
