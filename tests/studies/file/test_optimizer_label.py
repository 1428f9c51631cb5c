import itertools
import math
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.optimizers import registry
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.optimizer_label import expand_label, read_label, read_value, resolve


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("sgd", ("sgd", {})),
        ("tngd[]", ("tngd", {})),
        ("tngd[analog_time=5]", ("tngd", {"analog_time": 5})),
        (
            " tngd [ start = gradient , noise_variance = 1e-3 ]",
            ("tngd", {"start": "gradient", "noise_variance": 1e-3}),
        ),
        ("tngd[adc_bits=ideal,dac_bits=none]", ("tngd", {"adc_bits": None, "dac_bits": None})),
    ],
)
def test_labels_are_read(label, expected):
    assert (read_label(label).name, read_label(label).settings) == expected


@pytest.mark.parametrize(
    "label", ["", "[a=1]", "tngd[a=1", "tngd[a]", "tngd[=1]", "tngd[a=1,a=2]", "tngd[a=[1]]", "tngd]"]
)
def test_malformed_labels_are_refused_with_the_text(label):
    with pytest.raises(StudyError):
        read_label(label)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_and_nothing_else(text):
    try:
        name = read_label(text).name
    except StudyError:
        return
    assert name


def test_later_settings_win():
    config = resolve("tngd[damping=0.5]", {"tngd": {"damping": 0.1, "lr": 0.2}}, {"lr": 0.3})
    assert (config.settings["damping"], config.settings["lr"]) == (0.5, 0.3)
    assert config.settings["analog_time"] == 50.0
    assert (config.label, config.method) == ("tngd[damping=0.5]", "tngd")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("tgnd", "did you mean 'tngd'"),
        ("tngd[dampin=1]", "did you mean 'damping'"),
        ("tngd[damping=-1]", "damping must be a finite number >= 0, not -1"),
        ("tngd[adc_bits=0]", "adc_bits must be an integer >= 1"),
        ("tngd[delay=60]", "delay must be <= analog_time = 50, not 60"),
        ("tngd[delay=5,start=zero]", "needs start = 'previous', not 'zero'"),
    ],
)
def test_bad_settings_are_refused_by_name(label, message):
    with pytest.raises(StudyError, match=message):
        resolve(label, {})


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("sgd", ("sgd",)),
        ("tngd[analog_time=5]", ("tngd[analog_time=5]",)),
        ("tngd[analog_time=[5]]", ("tngd[analog_time=5]",)),
        ("tngd[ analog_time = [5, 10] ]", ("tngd[analog_time=5]", "tngd[analog_time=10]")),
        (
            "tngd[tuned, adc_bits=[ideal, 8], lr=1e-3, device=['paper', rram]]",
            (
                "tngd[tuned, adc_bits=ideal, lr=1e-3, device='paper']",
                "tngd[tuned, adc_bits=ideal, lr=1e-3, device=rram]",
                "tngd[tuned, adc_bits=8, lr=1e-3, device='paper']",
                "tngd[tuned, adc_bits=8, lr=1e-3, device=rram]",
            ),
        ),
    ],
)
def test_lists_in_labels_stand_for_every_combination(label, expected):
    assert expand_label(label) == expected


@pytest.mark.parametrize(
    "label",
    [
        "tngd[a=[]]",
        "tngd[a=[1,1]]",
        "tngd[a=[[1]]]",
        "tngd[a=[1]",
        "tngd[a=[1]]]",
        "tngd[a=['1]]",
        "tngd[a=[1]2]",
    ],
)
def test_malformed_lists_are_refused_with_the_label(label):
    with pytest.raises(StudyError, match="a="):
        expand_label(label)


def test_a_grid_that_nobody_means_is_refused():
    many = ",".join(map(str, range(1, 1001)))
    with pytest.raises(StudyError, match="stands for 1000000 optimizers; accepted: at most 10000"):
        expand_label(f"tngd[analog_time=[{many}], samples=[{many}]]")


plain_settings = st.dictionaries(
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda key: key != "tuned"),
    st.lists(
        st.one_of(
            st.integers(-(10**6), 10**6).map(str),
            st.floats(-1e6, 1e6).map(repr),
            st.sampled_from(["true", "ideal", "word", "'a, b'", '"[x]"']),
        ),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    max_size=3,
)


@given(plain_settings)
def test_expansion_is_the_product_and_each_label_reads_back(choices):
    inside = ", ".join(f"{key} = [{', '.join(texts)}]" for key, texts in choices.items())
    labels = expand_label(f"tngd[{inside}]")
    expected = [dict(zip(choices, texts, strict=True)) for texts in itertools.product(*choices.values())]
    assert len(set(labels)) == len(labels) == len(expected)
    for label, texts in zip(labels, expected, strict=True):
        read = read_label(label)
        assert read.name == "tngd"
        assert read.settings == {key: read_value(text) for key, text in texts.items()}


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_numbers_are_read_as_toml_reads_them(text):
    expected = tomllib.loads(f"value = {text}")["value"]
    found = read_value(text)
    assert (type(found), found) == (type(expected), expected)


TUNED = {"adam": {"lr": 0.02, "beta1": 0.5}}


def test_tuned_settings_lie_between_the_study_and_the_brackets():
    found = resolve("adam[tuned, beta1=0.8]", {"adam": {"lr": 0.5, "eps": 1e-6}}, tuned=TUNED).settings
    assert (found["lr"], found["beta1"], found["eps"]) == (0.02, 0.8, 1e-6)
    assert resolve("adam", {}, tuned=TUNED).settings["lr"] == 1e-3


def test_tuned_settings_that_are_not_there_are_refused_with_what_makes_them():
    with pytest.raises(
        StudyError, match=r"'sgd\[tuned\]': the study has no \[tuned.sgd\] table; `tngd-bench tune"
    ):
        resolve("sgd[tuned]", {}, tuned=TUNED)


OWN = {"mine": {"base": "paper", "link_rate_bits_per_s": 1e9, "adc_bits": 6, "source": "a datasheet"}}


def test_a_device_of_the_study_takes_the_place_of_its_name():
    config = resolve("tngd[device=mine]", {}, devices=OWN)
    assert config.device == "mine"
    device = Device.described(config.settings["device"])
    assert (device.name, device.link_rate_bits_per_s, device.adc_bits) == ("mine", 1e9, 6)
    assert device.resistance_ohm == Device.preset("paper").resistance_ohm
    assert resolve("tngd", {}, {"device": "mine"}, devices=OWN).device == "mine"
    assert resolve("tngd", {}, devices=OWN).device == "paper"


def test_ideal_takes_an_imperfection_from_a_device_that_has_it():
    def bits(label, swept=None):
        settings = resolve(label, {}, swept, devices=OWN).settings
        device = Device.described(settings["device"])
        return device.adc_bits if settings["adc_bits"] is None else settings["adc_bits"]

    assert bits("tngd[device=mine]") == 6
    assert bits("tngd[device=mine, adc_bits=ideal]") is None
    assert bits("tngd[device=mine]", {"adc_bits": None}) is None
    assert bits("tngd[device=mine, adc_bits=9]") == 9


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("tngd[device=min]", "did you mean 'mine'"),
        ("tngd[volts_per_unit=ideal]", "volts_per_unit has no ideal value"),
        ("tngd[conductance_min_siemens=1e-6]", "conductance_max_siemens must be given"),
        ("tngd[stuck_off=0.6, stuck_on=0.6]", "stuck_off . stuck_on must be < 1"),
        ("tngd[word_bits=99]", "word_bits must be an integer >= 1 and <= 64"),
        ("tngd[delay=5, ensemble=2]", "delay must be 0 with ensemble = 2"),
    ],
)
def test_devices_that_cannot_be_are_refused(label, message):
    with pytest.raises(StudyError, match=message):
        resolve(label, {}, devices=OWN)


def test_infinity_is_stored_as_a_word():
    for text in ("inf", "unlimited"):
        settings = resolve(f"tngd[device=mine, dac_rate_hz={text}]", {}, devices=OWN).settings
        assert settings["dac_rate_hz"] == "unlimited"
        assert registry.get("tngd").device(settings).dac_rate_hz == math.inf


def test_every_field_of_a_device_is_a_setting():
    for name in ("tngd", "tngd-adam"):
        assert set(DEVICE_FIELDS) <= set(registry.get(name).settings)


def test_the_ideal_device_is_a_device():
    assert resolve("tngd[device=ideal]", {}).device == "ideal"
    assert resolve("tngd", {"tngd": {"device": "ideal"}}).device == "ideal"
