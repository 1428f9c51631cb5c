"""Fewer processes where a ratio is known already: the rule, its chance, and the level of the interval."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from tngd_bench.studies.plan import enough_processes
from tngd_bench.studies.plan.enough_processes import EnoughProcesses, chance_of_process, half_width, is_enough
from tngd_bench.studies.plan.trials import CostBlock, SkipReason

PRECISION = 0.1


def test_the_half_width_is_student_s():
    logs = np.random.default_rng(0).normal(0.3, 0.1, 5)
    for level in (0.95, 0.97):
        low, high = stats.ttest_1samp(logs, 0.0).confidence_interval(level)
        assert half_width(list(logs), level) == pytest.approx((high - low) / 2)


def test_the_interval_holds_the_truth_in_95_percent_at_any_precision():
    """By simulation of the rule on its own: σ = 1, so that a precision is in units of σ."""
    logs = np.random.default_rng(1).standard_normal((40_000, 5))
    quantile = {n: stats.t.ppf(0.5 + enough_processes.LEVEL / 2, n - 1) for n in (3, 4, 5)}
    looked = {n: stats.t.ppf(0.5 + enough_processes.LOOKED_AT / 2, n - 1) for n in (3, 4, 5)}
    error = {n: logs[:, :n].std(1, ddof=1) / math.sqrt(n) for n in (3, 4, 5)}
    rates = []
    for precision in np.geomspace(0.2, 6.0, 25):
        number = np.where(
            looked[3] * error[3] <= precision, 3, np.where(looked[4] * error[4] <= precision, 4, 5)
        )
        out = [np.abs(logs[:, :n].mean(1)) > quantile[n] * error[n] for n in (3, 4, 5)]
        rates.append(np.choose(number - 3, out).mean())
    assert max(rates) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 40_000)
    assert max(rates) > 0.04, "no more is given away than the choice costs"


def test_the_chance_of_a_further_process_is_that_of_a_spread_too_wide():
    logs = np.random.default_rng(2).normal(0.0, enough_processes.USUAL_SPREAD, (4_000, 4))
    for process in (3, 4):
        wide = np.mean([not is_enough(list(row[:process]), PRECISION) for row in logs])
        assert chance_of_process(process, PRECISION) == pytest.approx(wide, abs=0.03)
    assert chance_of_process(2, PRECISION) == chance_of_process(4, None) == 1.0


@pytest.fixture
def blocks(table, plan_of):
    table["cost"][0] |= {"parameters": [1000], "processes": 5, "precision": PRECISION}
    return [trial for trial in plan_of(table).trials.values() if isinstance(trial, CostBlock)]


def entries(process, **factors):
    """Return what a block of that process brings: SGD takes 1 ms and the others so many times as long."""
    repetitions = [0, 1, 2]
    base = [0.001 * (1.0 + 0.1 * repetition) for repetition in repetitions]
    times = {"sgd": 1.0, **factors}
    return [
        {
            "optimizer": label,
            "status": "ok",
            "process": process,
            "iterations": {"repetition": repetitions, "digital_s": [factor * each for each in base]},
        }
        for label, factor in times.items()
    ]


def labels(block):
    return [each.config.label for each in block.candidates]


def test_an_optimizer_is_left_out_from_the_fourth_process_on_once_it_is_known(blocks):
    enough = EnoughProcesses()
    for process, block in enumerate(blocks[:3]):
        assert labels(enough.rest(block)) == ["sgd", "ngd", "tngd"]
        assert enough.note(block, entries(process, ngd=100.0 * (1 + 0.01 * process), tngd=3.0 + process))
    assert labels(enough.rest(blocks[3])) == ["sgd", "tngd"]
    for process, block in enumerate(blocks[:3]):
        enough.note(block, entries(process, tngd=4.0))
    rest = enough.rest(blocks[3])
    assert labels(rest) == ["sgd", "tngd"], "six values that spread as much"
    assert rest.key("c", {}) != blocks[3].key("c", {})


def test_nothing_is_left_of_a_block_whose_optimizers_are_all_known_or_skipped(blocks):
    enough = EnoughProcesses()
    for process, block in enumerate(blocks[:3]):
        enough.note(block, entries(process, ngd=100.0))
    third = blocks[3].without("tngd", SkipReason("failed", "it was killed"))
    assert not enough.rest(third).runnable
    assert enough.rest(third).candidates == ()


def test_without_a_precision_nothing_is_left_out(blocks):
    enough = EnoughProcesses()
    plain = [dataclasses.replace(block, precision=None) for block in blocks]
    for process, block in enumerate(plain[:3]):
        assert not enough.note(block, entries(process, ngd=100.0, tngd=3.0))
    assert enough.rest(plain[4]) is plain[4]
    assert "precision" not in plain[0].particulars()
