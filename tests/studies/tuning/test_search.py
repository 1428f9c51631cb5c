"""Draws: scipy's Sobol points on the axes' scales, the same for the same seed; the record holds each try once."""

import builtins
import math

import numpy as np
import optuna
import pytest
from scipy.stats import qmc

from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.tuning.search import Outcome, draws, record
from tngd_bench.studies.tuning.spaces import Space, space_of

SPACE = Space(
    {
        "lr": Axis(low=1e-3, high=1.0),
        "momentum": Axis(low=0.0, high=0.99, scale="log-complement"),
        "weight": Axis(low=-1.0, high=3.0, scale="linear"),
    }
)


def test_draws_are_the_scrambled_sobol_points_on_each_axis_scale():
    drawn = draws(SPACE, 16, seed=5)
    points = qmc.Sobol(3, seed=5, scramble=True).random(16)
    position = {
        "lr": [math.log10(point["lr"] / 1e-3) / 3 for point in drawn],
        # Drawn as the distance from 1, so that it runs the other way.
        "momentum": [1 - math.log10(1 / (1 - point["momentum"])) / 2 for point in drawn],
        "weight": [(point["weight"] + 1) / 4 for point in drawn],
    }
    # Optuna orders the coordinates as it likes: each axis must be one of them, and each one an axis.
    order = [
        next(i for i in range(3) if np.allclose(points[:, i], position[name], atol=1e-5)) for name in position
    ]
    assert sorted(order) == [0, 1, 2]


def test_draws_depend_on_the_seed_alone_and_a_longer_search_begins_with_a_shorter():
    first = draws(SPACE, 8, seed=1)
    assert first == draws(SPACE, 8, seed=1)
    assert first == draws(SPACE, 13, seed=1)[:8]
    assert all(a != b for a, b in zip(first, draws(SPACE, 8, seed=2), strict=True))
    assert draws(SPACE, 2, seed=2**63 - 1) == draws(SPACE, 2, seed=2**63 - 1)


@pytest.mark.parametrize("method", ["sgd", "adam", "kfac", "tngd-adam"])
def test_every_decade_of_every_axis_is_visited(method):
    space = space_of(method)
    drawn = draws(space, 16, seed=0)
    for name, axis in space.axes.items():
        values = np.array([point[name] for point in drawn])
        assert (values >= axis.low).all()
        assert (values <= axis.high).all()
        scaled = np.log(values) if axis.scale == "log" else np.log1p(-values)
        ends = [math.log(x) if axis.scale == "log" else math.log1p(-x) for x in (axis.low, axis.high)]
        # Sobol: one point in every sixteenth of the range.
        counts, _ = np.histogram((scaled - min(ends)) / abs(ends[1] - ends[0]), bins=16, range=(0, 1))
        assert (counts == 1).sum() >= 14


def test_drawn_values_have_the_digits_that_a_file_shows():
    assert all(
        value == float(f"{value:.6g}") for point in draws(SPACE, 8, seed=0) for value in point.values()
    )


def test_the_record_has_every_try_once_with_its_score_or_its_ending(tmp_path):
    database = tmp_path / "optuna.db"
    settings = draws(SPACE, 4, seed=0)
    outcomes = [
        Outcome(n, point, None if n == 2 else 0.5 - 0.1 * n, 2.0, "diverged" if n == 2 else "ok")
        for n, point in enumerate(settings)
    ]
    assert record(database, "a", SPACE, outcomes[:2], "minimize") == 2
    assert record(database, "a", SPACE, outcomes, "minimize") == 2
    assert record(database, "a", SPACE, outcomes, "minimize") == 0
    assert record(database, "b", SPACE, outcomes[:1], "maximize") == 1
    held = optuna.load_study(study_name="a", storage=f"sqlite:///{database}")
    assert [trial.user_attrs["number"] for trial in held.trials] == [0, 1, 2, 3]
    assert [trial.value for trial in held.trials] == [0.5, 0.4, None, pytest.approx(0.2)]
    assert held.trials[2].user_attrs["status"] == "diverged"
    assert held.best_trial.params["lr"] == settings[3]["lr"]
    assert held.best_trial.params["1-momentum"] == pytest.approx(1 - settings[3]["momentum"])


def test_settings_outside_the_space_are_recorded_without_that_axis(tmp_path):
    own = {"lr": 5.0, "momentum": 0.0, "weight": 0.0}
    record(tmp_path / "x.db", "a", SPACE, [Outcome(0, own, 1.0, 1.0, "ok")], "minimize")
    held = optuna.load_study(study_name="a", storage=f"sqlite:///{tmp_path / 'x.db'}")
    assert set(held.trials[0].params) == {"1-momentum", "weight"}


def test_without_optuna_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(StudyError, match=r"pip install 'tngd-bench\[tune\]'"):
        draws(SPACE, 1, seed=0)
