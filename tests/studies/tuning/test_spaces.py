"""Spaces: every optimizer has one, it holds the default, and only settings that the optimizer takes."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from scipy.stats import qmc

from tngd_bench.optimizers import registry
from tngd_bench.spu.device import Device
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.tuning.spaces import Space, draws, space_of


@pytest.mark.parametrize("name", registry.names())
def test_every_axis_holds_the_default_and_says_why(name):
    entry = registry.get(name)
    space = space_of(name)
    assert "lr" in space.axes
    assert space.asked == ()
    for setting, axis in space.axes.items():
        assert axis.low <= entry.defaults[setting] <= axis.high
        assert axis.scale in ("log", "log-complement")
        assert axis.reason
        entry.check({setting: axis.low})
        entry.check({setting: axis.high})


@pytest.mark.parametrize("name", ["tngd", "tngd-adam"])
def test_what_describes_the_device_is_not_tuned(name):
    of_device = {"analog_time", "delay", "noise_variance", "device", *Device.__dataclass_fields__}
    assert not of_device & set(space_of(name).axes)


def test_a_study_may_ask_for_more_and_for_other_ranges_and_it_is_known_which():
    asked = {"analog_time": Axis(low=5, high=50), "lr": Axis(low=0.01, high=0.1, scale="linear")}
    space = space_of("tngd", asked)
    assert space.axes["analog_time"] == asked["analog_time"]
    assert space.axes["lr"] == asked["lr"]
    assert space.asked == ("analog_time",)


@pytest.mark.parametrize(
    ("method", "asked", "words"),
    [
        ("sgd", {"dampin": Axis(low=0.1, high=1)}, "no setting 'dampin'"),
        ("tngd", {"dampin": Axis(low=0.1, high=1)}, "did you mean 'damping'"),
        ("adam", {"beta2": Axis(low=0.5, high=1.5)}, "tuning.spaces.adam.beta2"),
        ("kfac", {"factor_interval": Axis(low=1, high=2)}, "tuning.spaces.kfac.factor_interval.*an integer"),
        ("tngd", {"start": Axis(low=1, high=2)}, "tuning.spaces.tngd.start"),
    ],
)
def test_a_setting_or_a_range_that_the_optimizer_refuses_is_named(method, asked, words):
    with pytest.raises(StudyError, match=words):
        space_of(method, asked)


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ({"low": 1.0, "high": 1.0}, "low must be < high"),
        ({"low": 0.0, "high": 1.0}, "low must be > 0 on a log scale"),
        ({"low": 0.0, "high": 1.0, "scale": "log-complement"}, "high must be < 1"),
    ],
)
def test_a_range_that_its_scale_does_not_have_is_refused(axis, words):
    with pytest.raises(ValueError, match=words):
        Axis(**axis)


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
    for coordinate, name in zip(points.T, position, strict=True):
        assert np.allclose(coordinate, position[name], atol=1e-5)


@pytest.mark.filterwarnings("ignore:The balance properties", "ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("seed", [0, 2**40 + 3])
def test_draws_are_those_of_optuna_s_sampler_which_the_shipped_settings_come_from(seed):
    distributions = {
        "lr": FloatDistribution(1e-3, 1.0, log=True),
        "1-momentum": FloatDistribution(1 - 0.99, 1.0, log=True),
        "weight": FloatDistribution(-1.0, 3.0),
    }
    sampler = optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed & (2**32 - 1))
    search = optuna.create_study(sampler=sampler)
    first = {"lr": 1e-3, "1-momentum": 1.0, "weight": -1.0}
    search.add_trial(optuna.trial.create_trial(params=first, distributions=distributions, value=0.0))
    asked = [search.ask(distributions).params for _ in range(5)]
    expected = [{**point, "momentum": 1 - point["1-momentum"]} for point in asked]
    for point, other in zip(draws(SPACE, 5, seed), expected, strict=True):
        assert point == {name: float(f"{other[name]:.6g}") for name in point}


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
