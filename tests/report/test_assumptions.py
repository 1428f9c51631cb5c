import pandas as pd
import pytest

from tngd_bench.analysis.families import optimizer_info
from tngd_bench.report.assumptions import caveats_of_families, choices, device_table, statements


def trials(*devices):
    return pd.DataFrame({"device": list(devices)})


def test_stored_devices_show_value_grade_and_source(records):
    table = device_table(records.study, records.trials)
    wanted = ("paper", "link rate", "5·10¹⁰ b/s", "S, read in the source", "arXiv 2405.13817 app. C")
    assert wanted in table.rows


def test_a_store_without_devices_says_that_the_installed_preset_is_shown():
    table = device_table({}, trials("paper", None))
    rows = {row[1]: row for row in table.rows}
    assert rows["word length"][2] == "16 bits"
    assert all("as installed, not stored" in row[4] for row in table.rows)


def test_a_device_known_to_nobody_is_not_invented():
    (row,) = device_table({}, trials("elsewhere")).rows
    assert "not recorded" in row[2]


def test_without_a_device_there_is_no_table():
    assert device_table({}, trials(None)) is None


def test_statements_name_threads_and_precision():
    text = dict(statements({}, {"threads_cost": 1, "dtype": "float32"}))
    assert (
        text["Processor, threads and precision"]
        == "Computed on a processor not recorded. Threads: 1 for cost, not stated for training; dtype: float32."
    )
    assert "No device was run" in text["Modelled"]


def test_changed_numbers_and_the_spread_from_run_to_run_are_told_with_their_source():
    plain = dict(statements({}, {}))
    assert "were changed" not in plain["Ratios of times"]
    assert "assumed" in plain["From run to run"]
    assert "“tngd-bench null-runs” measures it" in plain["From run to run"]
    study = {"numbers_changed": [{"section": "size", "what": "processes", "numbers": [3, 5]}]}
    left = {"run_spread": {"value": 0.023, "runs": 3, "measured": "2026-11-29"}}
    told = dict(statements(study, left))
    assert "size: 3, then 5 processes" in told["Ratios of times"]
    assert "2.3 % of an optimizer's time (measured on this machine by 3 null runs" in told["From run to run"]
    assert "tngd-bench" not in told["From run to run"]


def test_choices_are_told_by_topic_and_old_stores_have_none():
    study = {"choices": {"Figure 3": ["Images in [0, 1].", "Start: zero."], "Table 1": []}}
    assert choices(study) == (("Chosen here: Figure 3", "Images in [0, 1]. Start: zero."),)
    assert choices({}) == ()


@pytest.mark.parametrize("ran", [(), ("sgd",), ("kfac",), ("sgd", "kfac", "ngd-cg")])
def test_only_optimizers_that_ran_have_a_statement(ran):
    told = dict(caveats_of_families({label: optimizer_info(label, label) for label in ran}))
    assert ("K-FAC" in told) is ("kfac" in ran)
    assert ("NGD (CG)" in told) is ("ngd-cg" in ran)
