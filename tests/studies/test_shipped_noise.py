"""The shipped noise study asks what the ledger of noise says: by start, λ, N and averaging, noise beside none."""

import pytest

from tests.studies.recorder import Recorder
from tngd_bench.studies.file.reading import load_study
from tngd_bench.studies.plan.data_requests import data_requests
from tngd_bench.studies.plan.inputs import LoadedSize, MachineLimits
from tngd_bench.studies.plan.make_plan import make_plan
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records

PROFILES = [None, "smoke", "quick", "full"]
ONE_CORE = 3e10
"""FLOP/s of one thread on a modest machine."""


def planned(profile):
    loaded = load_study("noise", (), profile)
    sizes = {request: LoadedSize(request.train_size, "c" * 64) for request in data_requests(loaded.study)}
    return make_plan(loaded, sizes, MachineLimits(ONE_CORE, ONE_CORE, 8e9))


def runs(profile):
    """Every trial as (section, exact N, settings, seed)."""
    return [
        (trial.section, trial.parameters, trial.candidate.config.settings, trial.seed)
        for trial in planned(profile).trials.values()
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_each_noisy_run_has_its_noiseless_twin(profile):
    without_noise = {
        (section, n, seed, *sorted((k, str(v)) for k, v in settings.items() if k != "noise_variance"))
        for section, n, settings, seed in runs(profile)
        if settings["noise_variance"] == 0
    }
    noisy = [run for run in runs(profile) if run[2]["noise_variance"] > 0]
    assert noisy
    for section, n, settings, seed in noisy:
        rest = sorted((k, str(v)) for k, v in settings.items() if k != "noise_variance")
        assert (section, n, seed, *rest) in without_noise


@pytest.mark.parametrize("profile", PROFILES)
def test_every_question_of_the_ledger_is_asked(profile):
    seen = {}
    for section, n, settings, _ in runs(profile):
        for key in ("start", "damping", "samples", "spacing", "noise_variance"):
            seen.setdefault((section.split("-")[0], key), set()).add(settings[key])
        seen.setdefault((section.split("-")[0], "N"), set()).add(n)
    assert seen["start", "start"] == {"previous", "gradient"}
    assert seen["damping", "damping"] >= {0.01, 0.1}
    assert max(seen["size", "N"]) > 3 * min(seen["size", "N"])
    assert seen["averaging", "samples"] == {1, 10}
    # ten readouts on either side of the memory 1/λ = 100 τ
    assert 100 in seen["averaging", "spacing"]
    assert {section for section, _ in seen} == {"start", "damping", "size", "averaging"}


def test_the_whole_study_has_the_setting_that_its_description_names():
    for section, n, settings, _ in runs("full"):
        assert section.startswith("size") or n == 43_706
        assert (settings["lr"], settings["momentum"]) == (0.01, 0.0)
    assert {settings["noise_variance"] for section, _, settings, _ in runs("full") if section == "start"} == {
        0, 1e-5, 1e-4, 1e-3, 1e-2
    }  # fmt: skip
    assert runs(None) == runs("full")


def test_quick_is_planned_within_a_quarter_of_an_hour_and_smoke_within_half_a_minute():
    for profile, limit in (("quick", 900.0), ("smoke", 30.0)):
        plan = planned(profile)
        assert all(trial.runnable for trial in plan.trials.values())
        assert plan.predicted_s < limit


def test_smoke_needs_no_data_but_what_is_installed():
    assert {request.problem for request in data_requests(load_study("noise", (), "smoke").study)} == {
        "digits-mlp"
    }


@pytest.mark.slow(reason="runs a shipped study")
def test_smoke_runs_and_a_carried_over_start_suffers_more_from_noise_than_a_fresh_one(tmp_path):
    run_study(load_study("noise", (), "smoke"), tmp_path, Recorder(), command="test")
    records = read_records(tmp_path)
    assert set(records.trials["status"]) == {"ok"}
    assert len(records.trials) == len(planned("smoke").trials)
    last = records.curves[records.curves["group"] == "start"].sort_values("iteration").groupby("key").tail(1)
    loss = last.set_index(["optimizer", "seed", "sweep_value"])["train_loss"].unstack("sweep_value")
    lost = loss[0.01] - loss[0.0]
    carried, fresh = (lost[f"tngd[analog_time=1,start={start}]"] for start in ("previous", "gradient"))
    assert (carried > 2 * fresh).all()
