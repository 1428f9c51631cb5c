"""Steps timed for a plan: which, for how long, and what the forecast makes of them."""

import dataclasses

import pytest

from tngd_bench.measure.clock import OwnClock
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.optimizers import registry
from tngd_bench.studies.errors import EngineError
from tngd_bench.studies.plan.duration_model import EVALUATION_S, TURN_START_S, DurationModel
from tngd_bench.studies.plan.forecast import groups_of
from tngd_bench.studies.plan.inputs import LoadedSize
from tngd_bench.studies.plan.make_plan import make_plan
from tngd_bench.studies.plan.trials import TrainingTrial
from tngd_bench.studies.run import run_trial
from tngd_bench.studies.run import timed_steps as module
from tngd_bench.studies.run.data_files import load_request
from tngd_bench.studies.run.timed_steps import LONGEST_S, timed_steps


class Steps:
    """Optimizers whose steps say that they take so many seconds, of one clock; `made` are the labels timed."""

    def __init__(self):
        self.now, self.seconds, self.made = 100.0, 0.05, []

    def optimizer(self, instance, config, model):
        self.made.append(config.label)
        return self

    def step(self, inputs, targets):
        if self.seconds is None:
            raise ValueError("no step")
        self.now += self.seconds
        return 1.0


@pytest.fixture
def steps(monkeypatch):
    """Timed in this process."""
    made = Steps()

    def in_this_process(context, target, args, limits):
        sent = []

        class Connection:
            send = sent.append

        target(*args, Connection)
        ending, value = sent[-1]
        if ending == "failed":
            raise EngineError(value)
        return value

    monkeypatch.setattr(OwnClock, "now", lambda self: made.now)
    monkeypatch.setattr(ProblemInstance, "optimizer", lambda *given: made.optimizer(*given))
    monkeypatch.setattr(run_trial, "use_threads", lambda threads: None)  # which torch lets a process do once
    monkeypatch.setattr(module, "worker_context", lambda: None)
    monkeypatch.setattr(module, "call_in_worker", in_this_process)
    monkeypatch.setattr(module.time, "monotonic", lambda: made.now)
    return made


@pytest.fixture
def undescribed(monkeypatch):
    """An optimizer `mine` that does not describe its cost."""
    found = registry._found()
    entries = {**found.entries, "mine": dataclasses.replace(found.entries["sgd"], name="mine", cost=None)}
    monkeypatch.setattr(registry, "_found", lambda: dataclasses.replace(found, entries=entries))


def with_probes(plan, data):
    """The probes of a plan, and the plan that is made with them."""
    probes = timed_steps(plan, DurationModel(), data)
    sizes = {request: LoadedSize(len(one.train_targets), one.checksum) for request, one in data.items()}
    return (
        probes,
        DurationModel(probes=probes),
        make_plan(plan.loaded, sizes, plan.machine, DurationModel(probes=probes)),
    )


def data_of(plan):
    return {trial.data: load_request(trial.data) for trial in plan.trials.values()}


def test_an_optimizer_without_a_predicted_cost_is_timed_and_forecast(steps, undescribed, table, plan_of):
    del table["cost"], table["training"][1]
    table["training"][0]["optimizers"] = ["sgd", "mine"]
    plan = plan_of(table)
    probes, model, again = with_probes(plan, data_of(plan))
    assert steps.made == ["mine"]  # of the seconds that `sgd` is predicted to take there is nothing to spend
    assert [probe.measured_s for probe in probes] == pytest.approx([0.05])
    (group,) = [group for group in groups_of(again.trials.values(), model) if group.optimizer == "mine"]
    assert (group.known, group.basis, group.from_below) == (False, "timed", False)
    (trial,) = [t for t in again.trials.values() if t.candidate.config.label == "mine" and t.seed == 0]
    iterations = 64 // trial.setting.batch_size
    assert (
        0 < trial.candidate.predicted_s - (TURN_START_S + iterations * 0.05) < 0.1
    )  # two evaluations beside


def test_the_evaluation_of_a_model_is_timed_once_and_forecast(
    steps, undescribed, table, plan_of, monkeypatch
):
    evaluated = []
    monkeypatch.setattr(run_trial, "probe_evaluation", lambda *given: evaluated.append(given) or 0.5)
    table["cost"][0] |= {"parameters": [1000], "optimizers": ["mine"]}
    table["training"][0]["optimizers"] = ["mine", "mine[lr=0.5]"]
    del table["training"][1]
    plan = plan_of(table)
    data = data_of(plan)
    probes, _, again = with_probes(plan, data)
    assert len(probes) == 3
    assert [probe.sample_s for probe in probes].count(0.5) == len(evaluated) == 1
    (trial, *_) = [each for each in again.trials.values() if isinstance(each, TrainingTrial)]
    samples = len(data[trial.data].train_targets)  # these plans know no test data
    stepping = TURN_START_S + 64 // trial.setting.batch_size * 0.05
    assert trial.candidate.predicted_s - stepping == pytest.approx(2 * (0.5 * samples + EVALUATION_S))


def test_each_optimizer_without_a_predicted_cost_is_timed_first_where_it_is_smallest(
    steps, undescribed, table, plan_of
):
    del table["training"][1]
    table["cost"][0] |= {"parameters": [1_000, 10_000], "optimizers": ["mine", "mine[lr=0.5]"]}
    table["training"][0] |= {"problem": "mnist-mlp", "parameters": 50_000, "optimizers": ["mine"]}
    plan = plan_of(table)
    probes, _, _ = with_probes(plan, data_of(plan))
    places = [(probe.step.config.label, probe.step.instance.parameters) for probe in probes]
    assert places[:3] == [("mine", 1_000), ("mine[lr=0.5]", 1_000), ("mine", 50_000)]
    assert sorted(places[3:]) == [("mine", 10_000), ("mine[lr=0.5]", 10_000)]


def test_seconds_are_spent_on_what_takes_most_and_end(steps, table, plan_of):
    del table["training"]
    table["cost"][0] |= {
        "optimizers": ["sgd", "ngd-gram"],
        "repetitions": 100,
        "processes": 20,
        "seconds_limit": 100.0,
    }
    plan = plan_of(table, rate=4e9)
    assert plan.predicted_s > LONGEST_S / module.SHARE
    probes, _, _ = with_probes(plan, data_of(plan))
    assert [probe.step.config.label for probe in probes][:1] == ["ngd-gram"]
    steps.made.clear()
    steps.seconds = 0.6 * LONGEST_S  # two steps of a block go beyond
    began = steps.now
    with_probes(plan, data_of(plan))
    assert len(steps.made) == 1
    assert steps.now - began == pytest.approx(2 * steps.seconds)


def test_nothing_is_timed_for_a_study_of_seconds(steps, table, plan_of):
    plan = plan_of(table)
    assert timed_steps(plan, DurationModel(), data_of(plan)) == ()
    assert steps.made == []


def test_a_step_that_fails_leaves_the_formula(steps, undescribed, table, plan_of):
    del table["cost"], table["training"][1]
    table["training"][0]["optimizers"] = ["mine"]
    plan, steps.seconds = plan_of(table), None
    probes, _, again = with_probes(plan, data_of(plan))
    assert (probes, len(steps.made)) == ((), 1)
    assert [t.candidate.predicted_s for t in again.trials.values()] == [
        t.candidate.predicted_s for t in plan.trials.values()
    ]
