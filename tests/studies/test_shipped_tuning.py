"""The shipped settings are what they say: draws of the search that they name, the same budget for every optimizer."""

import tomllib
from importlib.resources import files

import pytest

from tngd_bench.studies.reading import load_study, shipped_studies
from tngd_bench.studies.selection import contestant_of
from tngd_bench.studies.tuning import make_search
from tngd_bench.studies.tuning_results import TRIED

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


@pytest.fixture(scope="module")
def shipped():
    text = files("tngd_bench.studies").joinpath("shipped/tuned-mnist.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def test_every_setting_is_the_draw_that_the_record_names(shipped):
    search = make_search(load_study("mnist-tuning"))
    assert [contender.method for contender in search.contenders] == list(shipped["tuned"])
    for contender in search.contenders:
        own = shipped["tuning_record"][contender.method]
        assert shipped["tuned"][contender.method] == contender.tries[own["try"]]
        assert own["score"] < own["default_score"]
        assert sum(own.get(status, 0) for status in TRIED) == len(contender.tries)
        assert shipped["tuning_record"]["search"]["tries_per_optimizer"] == len(contender.tries)


def test_a_study_takes_them_by_name_and_they_are_no_study_themselves(tmp_path, shipped):
    path = tmp_path / "final.toml"
    path.write_text(STUDY.format(included="tuned-mnist"))
    study = load_study(str(path)).study
    assert contestant_of(study, "adam[tuned]").settings["lr"] == shipped["tuned"]["adam"]["lr"]
    assert contestant_of(study, "adam").settings["lr"] == 1e-3
    assert contestant_of(study, "tngd[tuned]").settings["analog_time"] == 50.0
    assert study.tuning_record["search"]["metric"] == "validation_loss"
    assert "tuned-mnist" not in shipped_studies()
    assert "mnist-tuning" in shipped_studies()
