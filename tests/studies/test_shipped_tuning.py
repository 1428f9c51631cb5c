"""The shipped settings are what they say: draws of the search that they name, the same budget for every optimizer."""

import tomllib
from importlib.resources import files

import pytest

from tngd_bench.analysis.statistics.paired import seeds_needed
from tngd_bench.optimizers.torch_class.known import KNOWN
from tngd_bench.studies.file.optimizer_label import config_of, read_label
from tngd_bench.studies.file.reading import load_study, shipped_studies
from tngd_bench.studies.store.columns import TRIED
from tngd_bench.studies.tuning.search_study import make_search

BUDGET = (
    *("drawn_per_optimizer", "runs_per_try", "epochs"),
    *("finalists_per_optimizer", "runs_per_finalist", "final_epochs"),
)
STUDY = """
include = ["{included}"]
name = "final"
title = "Final"

[[training]]
name = "mnist"
problem = "mnist-cnn"
parameters = 43_706
epochs = 1
optimizers = ["adam", "adam[tuned]", "tngd[tuned]"]
"""


def read(name):
    return tomllib.loads(
        files("tngd_bench.studies").joinpath(f"shipped/{name}.toml").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize(
    ("study", "variant", "name"),
    [
        ("digits-tuning", None, "tuned-digits"),
        ("mnist-tuning", None, "tuned-mnist"),
        ("rivals-tuning", None, "tuned-rivals"),
        ("rivals-tuning", "pytorch_optimizer:SOAP", "tuned-soap"),
        ("rivals-tuning", "pytorch_optimizer:ScalableShampoo", "tuned-shampoo"),
        ("full-batch-tuning", None, "tuned-full-batch"),
        ("squad-tuning", "quick", "tuned-squad"),
        ("pinn-tuning", None, "tuned-pinn"),
    ],
)
def test_every_setting_is_the_draw_that_the_record_names(study, variant, name):
    """`variant` is a profile, or the class that the search was asked for."""
    shipped = read(name)
    chosen = (f'tuning.optimizers=["{variant}"]',) if variant and ":" in variant else ()
    loaded = load_study(study, chosen, None if chosen else variant)
    study, search = loaded.study, make_search(loaded)
    problem = search.section.problem
    assert [contender.method for contender in search.contenders] == list(shipped["tuned"])
    for contender in search.contenders:
        own = shipped["tuning_record"][contender.method]
        drawn = contender.tries[own["try"]]
        if (
            own["try"] == 0
        ):  # nothing that was drawn beats the study's own settings, which are then written out
            assert own["score"] == own["default_score"]
            drawn = {
                name: config_of(study, contender.label, problem).settings[name]
                for name in contender.space.axes
            }
        else:
            assert own["score"] < own["default_score"] or own["final_runs"] == search.tuning.final_seeds
        assert shipped["tuned"][contender.method] == {**contender.fixed, **drawn}
        assert sum(own.get(status, 0) for status in TRIED) == len(contender.tries)
        assert shipped["tuning_record"]["search"]["tries_per_optimizer"] == len(contender.tries)


def test_the_rivals_are_trained_tuned_and_timed_at_all_sizes():
    study = load_study("rivals").study
    timed = {read_label(label).name for section in study.cost for label in section.optimizers}
    assert timed >= {*KNOWN, "kfac", "ngd-gram", "spring", "ngd-layer", "tngd"}
    sizes = {section.name: section.parameters for section in study.cost}
    assert (min(sizes["size"]), max(sizes["size"])) == (10**3, 10**7)
    mnist, digits = study.training
    assert {read_label(label).name for label in mnist.optimizers} >= timed - {*KNOWN} | {"torch.optim:Muon"}
    untuned = {label for label in (*mnist.optimizers, *digits.optimizers) if not label.endswith("[tuned]")}
    assert not untuned
    assert mnist.seeds >= seeds_needed(len(mnist.optimizers) - 1)
    budgets = {
        name: {key: read(name)["tuning_record"]["search"][key] for key in BUDGET}
        for name in ("tuned-mnist", "tuned-rivals", "tuned-soap", "tuned-shampoo")
    }
    assert all(budget == budgets["tuned-mnist"] for budget in budgets.values())
    search = load_study("full-batch-tuning").study
    seen = round((1 - search.tuning.validation_share) * 1_437)
    assert search.training[0].batch_size == digits.batch_size == digits.train_size == seen


def test_fine_tuning_takes_its_own_and_the_questions_of_the_search_are_named_without_a_folder():
    study = load_study("paper-fig5", (), "quick").study
    (section,) = [section for section in study.training if section.name == "fig5"]
    tuned = {label.removesuffix("[tuned]") for label in section.optimizers if label.endswith("[tuned]")}
    assert tuned == set(read("tuned-squad")["tuned"])
    assert config_of(study, "tngd-adam[tuned]", section.problem).settings["analog_time"] == 0.4
    search = study.tuning_record["search"]
    assert (search["parameters"], search["batch_size"]) == (section.parameters, section.batch_size)
    assert "/" not in search["command"]
    assert "[tuned]" not in " ".join(load_study("squad-tuning", (), "quick").study.training[0].optimizers)


def test_a_study_takes_them_by_name_and_they_are_no_study_themselves(tmp_path):
    shipped = read("tuned-mnist")
    path = tmp_path / "final.toml"
    path.write_text(STUDY.format(included="tuned-mnist"))
    study = load_study(str(path)).study
    assert config_of(study, "adam[tuned]", "mnist-cnn").settings["lr"] == shipped["tuned"]["adam"]["lr"]
    assert config_of(study, "adam", "mnist-cnn").settings["lr"] == 1e-3
    assert config_of(study, "tngd[tuned]", "mnist-cnn").settings["analog_time"] == 50.0
    assert study.tuning_record["search"]["metric"] == "validation_loss"
    assert not {"tuned-digits", "tuned-mnist", "tuned-squad"} & set(shipped_studies())
    assert {"digits-tuning", "mnist-tuning", "squad-tuning"} <= set(shipped_studies())
