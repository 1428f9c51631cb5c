"""Spaces: every optimizer has one, it holds the default, and only settings that the optimizer takes."""

import pytest

from tngd_bench.optimizers import registry
from tngd_bench.spu.device import Device
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.schema import Axis
from tngd_bench.studies.tuning.spaces import space_of


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
