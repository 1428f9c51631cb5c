"""Optuna's database holds each try once, with its score or its ending."""

import optuna
import pytest

from tests.studies.tuning.test_spaces import SPACE
from tngd_bench.studies.tuning.optuna_database import TryResult, record
from tngd_bench.studies.tuning.spaces import draws


def test_the_record_has_every_try_once_with_its_score_or_its_ending(tmp_path):
    database = tmp_path / "optuna.db"
    settings = draws(SPACE, 4, seed=0)
    results = [
        TryResult(n, point, None if n == 2 else 0.5 - 0.1 * n, 2.0, "diverged" if n == 2 else "ok")
        for n, point in enumerate(settings)
    ]
    assert record(database, "a", SPACE, results[:2], "minimize") == 2
    assert record(database, "a", SPACE, results, "minimize") == 2
    assert record(database, "a", SPACE, results, "minimize") == 0
    assert record(database, "b", SPACE, results[:1], "maximize") == 1
    held = optuna.load_study(study_name="a", storage=f"sqlite:///{database}")
    assert [trial.user_attrs["number"] for trial in held.trials] == [0, 1, 2, 3]
    assert [trial.value for trial in held.trials] == [0.5, 0.4, None, pytest.approx(0.2)]
    assert held.trials[2].user_attrs["status"] == "diverged"
    assert held.best_trial.params["lr"] == settings[3]["lr"]
    assert held.best_trial.params["1-momentum"] == pytest.approx(1 - settings[3]["momentum"])


def test_settings_outside_the_space_are_recorded_without_that_axis(tmp_path):
    own = {"lr": 5.0, "momentum": 0.0, "weight": 0.0}
    record(tmp_path / "x.db", "a", SPACE, [TryResult(0, own, 1.0, 1.0, "ok")], "minimize")
    held = optuna.load_study(study_name="a", storage=f"sqlite:///{tmp_path / 'x.db'}")
    assert set(held.trials[0].params) == {"1-momentum", "weight"}
