import json
import math

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.cost.device_use import device_use
from tngd_bench.analysis.cost.recorded_devices import own_devices, recorded_device, refusals, trial_device
from tngd_bench.analysis.training.stability import stability_table
from tngd_bench.spu.device import Device

MINE = {"name": "mine", "base": "rram", "adc_bits": 4, "link_rate_bits_per_s": 1e11}


def test_a_device_of_the_study_is_made_from_its_description():
    device = recorded_device("mine", {"device": MINE, "programming_error": 0.01, "lr": 0.1, "dac_bits": None})
    assert device == Device.preset("rram").override(
        name="mine", adc_bits=4, link_rate_bits_per_s=1e11, programming_error=0.01
    )


def test_a_preset_is_made_from_its_name():
    assert recorded_device("pcm", {"device": "pcm"}) == Device.preset("pcm")
    assert trial_device("pcm", None) == Device.preset("pcm")
    assert trial_device(None, json.dumps({"device": MINE, "adc_bits": 6})).adc_bits == 6
    assert trial_device(None, json.dumps({"lr": 0.1})) is None
    assert trial_device("board", json.dumps({"adc_rate_hz": "unlimited"})).adc_rate_hz == math.inf


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("paper", {"array_bits": 1}, "array_bits"),
        ("mine", {"device": {**MINE, "array_bits": 1}}, "array_bits"),
        ("mine", {"device": {**MINE, "no_such_field": 1}}, "no_such_field"),
        ("mine", {"device": {**MINE, "base": "gone"}}, "gone"),
        ("paper", {"delay": 5.0, "ensemble": 2}, "delay must be 0"),
        ("paper", {"samples": "many"}, "samples must be an integer"),
        ("elsewhere", {}, "not installed"),
    ],
)
def test_a_device_that_this_version_cannot_make_is_named_with_its_reason(name, settings, why):
    assert recorded_device(name, settings) is None
    assert device_use(name, settings) is None
    trials = pd.DataFrame({"optimizer": ["tngd"], "device": [name], "settings": [json.dumps(settings)]})
    ((reason, labels),) = refusals(trials).items()
    assert (why in reason, labels) == (True, ("tngd",))


def test_what_ran_on_no_device_refuses_nothing():
    trials = pd.DataFrame({"optimizer": ["sgd"], "device": [np.nan], "settings": [json.dumps({"lr": 0.1})]})
    assert refusals(trials) == {}
    assert own_devices(trials) == ()


def test_own_devices_are_those_described_in_the_study_once_each():
    settings = [{"device": MINE}, {"device": MINE, "lr": 1.0}, {"device": "paper"}]
    cleared = {"device": {"name": "rram", "base": "rram", "adc_bits": None}}  # a preset with an ideal field
    trials = pd.DataFrame({"settings": [*map(json.dumps, (*settings, cleared)), None]})
    assert [device.name for device in own_devices(trials)] == ["mine"]


def test_records_with_a_value_that_is_now_refused_are_still_read():
    row = {"key": "a#0", "kind": "training", "status": "ok", "group": "g", "optimizer": "tngd"}
    trials = pd.DataFrame([{**row, "device": "paper", "settings": json.dumps({"array_bits": 1})}])
    assert stability_table(trials).empty
