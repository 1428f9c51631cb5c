import copy

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.reading import make_study
from tngd_bench.studies.file.sweeps import levels_of, number_text, settings_of, swept_columns
from tngd_bench.studies.plan.trials import TrainingTrial
from tngd_bench.studies.store.columns import swept_levels

PAIR = [
    {"parameter": "start", "values": ["previous", "gradient"], "labels": ["the last x", "the gradient"]},
    {"parameter": "adc_bits", "values": ["ideal", 8]},
]


def swept(table, sweep):
    changed = copy.deepcopy(table)
    changed["training"][1]["sweep"] = sweep
    return make_study(changed).training[1].sweep


def test_two_sweeps_are_every_pair_the_last_varying_fastest(table):
    found = [settings_of(levels) for levels in levels_of(swept(table, PAIR))]
    assert found == [
        {"start": "previous", "adc_bits": None},
        {"start": "previous", "adc_bits": 8},
        {"start": "gradient", "adc_bits": None},
        {"start": "gradient", "adc_bits": 8},
    ]
    assert list(levels_of(None)) == [()]


def test_records_tell_words_from_an_ideal_device(table):
    columns = [swept_columns(levels) for levels in levels_of(swept(table, PAIR))]
    assert columns[3] == {
        "sweep_parameter": "start",
        "sweep_value": None,
        "sweep_label": "the gradient",
        "sweep_parameter_2": "adc_bits",
        "sweep_value_2": 8.0,
        "sweep_label_2": "8",
    }
    assert (columns[0]["sweep_label_2"], columns[0]["sweep_value_2"]) == ("ideal", None)
    assert set(swept_columns(()).values()) == {None}


def test_a_flag_is_a_label_and_no_number(table):
    sweep = {"parameter": "shared_array", "values": [False, True]}
    assert [(level.label, level.number) for (level,) in levels_of(swept(table, sweep))] == [
        ("false", None),
        ("true", None),
    ]


def test_any_device_field_and_the_device_itself_can_be_swept(table, plan_of):
    table["device"] = {"slow": {"base": "paper", "link_rate_bits_per_s": 1e6}}
    table["training"][1]["sweep"] = [
        {"parameter": "device", "values": ["paper", "slow"]},
        {"parameter": "resistance_ohm", "values": [1e3, 1e4]},
    ]
    trials = [
        t for t in plan_of(table).trials.values() if isinstance(t, TrainingTrial) and t.section == "noise"
    ]
    found = [(t.candidate.config.device, t.candidate.config.settings["resistance_ohm"]) for t in trials]
    assert found == [("paper", 1e3), ("paper", 1e4), ("slow", 1e3), ("slow", 1e4)]
    assert len({key for key, t in plan_of(table).trials.items() if t in trials}) == 4


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ([PAIR[0], PAIR[0]], "parameter 'start' appears more than once"),
        ([PAIR[0]] * 3, r"training\[noise\].sweep = .* is refused; accepted: .*at most 2"),
        ([], r"training\[noise\].sweep = \[\] is refused; accepted: at least one entry"),
        ({**PAIR[0], "labels": ["one"]}, r"as many labels as values \(2\), not 1"),
        ({**PAIR[0], "values": ["previous", "previous"]}, "values: .*appears more than once"),
        ({"parameter": "delay", "values": [1, 1.0]}, "values: 1.0 appears more than once"),
        ({"parameter": "delay", "values": [1, 1.0], "labels": ["a", "b"]}, "values: 1.0 appears more than"),
        ({**PAIR[0], "values": ["sideways", "previous"]}, "start must be one of: previous, gradient, zero"),
        ({"parameter": "delay", "values": [1.0, 6.0]}, "delay must be <= analog_time = 5, not 6"),
    ],
)
def test_sweeps_that_cannot_be_are_refused(table, sweep, message):
    with pytest.raises(StudyError, match=message):
        swept(table, sweep)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_so_that_it_can_be_read_back(value):
    assert float(number_text(value)) == value


def test_levels_that_differ_in_a_late_digit_are_told_apart_everywhere(table, plan_of):
    table["cost"] = []
    table["training"][1]["sweep"] = {
        "parameter": "damping",
        "values": [0.1234567, 0.1234568, 1234567, 1234568],
    }
    trials = [t for t in plan_of(table).trials.values() if t.section == "noise"]
    assert len({trial.describe() for trial in trials}) == 4
    records = pd.DataFrame([swept_columns(trial.levels) for trial in trials])
    assert swept_levels(records).nunique() == 4
