import itertools
from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.measure.cost import _time_round, _warm_timer
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.step_timer import StepTimer
from tngd_bench.studies.file.schema import CostSection
from tngd_bench.studies.plan.duration_model import (
    EVALUATION_S,
    INSPECTION_START_S,
    STEP_OVERHEAD_S,
    TURN_START_S,
    Correction,
    DurationModel,
    corrections_of,
    cycle_of,
    evaluations_of,
    ratios_of,
)
from tngd_bench.studies.plan.probes import Step, TimedStep, grown
from tngd_bench.studies.store.columns import COST_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS
from tngd_bench.studies.store.records import Records

SGD = OptimizerConfig("sgd", "sgd", {})
SMALL = ProblemInstance("digits-mlp", 1_000, 10, 8, "float32", ())
KFAC = OptimizerConfig("kfac", "kfac", {"factor_interval": 10, "inverse_interval": 100})
LEARNED = DurationModel({("sgd", "cost"): Correction(3.0, 7), ("sgd", "training"): Correction(0.5, 2)})


def section(repetitions, least, seconds_limit):
    limits = {"repetitions": repetitions, "least_repetitions": least, "seconds_limit": seconds_limit}
    return CostSection(name="c", problem="digits-mlp", parameters=(1_000,), optimizers=("sgd",), **limits)


def test_a_timed_optimizer_stops_at_its_repetitions_or_its_seconds_but_makes_the_least():
    plain, step = DurationModel(), 0.1 + STEP_OVERHEAD_S
    before = (
        TURN_START_S + (1.0 + STEP_OVERHEAD_S) + 0.3
    )  # a first step too long for another before timed ones
    assert plain.timed(SGD, SMALL, 0.1, section(20, 2, 100.0), 1.0, 0.3) == pytest.approx(before + 20 * step)
    assert plain.timed(SGD, SMALL, 0.1, section(20, 2, 1.0), 1.0, 0.3) == pytest.approx(before + 10 * step)
    assert plain.timed(SGD, SMALL, 0.1, section(20, 4, 0.01), 1.0, 0.3) == pytest.approx(before + 4 * step)
    assert (cycle_of(SGD), cycle_of(KFAC)) == (1, 100)
    assert plain.timed(KFAC, SMALL, 0.1, section(20, 2, 0.01), 1.0, 0.0) == pytest.approx(
        TURN_START_S + 100 * (1.0 + STEP_OVERHEAD_S) + 200 * step
    )


@pytest.mark.parametrize("seconds", [1e-3, 1e-2, 0.1])
def test_the_steps_predicted_are_those_that_a_timer_makes(seconds):
    made = []

    class Counted(StepTimer):
        def _clock_readings(self, batches, steps_each):
            made.extend(batches)
            return [len(made) * seconds - place * seconds for place in range(len(batches), -1, -1)]

    timer = Counted(SGD, None, None, object(), 1, None, host_alone=False)
    few = (torch.zeros(2), torch.zeros(2))
    _warm_timer(timer, few, few)
    while timer.needs_more(7, 2, 0.35):
        _time_round([timer], itertools.repeat(few), 0, 7, lambda label: None, torch.device("cpu"))
    predicted = DurationModel().timed(
        SGD, SMALL, seconds - STEP_OVERHEAD_S, section(7, 2, 0.35), seconds, 0.0
    )
    assert predicted - TURN_START_S == pytest.approx(len(made) * seconds, abs=2 * STEP_OVERHEAD_S)


def test_corrections_are_those_of_the_optimizer_and_the_kind():
    step = 0.1 + STEP_OVERHEAD_S
    timed = LEARNED.timed(SGD, SMALL, 0.1, section(20, 2, 100.0), 0.1, 0.2)
    assert timed == pytest.approx(TURN_START_S + 3 * (21 * step + 0.2))
    assert LEARNED.inspected(SGD, SMALL, 0.1) == pytest.approx(INSPECTION_START_S + 3 * 2 * step)
    assert LEARNED.trained(SGD, SMALL, 0.1, 50, 3, 0.2) == pytest.approx(TURN_START_S + 0.5 * 50 * step + 0.6)
    assert LEARNED.trained(KFAC, SMALL, 0.1, 50, 3, 0.2) == pytest.approx(TURN_START_S + 50 * step + 0.6)


def probe(config, instance=SMALL, kind="cost", predicted_s=0.1 - STEP_OVERHEAD_S, measured_s=0.4):
    return TimedStep(Step.of(config, instance, kind), predicted_s, 0.5, 2.0, measured_s)


def test_an_evaluation_is_as_learned_then_as_timed_then_by_formula():
    timed = replace(probe(SGD), sample_s=0.01)
    other_batch, larger = replace(SMALL, batch_size=64, seed_parts=("a", 1)), replace(SMALL, parameters=2_000)
    learned = DurationModel(evaluations={("digits-mlp", 989): 5.0}, probes=(probe(KFAC), timed))

    def seconds(model, instance, parameters):
        return model.evaluation(instance, parameters, 300, lambda: 7.0)

    assert seconds(learned, SMALL, 989) == 5.0
    assert seconds(learned, other_batch, 990) == pytest.approx(3.0 + EVALUATION_S)
    assert seconds(learned, larger, 2_000) == pytest.approx(7.0 + EVALUATION_S)
    assert seconds(DurationModel(probes=(probe(SGD),)), SMALL, 989) == pytest.approx(7.0 + EVALUATION_S)


def test_a_timed_step_decides_at_its_size_and_scales_the_formula_at_others():
    large = replace(SMALL, parameters=100_000)
    model = DurationModel(
        probes=(probe(SGD), probe(SGD, large, predicted_s=0.8 - STEP_OVERHEAD_S, measured_s=0.8))
    )
    long = section(20, 2, 100.0)
    # at the size of a probe: what it took before its steps, and steps four times as long as by formula
    assert model.timed(SGD, SMALL, 0.1 - STEP_OVERHEAD_S, long, 9.0, 9.0) == pytest.approx(2.0 + 20 * 0.4)
    assert model.trained(SGD, SMALL, 0.1 - STEP_OVERHEAD_S, 50, 3, 0.2) == pytest.approx(
        TURN_START_S + 0.5 + 50 * 0.4 + 0.6
    )
    between = replace(SMALL, parameters=10_000)
    for seconds, factor in ((0.2, 4.0), (0.4, 1.0)):  # nearer to the one, nearer to the other
        step = factor * seconds
        found = model.timed(SGD, between, seconds - STEP_OVERHEAD_S, long, seconds - STEP_OVERHEAD_S, 0.0)
        assert found == pytest.approx(TURN_START_S + 0.5 + 21 * step)
        assert model.basis(SGD, between, "inspection", described=True) == "timed"
    assert model.basis(KFAC, between, "cost", described=True) == "formula"
    assert model.basis(SGD, replace(SMALL, problem="mnist-mlp"), "cost", described=True) == "formula"


@pytest.mark.parametrize("measured_s", [0.05, 0.4])
def test_a_step_of_what_describes_no_cost_is_taken_as_timed_and_elsewhere_from_below(measured_s):
    model = DurationModel(
        probes=(replace(probe(SGD, measured_s=measured_s), described=False),), step_limit=1.0
    )
    gradient_s = 0.1 - STEP_OVERHEAD_S
    for parameters, step in ((1000, measured_s), (10_000, max(measured_s, gradient_s)), (500, gradient_s)):
        instance = replace(SMALL, parameters=parameters)
        found = model.trained(SGD, instance, gradient_s, 50, 3, 0.2)
        assert found == pytest.approx(TURN_START_S + 0.5 + 50 * step + 0.6)
        assert model.basis(SGD, instance, "training", described=False) == (
            "timed" if parameters == 1000 else "bound"
        )


def test_three_sizes_of_what_describes_no_cost_are_extrapolated_up_to_the_limit():
    def true_s(n):
        return 2e-3 + 1e-7 * n + 4e-9 * n**1.5

    timed = tuple(
        replace(probe(SGD, replace(SMALL, parameters=n), measured_s=true_s(n)), described=False)
        for n in (1_000, 10_000, 100_000)
    )

    def trained(model, instance):
        return model.trained(SGD, instance, 1e-3, 50, 0, 0.0) - TURN_START_S - 0.5

    large = replace(SMALL, parameters=1_000_000)
    model = DurationModel(probes=timed, step_limit=20.0)
    assert trained(model, large) == pytest.approx(50 * true_s(1_000_000), rel=1e-6)
    assert model.basis(SGD, large, "cost", described=False) == "extrapolated"
    short = replace(model, step_limit=3.0)  # a run stops what takes longer
    assert short.trained(SGD, large, 1e-3, 50, 0, 0.0) == 0.0
    assert short.basis(SGD, large, "cost", described=False) == "bound"
    few_s = 1e-5  # predicted of the first step, on few samples: it may take as long as another
    found = model.timed(SGD, large, 1e-3, section(4, 4, 0.1), few_s, 0.0)
    assert found == pytest.approx(TURN_START_S + 0.5 + 5 * true_s(1_000_000), rel=1e-6)
    two = replace(model, probes=timed[1:])
    assert model.basis(SGD, replace(large, batch_size=64), "cost", described=False) == "bound"
    assert two.basis(SGD, large, "cost", described=False) == "bound"
    assert trained(two, large) < 0.5 * trained(model, large)
    like, slower = (  # two more settings of a sweep at one size: their median counts, in whatever order
        replace(timed[1], step=replace(timed[1].step, config=OptimizerConfig("sgd", "sgd", {"lr": lr})))
        for lr in (0.5, 0.9)
    )
    slower = replace(slower, measured_s=1.0)
    for probes in ((*timed, like, slower), (slower, like, *timed)):
        assert trained(replace(model, probes=probes), large) == pytest.approx(trained(model, large))


@given(
    st.tuples(*[st.floats(0.0, 1.0)] * 3).filter(lambda shares: sum(shares) > 0.1),
    st.floats(2.0, 100.0),
)
def test_extrapolated_seconds_are_those_of_the_law_and_between_none_and_its_steepest_growth(shares, times):
    def true_s(n):
        return shares[0] + shares[1] * n / 1e5 + shares[2] * (n / 1e5) ** 1.5

    seen = {n: true_s(n) for n in (1_000, 10_000, 100_000)}
    found = grown(seen, round(times * 100_000))
    if found is None:
        assert times > 10.0
        assert seen[100_000] <= 2.0 * seen[1_000]  # nearly all calls: farther on it would be noise
        return
    assert found == pytest.approx(true_s(round(times * 100_000)), rel=1e-4)
    assert 0.999 * seen[100_000] <= found <= 1.001 * seen[100_000] * times**1.5
    assert grown({n: seen[n] for n in (1_000, 10_000)}, 100_000) is None


def test_sizes_close_together_and_far_away_are_not_extrapolated():
    assert grown({1_000: 1e-3, 2_000: 1e-3, 4_000: 1.1e-3}, 1_000_000) is None
    calls = {1_000: 1e-3, 10_000: 1e-3, 100_000: 1.1e-3}
    assert grown(calls, 1_000_000) < 5e-3
    assert grown(calls, 1_000_001) is None
    assert grown({1_000: 1e-3, 10_000: 3e-3, 100_000: 0.1}, 10_000_001) is None


def test_a_repetition_of_a_step_of_each_kind_takes_less_than_the_cycle():
    whole = DurationModel(probes=(probe(KFAC),))
    phased = DurationModel(probes=(replace(probe(KFAC), repeated=3.0),))
    wanted, step_s = section(20, 2, 1e6), 0.1 - STEP_OVERHEAD_S
    given = KFAC, SMALL, step_s, wanted, 9.0, 9.0
    assert phased.timed(*given) == pytest.approx(2.0 + 20 * 3 * 0.4)
    assert whole.timed(*given) == pytest.approx(2.0 + 20 * 100 * 0.4)
    larger = KFAC, replace(SMALL, parameters=9_000), 0.2 - STEP_OVERHEAD_S, wanted, 0.0, 0.0
    assert phased.timed(*larger) < 0.1 * whole.timed(*larger)
    # where steps take less the cycle may be made whole, and another setting has a cycle of its own
    smaller = KFAC, replace(SMALL, parameters=100), 0.01 - STEP_OVERHEAD_S, wanted, 0.0, 0.0
    assert phased.timed(*smaller) == pytest.approx(whole.timed(*smaller))
    other = OptimizerConfig("kfac", "kfac", {"factor_interval": 10, "inverse_interval": 50}), *given[1:]
    assert phased.timed(*other) == pytest.approx(whole.timed(*other))


def test_a_step_beyond_the_limit_of_what_describes_no_cost_is_not_planned():
    model = DurationModel(probes=(replace(probe(SGD, measured_s=2.0), described=False),), step_limit=1.0)
    for parameters in (1000, 10_000):
        instance = replace(SMALL, parameters=parameters)
        assert model.trained(SGD, instance, 0.1, 50, 3, 0.2) == 0.0
        assert model.timed(SGD, instance, 0.1, section(20, 2, 100.0), 0.1, 0.1) == 0.0
        assert model.inspected(SGD, instance, 0.1) == 0.0
        assert model.basis(SGD, instance, "training", described=False) == "bound"


def test_a_simulated_training_has_a_step_of_its_own_and_seeds_and_processes_share_one():
    tngd = OptimizerConfig("tngd", "tngd", {}, simulated=True)
    step, other = Step.of(tngd, SMALL, "training"), Step.of(tngd, SMALL, "cost")
    assert step.key != other.key
    assert not step.is_like(other)
    assert Step.of(SGD, SMALL, "training").key == Step.of(SGD, SMALL, "cost").key
    assert (
        Step.of(SGD, replace(SMALL, seed_parts=("study", "seed", 3)), "cost").key
        == Step.of(SGD, SMALL, "cost").key
    )


def test_trials_learned_from_come_before_steps_timed_now():
    model = replace(LEARNED, probes=(probe(SGD),))
    assert model.trained(SGD, SMALL, 0.1, 50, 3, 0.2) == LEARNED.trained(SGD, SMALL, 0.1, 50, 3, 0.2)
    assert model.basis(SGD, SMALL, "training", described=True) == "trials"


def test_an_inspection_of_a_class_makes_its_first_step_and_a_cycle_twice():
    soap = OptimizerConfig("SOAP", "torch.optim:AdamW", {"cycle": 10})
    made = DurationModel().inspected(soap, SMALL, 0.1 - STEP_OVERHEAD_S)
    assert made == pytest.approx(INSPECTION_START_S + 2 * 11 * 0.1)


def test_it_is_said_how_much_was_learned():
    kinds = ("cost", "inspection", "training")
    assert [LEARNED.trials_behind("sgd", kind) for kind in kinds] == [7, 7, 2]
    assert [LEARNED.trials_behind("kfac", kind) for kind in kinds] == [0, 0, 0]


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
    assert found["sgd", "training"].factor == pytest.approx(0.75 / (10 * (0.01 + STEP_OVERHEAD_S)))
    assert found["sgd", "training"].trials == 2


def test_what_a_training_takes_beside_its_steps_is_learned_per_evaluation():
    assert sorted(evaluations_of(records())["seconds"]) == pytest.approx([0.5, 1.0])  # of 2 and 4 s


def test_a_store_with_nothing_finished_teaches_nothing():
    empty = Records({}, {}, *(frame([], columns) for columns in (TRIAL_COLUMNS, COST_COLUMNS, CURVE_COLUMNS)))
    assert corrections_of(ratios_of(empty)) == {}
