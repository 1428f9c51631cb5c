import math

import pytest

from tngd_bench.optimizers import registry
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device
from tngd_bench.spu.sources import sourced_parameters
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.devices import known_devices, own_devices
from tngd_bench.studies.file.optimizer_label import resolve
from tngd_bench.studies.file.reading import make_study


@pytest.fixture
def with_device(table):
    def make(**fields):
        return make_study({**table, "device": {"mine": fields}}, "mine.toml")

    return make


def test_values_set_in_a_study_say_so_and_the_others_keep_their_source(with_device):
    study = with_device(base="paper", link_rate_bits_per_s=1e9, dac_bits="ideal")
    found = sourced_parameters(own_devices(study)["mine"])
    assert found["link_rate_bits_per_s"] == {"value": 1e9, "grade": "U", "source": "set in the study file"}
    assert found["dac_bits"]["value"] is None
    assert found["resistance_ohm"] == sourced_parameters(Device.preset("paper"))["resistance_ohm"]
    assert set(known_devices(study)) == {*Device.presets(), "mine"}


def test_a_study_may_name_its_source(with_device):
    device = own_devices(with_device(base="ideal", adc_bits=8, source="a datasheet, table 3"))["mine"]
    assert device.sources["adc_bits"].source == "a datasheet, table 3"


@pytest.mark.parametrize("rate", [math.inf, "unlimited"])
def test_a_rate_may_be_infinite(with_device, rate):
    assert own_devices(with_device(base="board", adc_rate_hz=rate))["mine"].adc_rate_hz == math.inf
    linked = own_devices(with_device(base="paper", link_rate_bits_per_s=rate))["mine"]
    assert linked.link_rate_bits_per_s is None


@pytest.mark.parametrize("rate", ["unlimited", "inf", "ideal", "none"])
def test_a_link_without_a_limit_is_written_in_brackets_as_in_a_table(rate):
    config = resolve(f"tngd[device=paper, link_rate_bits_per_s={rate}]", {})
    device = registry.get("tngd").device(config.settings)
    assert device.latency(10_000, 100, 5.0).total == pytest.approx(5e-6)  # the relaxation alone


@pytest.mark.parametrize("rate", [math.inf, "unlimited", "ideal"])
def test_a_link_may_have_no_limit_on_a_base_that_has_one(with_device, rate):
    device = own_devices(with_device(base="paper", link_rate_bits_per_s=rate))["mine"]
    assert Device.preset("paper").link_rate_bits_per_s is not None
    assert device.link_rate_bits_per_s is None
    assert device.latency(1000, 64, 5.0).items["write_arrays"] == 0.0


@pytest.mark.parametrize(
    "field", [name for name in DEVICE_FIELDS if "unlimited" in DEVICE_FIELDS[name].accepted.text]
)
@pytest.mark.parametrize("word", ["unlimited", "inf"])
def test_a_label_says_it_in_the_same_words(field, word):
    settings = resolve(f"tngd[device=paper, {field}={word}]", {}).settings
    assert getattr(registry.get("tngd").device(settings), field) in (None, math.inf)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "device.mine: a device needs base, one of: ideal"),
        ({"base": "papr"}, "did you mean 'paper'"),
        ({"base": "paper", "adc_bit": 8}, "a device has no field 'adc_bit'; did you mean 'adc_bits'"),
        ({"base": "paper", "adc_bits": 0}, "adc_bits must be an integer >= 1"),
        ({"base": "paper", "word_bits": "ideal"}, "word_bits has no ideal value"),
        ({"base": "paper", "sources": 1}, "a device has no field 'sources'"),
        ({"base": "paper", "source": 1}, "source must be text, not 1"),
        ({"base": "paper", "summary": 1}, "summary must be text, not 1"),
        ({"base": "paper", "name": "other"}, "a device has no field 'name'"),
    ],
)
def test_devices_that_cannot_be_are_refused(with_device, fields, message):
    with pytest.raises(StudyError, match=message):
        with_device(**fields)


def test_a_shipped_name_is_not_taken_again(table):
    with pytest.raises(StudyError, match=r"device\.paper: a shipped device has this name"):
        make_study({**table, "device": {"paper": {"base": "ideal"}}})
