import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.selection import parse_selection, resolve


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
def test_selections_are_read(label, expected):
    assert parse_selection(label) == expected


@pytest.mark.parametrize(
    "label", ["", "[a=1]", "tngd[a=1", "tngd[a]", "tngd[=1]", "tngd[a=1,a=2]", "tngd[a=[1]]", "tngd]"]
)
def test_malformed_selections_are_refused_with_the_text(label):
    with pytest.raises(StudyError):
        parse_selection(label)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_and_nothing_else(text):
    try:
        name, _ = parse_selection(text)
    except StudyError:
        return
    assert name


def test_later_settings_win():
    contestant = resolve("tngd[damping=0.5]", {"tngd": {"damping": 0.1, "lr": 0.2}}, {"lr": 0.3})
    assert (contestant.settings["damping"], contestant.settings["lr"]) == (0.5, 0.3)
    assert contestant.settings["analog_time"] == 50.0
    assert (contestant.label, contestant.method) == ("tngd[damping=0.5]", "tngd")


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
