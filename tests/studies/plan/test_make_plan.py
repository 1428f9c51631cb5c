import contextlib
import copy
import dataclasses
import re
import time

import pytest

from tngd_bench.optimizers.cost_model import REFERENCE_RATE
from tngd_bench.optimizers.costs import PredictedCost
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.plan import candidates
from tngd_bench.studies.plan.data_requests import data_requests
from tngd_bench.studies.plan.duration_model import INSPECTION_START_S
from tngd_bench.studies.plan.inputs import LoadedSize, MachineLimits
from tngd_bench.studies.plan.make_plan import make_plan, predicted_seconds
from tngd_bench.studies.plan.probes import STEP_OVERHEAD_S
from tngd_bench.studies.plan.trials import CostBlock, InspectionTrial, TrainingTrial


def ngd_estimate(block):
    (ngd,) = (entrant for entrant in block.candidates if entrant.config.label == "ngd")
    return ngd.estimate_seconds


def of_kind(plan, kind):
    return [trial for trial in plan.trials.values() if isinstance(trial, kind)]


def test_a_study_unrolls_to_every_combination_once(table, plan_of):
    plan = plan_of(table)
    blocks, training = of_kind(plan, CostBlock), of_kind(plan, TrainingTrial)
    assert {(b.setting.parameters, b.process) for b in blocks} == {
        (n, p) for n in (1000, 100_000) for p in (0, 1)
    }
    assert all([e.config.label for e in b.candidates] == ["sgd", "ngd", "tngd"] for b in blocks)
    plain = {(t.candidate.config.label, t.seed) for t in training if t.section == "digits"}
    assert plain == {(label, seed) for label in ("sgd", "tngd[analog_time=50]") for seed in (0, 1)}
    assert [[(v.value, v.label) for v in t.levels] for t in training if t.section == "noise"] == [
        [(None, "ideal")],
        [(4, "4")],
    ]
    assert len(plan.trials) == len(blocks) + len(training) + len(of_kind(plan, InspectionTrial))


def test_settings_reach_the_trials(table, plan_of):
    plan = plan_of(table)
    swept = [t.candidate.config.settings for t in of_kind(plan, TrainingTrial) if t.section == "noise"]
    assert [(s["adc_bits"], s["analog_time"]) for s in swept] == [(None, 5.0), (4, 5.0)]


def test_what_cannot_fit_is_skipped_with_need_and_limit(table, plan_of):
    plan = plan_of(table, rate=1e11, memory=4e9)
    for block in of_kind(plan, CostBlock):
        verdicts = {e.config.label: e.skip for e in block.candidates}
        assert verdicts["sgd"] is None
        if block.setting.parameters == 1000:
            assert verdicts["ngd"] is None
            continue
        ngd = verdicts["ngd"]
        assert ngd.status == "skipped"
        # More than N³/3 operations at 10¹¹ a second and 4·N² bytes against half of 4 GB
        found = re.fullmatch(
            r"needs (\S+) FLOP in (\S+) s, and (\S+) s for calls and memory: (\S+) s per iteration, limit 0.5 s; "
            r"needs (\S+) GB, budget 2 GB",
            ngd.reason,
        )
        flops, computing, beside, seconds, gigabytes = (float(text) for text in found.groups())
        assert computing == pytest.approx(flops / 1e11, rel=0.01)  # as the plan says of the machine
        assert computing + beside == pytest.approx(seconds, rel=0.01)
        assert seconds == pytest.approx(ngd_estimate(block), rel=0.01)
        assert seconds > block.parameters**3 / 3 / 1e11
        assert gigabytes > 4 * block.parameters**2 / 1e9


def test_the_skipped_are_not_inspected(table, plan_of):
    inspected = {
        (t.candidate.config.label, t.setting.parameters) for t in of_kind(plan_of(table), InspectionTrial)
    }
    assert ("ngd", 1000) in inspected
    assert ("ngd", 100_000) not in inspected
    assert ("sgd", 100_000) in inspected


def test_a_faster_machine_skips_less(table, plan_of):
    fast = plan_of(table, rate=1e18, memory=1e12)
    assert all(c.skip is None for trial in fast.trials.values() for c in trial.candidates)
    slow = plan_of(table, rate=1.0)
    assert not any(trial.runnable for trial in slow.trials.values())


def test_a_training_run_beyond_its_time_limit_is_skipped(table, plan_of):
    table["execution"] |= {"trial_seconds_limit": 1.0}
    table["training"] = [{**table["training"][0], "optimizers": ["ngd"], "epochs": 1000}]
    (reason,) = {t.candidate.skip.reason for t in of_kind(plan_of(table), TrainingTrial)}
    assert "s for 2000 iterations, limit 1 s" in reason


def test_all_optimizers_of_a_repetition_share_one_setting(table, plan_of):
    training = [t for t in of_kind(plan_of(table), TrainingTrial) if t.section == "digits"]
    for seed in (0, 1):
        assert len({t.setting for t in training if t.seed == seed}) == 1
    assert len({t.setting.seed_parts for t in training}) == 2


def test_swept_values_are_paired_by_seed_across_sections(table, plan_of):
    seeds = {(t.seed, t.setting.seed_parts) for t in of_kind(plan_of(table), TrainingTrial)}
    assert len(seeds) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["training"][0].update(epochs=2),
        lambda t: t["training"][0].update(train_size=65),
        lambda t: t["training"][0].update(evaluations=2),
        lambda t: t["optimizer"].update(sgd={"lr": 0.2}),
        lambda t: t["execution"].update(dtype="float64"),
        lambda t: t["execution"].update(threads_training=2),
        lambda t: t.update(name="other"),
    ],
)
def test_a_key_changes_with_what_the_trial_is(table, plan_of, change):
    def key(plan):
        return next(k for k, t in plan.trials.items() if isinstance(t, TrainingTrial))

    before = key(plan_of(copy.deepcopy(table)))
    change(table)
    assert key(plan_of(table)) != before


def test_keys_do_not_change_with_what_does_not_matter(table, plan_of):
    before = list(plan_of(copy.deepcopy(table)).trials)
    table["title"] = "Another title"
    table["execution"]["workers"] = 1
    table["execution"]["trial_seconds_limit"] = 100.0
    assert list(plan_of(table).trials) == before


def test_keys_change_with_the_data(table, plan_of):
    assert not set(plan_of(table).trials) & set(plan_of(table, checksum="d" * 64).trials)


@pytest.mark.parametrize("key", ["batch_size", "evaluation_size"])
def test_more_samples_than_there_are_are_refused(table, plan_of, key):
    table["training"][0][key] = 100
    with pytest.raises(StudyError, match=rf"training\[digits\].{key} must be <= 64, .* not 100"):
        plan_of(table)


def test_side_by_side_trials_share_the_predicted_time(table, plan_of):
    trials = list(plan_of(table).trials.values())
    costs = [t for t in trials if isinstance(t, CostBlock)]
    others = [t for t in trials if not isinstance(t, CostBlock)]
    assert predicted_seconds(trials, 2) == pytest.approx(
        predicted_seconds(costs, 1) + predicted_seconds(others, 1) / 2
    )


def test_cost_sections_run_every_combination_and_share_starts(table, plan_of):
    table["cost"][0] |= {"parameters": [1000, 2000], "batch_size": [4, 8], "outputs": [10, 12]}
    plan = plan_of(table)
    blocks = of_kind(plan, CostBlock)
    places = {(b.setting.parameters, b.setting.batch_size, b.setting.outputs) for b in blocks}
    assert places == {(n, b, d) for n in (1000, 2000) for b in (4, 8) for d in (10, 12)}
    assert len(blocks) == 2 * len(places)
    assert len({b.setting.seed_parts for b in blocks}) == 2
    inspected = of_kind(plan, InspectionTrial)
    assert len(inspected) == 3 * len(places)


@pytest.mark.parametrize(("flops", "waiting_s", "steps_s"), [(1e11, 0.0, 2.0), (0.0, 1.0, 8.0)])
def test_counting_adds_to_what_calls_take_and_not_to_products(
    table, plan_of, monkeypatch, flops, waiting_s, steps_s
):
    table["execution"]["seconds_per_iteration_limit"] = 60
    cost = PredictedCost(flops, 1e6, waiting_s * 1e11 / REFERENCE_RATE)
    monkeypatch.setattr(candidates, "predicted", lambda *_: (cost, ""))
    inspections = of_kind(plan_of(table, rate=1e11), InspectionTrial)
    found = [each.candidate.predicted_s for each in inspections if each.candidate.config.label == "sgd"]
    assert found == pytest.approx([INSPECTION_START_S + steps_s + 2 * STEP_OVERHEAD_S] * len(found))
    assert found


def big_table(seeds):
    """A study of 100 trials a seed: five labels, two swept settings."""
    return {
        "name": "big",
        "title": "Big",
        "training": [
            {
                "name": "noise",
                "problem": "digits-mlp",
                "parameters": 1000,
                "epochs": 1,
                "seeds": seeds,
                "optimizers": ["tngd[analog_time=[5, 10, 20, 50]]", "tngd-adam"],
                "sweep": [
                    {"parameter": "noise_variance", "values": [0, 1e-5, 1e-4, 1e-3, 1e-2]},
                    {"parameter": "adc_bits", "values": ["ideal", 12, 10, 8]},
                ],
            }
        ],
    }


@pytest.mark.slow(reason="plans ten thousand trials and times it")
def test_ten_thousand_trials_take_no_longer_each_than_a_thousand(plan_of):
    def seconds_each(seeds):
        start = time.process_time()
        plan = plan_of(big_table(seeds))
        return (time.process_time() - start) / len(plan.trials)

    small = min(seconds_each(10) for _ in range(5))
    assert len(plan_of(big_table(100)).trials) == 10_000
    assert min(seconds_each(100) for _ in range(3)) < 1.5 * small


def test_a_study_too_large_to_unroll_is_refused_at_once(table):
    table["training"][0]["seeds"] = 10**9
    with pytest.raises(StudyError, match=r"unrolls to 2,000,000,0\d\d trials; accepted: at most 1,000,000"):
        make_study(table)


def test_no_two_trials_of_a_study_are_described_alike(table, plan_of):
    table["cost"][0] |= {"parameters": [1000, 2000], "batch_size": [4, 8], "outputs": [10, 20]}
    table["training"][0] |= {"batch_size": [8, 16]}
    trials = plan_of(table).trials.values()
    assert len({trial.describe() for trial in trials}) == len(trials)


@pytest.mark.parametrize(
    ("cores", "threads", "memory", "workers"),
    [(8, 1, 4e12, 8), (8, 3, 4e12, 2), (1, 2, 4e12, 1), (8, 1, 20e6, 3)],
)
def test_workers_left_to_the_machine_are_as_many_as_cores_and_memory_take(
    table, cores, threads, memory, workers
):
    table["execution"] |= {"workers": 0, "threads_training": threads}
    table["cost"][0]["parameters"] = [1000]
    table["training"][0]["optimizers"] = ["sgd", "ngd"]
    study = make_study(table)
    sizes = {request: LoadedSize(1437, "c" * 64) for request in data_requests(study)}
    alone = MachineLimits(1e11, 1e11, memory, cores=1)
    machine = dataclasses.replace(alone, cores=cores)
    plans = [make_plan(LoadedStudy(study, "shipped"), sizes, limits) for limits in (alone, machine)]
    assert [plan.study.execution.workers for plan in plans] == [1, workers]
    skipped = [[c.skip is None for t in plan.trials.values() for c in t.candidates] for plan in plans]
    assert skipped[0] == skipped[1], "no trial is skipped for having company"


def test_timed_threads_have_a_processor_each(table):
    table["execution"] |= {"threads_cost": 3, "threads_training": 3}
    machine = MachineLimits(1e11, 1e11, 4e12, cores=2)
    for kept, refused in (({}, True), ({"cost": []}, False), ({"training": []}, True)):
        study = make_study({**table, **kept})
        sizes = {request: LoadedSize(1437, "c" * 64) for request in data_requests(study)}
        with pytest.raises(StudyError, match="accepted: up to 2") if refused else contextlib.nullcontext():
            make_plan(LoadedStudy(study, "shipped"), sizes, machine)


def test_a_device_is_timed_wherever_its_host_is_quick_enough_and_simulated_where_its_bill_says(
    table, plan_of
):
    section = table["cost"][0]
    section |= {"problem": "mnist-cnn", "parameters": [100_000], "batch_size": 1024, "outputs": [20]}
    section["optimizers"] = ["tngd", "tngd[conductance_max_siemens=1e-4]"]
    table["execution"]["seconds_per_iteration_limit"] = 10.0
    del table["training"]
    plan = plan_of(table, memory=1e12, train_size=60_000)
    timed, simulated = of_kind(plan, CostBlock)[0].candidates
    assert timed.skip is None, "its simulation takes minutes"
    assert simulated.estimate_seconds > 10 * timed.estimate_seconds
    assert "its bill depends on the scale of its arrays" in simulated.skip.reason


def test_an_evaluation_takes_what_its_samples_take_through_the_model(table):
    table["training"] = [table["training"][0] | {"problem": "mnist-cnn", "parameters": 43_706, "seeds": 1}]
    del table["cost"]
    study = make_study(table)
    (request,) = data_requests(study)
    alone = MachineLimits(1e11, 1e11, 1e12)

    def seconds(test_size):
        loaded = LoadedStudy(study, "shipped")
        plan = make_plan(loaded, {request: LoadedSize(64, "c" * 64, test_size)}, alone)
        return next(iter(plan.trials.values())).predicted_s

    few, many = seconds(1_000) - seconds(0), seconds(10_000) - seconds(0)
    assert many == pytest.approx(10 * few)
    assert 0.2 < many < 5.0  # two evaluations of 10,000 images


def test_the_arrays_of_a_device_are_part_of_what_a_training_takes(table, plan_of):
    del table["cost"]
    section = table["training"][0] | {"parameters": 40_000, "train_size": 256, "batch_size": 128, "seeds": 1}
    table["execution"]["seconds_per_iteration_limit"] = 60.0
    table["training"] = [section | {"optimizers": ["tngd", "tngd[device=rram, stuck_off=0.01]"]}]
    ideal, programmed = (trial.candidates[0] for trial in plan_of(table, memory=1e12).trials.values())
    assert programmed.estimate_seconds > 10 * ideal.estimate_seconds
    assert 1.0 < programmed.estimate_seconds < 4.0
