import itertools

import pytest

from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.merge import read_table
from tngd_bench.studies.file.optimizer_label import expand_label, usual_form
from tngd_bench.studies.file.reading import load_study, make_study, shipped_studies

TARGET = [{"metric": "test_accuracy", "value": 0.9}]
TRAINING = {
    "name": "t",
    "problem": "digits-mlp",
    "parameters": 1_000,
    "epochs": 1,
    "optimizers": ["sgd", "adam"],
}
COST = {"name": "c", "problem": "digits-mlp", "parameters": 1_000, "optimizers": ["adam", "sgd", "kfac"]}


def costs(training, *sections):
    table = {
        "name": "s",
        "title": "s",
        "training": [TRAINING | training],
        "cost": [dict(one) for one in sections],
    }
    return {section.name: section for section in make_study(table).cost}


def test_a_training_with_targets_is_timed_at_its_size_and_batch():
    found = costs({"targets": TARGET, "batch_size": 16})["t-cost"]
    assert (found.problem, found.parameters, found.batch_size) == ("digits-mlp", (1_000,), (16,))
    assert found.outputs == (10,)
    assert found.optimizers == ("sgd", "adam")


def test_what_is_timed_together_already_is_not_timed_again():
    assert list(costs({"targets": TARGET}, COST)) == ["c"]
    assert list(costs({"targets": TARGET, "batch_size": 8}, COST | {"batch_size": [8, 64]})) == ["c"]
    assert list(costs({"targets": TARGET}, COST | {"batch_size": [16, 64]})) == ["c", "t-cost"]
    assert list(costs({"targets": TARGET}, COST | {"optimizers": ["sgd"]})) == ["c", "t-cost"]
    assert list(costs({"targets": TARGET}, COST | {"name": "t-cost", "batch_size": 8})) == [
        "t-cost",
        "t-cost-2",
    ]


def test_it_is_as_thorough_as_the_sections_of_the_study():
    found = costs({"targets": TARGET}, COST | {"batch_size": 8, "processes": 1, "repetitions": 3})["t-cost"]
    assert (found.processes, found.repetitions) == (1, 3)


def test_without_targets_nothing_is_added_unless_asked_for():
    assert costs({}) == {}
    assert list(costs({"timed": True})) == ["t-cost"]
    assert list(costs({"targets": TARGET, "enabled": False}, COST | {"batch_size": 8})) == ["c"]


def test_a_sweep_that_is_to_be_timed_is_refused():
    with pytest.raises(StudyError, match="timed = true with a sweep"):
        costs({"timed": True, "sweep": {"parameter": "lr", "values": [0.1]}})


def labels(section):
    return {usual_form(one) for label in section.optimizers for one in expand_label(label)}


@pytest.mark.parametrize("name", shipped_studies())
def test_every_shipped_study_times_what_its_curves_show(name):
    """But for searches, whose curves nobody sees, and the profile smoke, which only shows that everything runs."""
    for profile in (None, *sorted(set(read_table(name).profiles) - {"smoke"})):
        study = load_study(name, (), profile).study
        trainings = [section for section in study.training if section.enabled and section.sweep is None]
        for section in trainings if study.tuning is None else ():
            size = section.problem, section.parameters, section.batch_size, section.outputs
            timed = [
                labels(cost)
                for cost in study.cost
                if cost.enabled
                and size in itertools.product([cost.problem], cost.parameters, cost.batch_size, cost.outputs)
            ]
            assert any(labels(section) <= own for own in timed), (profile, section.name)
