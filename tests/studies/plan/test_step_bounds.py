"""Lower bounds of steps from smaller sizes: never above the truth, and what they leave out."""

import dataclasses
import math

import pytest

from tngd_bench.studies.file.schema import Execution
from tngd_bench.studies.plan.step_bounds import LEAST_STEP_S, Seen, StepBounds, least_step
from tngd_bench.studies.plan.trials import CostBlock, InspectionTrial

LIMIT = 20.0


@pytest.mark.parametrize("power", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("overhead", [0.0, 1e-3, 1.0])
def test_a_bound_is_below_the_truth_and_grows_with_n(power, overhead):
    def seconds(n):
        return overhead + 1e-9 * n**power

    sizes = [1_000, 10_000, 100_000]
    seen = {(n, 32, 10): [Seen(seconds(n), True)] for n in sizes}
    least, reason = least_step(seen, (10_000_000, 32, 10))
    assert seconds(100_000) < least <= seconds(10_000_000) * (1 + 1e-9)
    if power == 1.0:
        assert least == pytest.approx(seconds(10_000_000)), "what is in proportion to N is told exactly"
    assert "at N = 100,000, so at least" in reason


def test_one_size_says_that_larger_ones_take_no_less_and_nothing_of_smaller_ones():
    seen = {(1_000, 32, 10): [Seen(3.0, True)]}
    assert least_step(seen, (10_000, 64, 10))[0] == 3.0
    assert least_step(seen, (500, 32, 10))[0] == least_step(seen, (10_000, 16, 10))[0] == 0.0


@pytest.fixture
def trials(table, plan_of):
    """The trials of sizes 1,000 to 4,000 by kind and N, of SGD and of one that describes no cost."""
    del table["training"]
    table["execution"]["seconds_per_iteration_limit"] = LIMIT
    table["cost"][0] |= {"parameters": [1000, 2000, 4000], "optimizers": ["sgd", "adam"], "processes": 1}

    def undescribed(trial):
        unknown = [dataclasses.replace(each, estimate_seconds=math.nan) for each in trial.candidates]
        keep = [
            each if each.config.label == "sgd" else other
            for each, other in zip(trial.candidates, unknown, strict=True)
        ]
        return dataclasses.replace(trial, candidates=tuple(keep))

    every = [undescribed(trial) for trial in plan_of(table).trials.values()]
    return {
        kind: {
            (each.setting.parameters, each.candidates[-1].config.label): each
            for each in every
            if isinstance(each, kind)
        }
        for kind in (CostBlock, InspectionTrial)
    }


def entry(label, seconds):
    timed = {"repetition": [0], "step_s": [seconds], "digital_s": [seconds]}
    return {"optimizer": label, "status": "ok", "iterations": timed}


def skipped(trial):
    return {each.config.label: each.skip and each.skip.reason for each in trial.candidates}


def test_what_describes_no_cost_is_skipped_at_larger_sizes_and_nobody_else(trials):
    bounds, blocks = StepBounds(Execution()), trials[CostBlock]
    for n, seconds in ((1000, 4.0), (2000, 11.0)):
        block = blocks[n, "adam"]
        assert bounds.bounded(block) == block
        assert bounds.note(block, [entry("sgd", 50.0), entry("adam", seconds)])
    reasons = skipped(bounds.bounded(blocks[4000, "adam"]))
    assert reasons["sgd"] is None, "its cost is described, and the plan has judged it"
    assert "took 11 s per iteration at N = " in reasons["adam"]
    assert reasons["adam"].endswith("limit 20 s")
    assert "adam" in skipped(bounds.bounded(trials[InspectionTrial][4000, "adam"]))
    assert skipped(bounds.bounded(trials[InspectionTrial][2000, "adam"])) == {"adam": None}


def test_a_step_that_was_stopped_skips_its_size_its_inspection_and_larger_ones(trials):
    bounds, blocks = StepBounds(Execution()), trials[CostBlock]
    stopped = {"optimizer": "adam", "status": "timed-out", "iterations": {}, LEAST_STEP_S: 60.0}
    bounds.note(blocks[2000, "adam"], [stopped])
    assert skipped(bounds.bounded(blocks[1000, "adam"]))["adam"] is None
    assert (
        "took more than 60 s per iteration in another process"
        in (skipped(bounds.bounded(trials[InspectionTrial][2000, "adam"]))["adam"])
    )
    assert not bounds.bounded(trials[InspectionTrial][4000, "adam"]).runnable
