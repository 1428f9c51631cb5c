import json

import pandas as pd

from tngd_bench.analysis import outcomes
from tngd_bench.analysis.families import kinds
from tngd_bench.report import study_tables


def cells(table):
    return pd.DataFrame(table.rows, columns=[column.title for column in table.columns])


def test_skipped_trials_are_one_row_with_their_largest_estimate(records):
    table = study_tables.unfinished_table(outcomes.unfinished(records.trials), kinds(records.trials))
    shown = cells(table)
    dense = shown[(shown["optimizer"] == "NGD (dense)") & (shown["N asked for"] == "1,000,000")].iloc[0]
    assert (dense["status"], dense["trials"], dense["estimated memory"]) == ("skipped", "3", "3.64 TiB")
    assert table.data["trials"].sum() == (records.trials["status"] != "ok").sum()


def test_nested_settings_become_dotted_names():
    table = study_tables.pairs_table("t", "c", {"a": {"b": None, "c": [1, 2]}, "d": [{"e": 1}], "f": []})
    assert table.rows == (("a.b", "none"), ("a.c", "1, 2"), ("d.1.e", "1"), ("f", "none"))


def test_every_distinct_set_of_settings_is_shown_with_its_defaults(records):
    trials = records.trials.copy()
    trials.loc[trials["group"] == "digits", "settings"] = json.dumps({"lr": 0.1, "adc_bits": None})
    shown = cells(study_tables.settings_table(trials, kinds(trials)))
    rows = shown[shown["optimizer"] == "TNGD"].set_index("sections")["settings"].to_dict()
    assert rows == {"cost": "lr = 0.01", "digits": "lr = 0.1, adc_bits = none"}
