"""From a study to its search: equal budgets, held-out data, seeds of its own, and what cannot be tuned is named."""

import copy
import sys

import pytest

from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.optimizer_label import config_of
from tngd_bench.studies.file.reading import LoadedStudy, load_study, make_study
from tngd_bench.studies.plan.data_requests import data_requests
from tngd_bench.studies.plan.inputs import LoadedSize, MachineLimits
from tngd_bench.studies.plan.make_plan import make_plan
from tngd_bench.studies.tuning.optuna_database import can_record
from tngd_bench.studies.tuning.search_study import make_search


def search_of(table, **tuning):
    table = copy.deepcopy(table)
    table["tuning"] = {"section": "digits", "trials": 4, **tuning}
    return make_search(LoadedStudy(make_study(table), "shipped"))


def plan_of(loaded):
    # A search has its own number of training samples: those not held out.
    sizes = {
        request: LoadedSize(round(64 * (1 - (request.validation_share or 0))), "c" * 64)
        for request in data_requests(loaded.study)
    }
    return make_plan(loaded, sizes, MachineLimits(1e11, 1e11, 4e9))


def test_every_optimizer_gets_its_own_settings_and_the_same_number_of_draws(table):
    search = search_of(table, seeds=2)
    assert [contender.method for contender in search.contenders] == ["sgd", "tngd"]
    trials = list(plan_of(search.loaded).trials.values())
    for contender in search.contenders:
        assert len(contender.labels) == len(set(contender.labels)) == 5
        own = [trial for trial in trials if trial.candidate.config.method == contender.method]
        assert len(own) == 10
    assert {trial.kind for trial in trials} == {"training"}


def test_labels_give_exactly_the_settings_drawn_over_those_of_the_study(table):
    search = search_of(table)
    tngd = search.contenders[1]
    assert tngd.label == "tngd[analog_time=50]"
    assert tngd.fixed == {"analog_time": 50}
    study = search.loaded.study
    for label, settings in zip(tngd.labels, tngd.tries, strict=True):
        config = config_of(study, label, "digits-mlp")
        assert config.settings["analog_time"] == 50
        assert {name: config.settings[name] for name in settings} == settings
    assert tngd.tries[0] == {}


def test_data_are_held_out_and_starts_batches_and_noise_are_not_those_of_the_study(table):
    study = LoadedStudy(make_study(table), "shipped")
    final = [trial for trial in plan_of(study).trials.values() if trial.kind == "training"]
    tried = list(plan_of(search_of(table, validation_share=0.25, seeds=3).loaded).trials.values())
    assert {trial.data.validation_share for trial in final} == {None}
    assert {trial.data.validation_share for trial in tried} == {0.25}
    for purpose in ("start", "batches", "noise"):
        ours = {trial.setting.seed(purpose) for trial in tried}
        assert len(ours) == 3  # the same for every optimizer and try
        assert not ours & {trial.setting.seed(purpose) for trial in final}


def test_draws_differ_between_optimizers_and_sampler_seeds_and_repeat_otherwise(table):
    first, again, other = search_of(table), search_of(table), search_of(table, sampler_seed=1)
    assert first.contenders == again.contenders
    assert first.loaded.study == again.loaded.study
    assert not set(first.contenders[0].labels[1:]) & set(other.contenders[0].labels)
    longer = search_of(table, trials=6)
    assert longer.contenders[0].labels[:5] == first.contenders[0].labels


def test_the_search_asks_for_what_the_table_says(table):
    run = search_of(table, epochs=0.5, optimizers=["adam", "sgd"]).loaded.study.training[0]
    assert (run.epochs, run.seeds, run.sweep, run.name) == (0.5, 1, None, "digits")
    assert run.optimizers[0] == "adam"
    assert run.optimizers[5] == "sgd"


def test_tuned_labels_are_tuned_from_the_study_s_own_settings(table):
    table["training"][0]["optimizers"] = ["sgd[tuned]", "sgd", "tngd[tuned, analog_time=50]"]
    table["tuned"] = {"sgd": {"lr": 0.9}, "tngd": {}}
    search = search_of(table)
    assert [contender.label for contender in search.contenders] == ["sgd", "tngd[analog_time=50]"]
    assert config_of(search.loaded.study, "sgd", "digits-mlp").settings["lr"] == 0.1
    assert search.loaded.study.tuned == {}


def test_evaluation_never_asks_for_more_than_the_validation_part_leaves(table):
    for size in (1, 2, 63, 64):
        table["training"][0] |= {"evaluation_size": size, "batch_size": 8}
        for share in (0.1, 0.5, 0.85):
            plan_of(search_of(table, validation_share=share).loaded)


def test_without_a_section_the_only_one_without_a_sweep_is_tuned(table):
    table["tuning"] = {"trials": 1}
    assert make_search(LoadedStudy(make_study(table), "shipped")).section.name == "digits"
    del table["tuning"]
    assert make_search(LoadedStudy(make_study(table), "shipped")).tuning.trials == 16


def _without_training(table):
    table["training"] = []


def _swept_only(table):
    table["training"] = table["training"][1:]


def _two_plain(table):
    table["training"].append({**table["training"][0], "name": "more"})


def _two_settings(table):
    table["training"][0]["optimizers"] = ["tngd", "tngd[analog_time=50]"]


@pytest.mark.parametrize(
    ("change", "tuning", "words"),
    [
        (None, {"section": "digit"}, "no training section; did you mean 'digits'.*there are: digits, noise"),
        (_without_training, {"section": "x"}, "no training sections at all"),
        (_swept_only, {"section": None}, "no .*training.* section without a sweep"),
        (_two_plain, {"section": None}, "which of digits, more"),
        (_two_settings, {}, "one table .tuned.tngd"),
        (None, {"metric": "validation_acuracy"}, "did you mean 'validation_accuracy'"),
        (None, {"metric": "validation_f1"}, "not measured on digits-mlp"),
        (None, {"metric": "test_loss"}, "accepted: validation_loss, validation_accuracy"),
        (None, {"optimizers": ["adm"]}, "did you mean 'adam'"),
        (None, {"spaces": {"adam": {"lr": {"low": 0.1, "high": 1.0}}}}, "tuning.spaces.adam: not tuned here"),
        (None, {"spaces": {"sgd": {"rate": {"low": 0.1, "high": 1.0}}}}, "no setting 'rate'"),
        (None, {"optimizers": ["sgd[lr=0.1, momentum=0.5]"]}, "leaves nothing to tune"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_one_line(table, change, tuning, words):
    if change is not None:
        change(table)
    tuning = {key: value for key, value in {"section": "digits", **tuning}.items() if value is not None}
    with pytest.raises(StudyError, match=words) as caught:
        make_search(LoadedStudy(make_study({**table, "tuning": tuning}), "shipped"))
    assert "\n" not in str(caught.value)


def test_a_choice_leaves_the_spaces_of_other_optimizers_unused(table):
    lr = {"lr": {"low": 0.1, "high": 1.0}}
    table["training"].append({**table["training"][0], "name": "more", "optimizers": ["sgd", "kfac"]})
    search = search_of(table, optimizers=["sgd"], spaces={"sgd": lr, "tngd": lr, "adam": lr})
    assert [contender.method for contender in search.contenders] == ["sgd"]
    assert search.contenders[0].space.axes["lr"].low == 0.1
    assert search_of(table, section="digits", spaces={"kfac": lr})  # of another section
    with pytest.raises(StudyError, match=r"tuning\.spaces\.sdg: not tuned here; did you mean 'sgd'"):
        search_of(table, optimizers=["sgd"], spaces={"sdg": lr})


@pytest.mark.parametrize(
    ("tuning", "words"),
    [
        ({"trials": 0}, "tuning.trials"),
        ({"trials": 10**9}, "tuning.trials"),
        ({"trails": 3}, "trails"),
        ({"validation_share": 1.0}, "tuning.validation_share"),
        ({"spaces": {"sgd": {"lr": {"low": 1.0, "high": 0.1}}}}, "low must be < high"),
        ({"spaces": {"sgd": {"lr": {"low": 1.0, "hihg": 0.1}}}}, "hihg"),
        ({"spaces": {"sgd": {"lr": 3}}}, "tuning.spaces.sgd.lr"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(table, tuning, words):
    with pytest.raises(StudyError, match=words):
        make_study({**table, "tuning": tuning})


def test_a_search_needs_no_optuna_which_only_its_database_is_written_with(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert make_search(load_study("digits-tuning")).contenders
    assert not can_record()
