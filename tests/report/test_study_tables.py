import dataclasses
import json
import re
from types import SimpleNamespace

import pandas as pd
import pytest

from tngd_bench.analysis.families import optimizer_info, optimizer_infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import final_scores
from tngd_bench.optimizers import registry
from tngd_bench.report import study_tables
from tngd_bench.report.document import charting
from tngd_bench.report.training import training_section
from tngd_bench.studies.store.columns import TRIAL_COLUMNS


def cells(table):
    return pd.DataFrame(table.rows, columns=[column.title for column in table.columns])


def test_skipped_trials_are_one_row_with_their_largest_estimate(records):
    table = study_tables.unfinished_table(
        final_scores.unfinished(records.trials), optimizer_infos(records.trials)
    )
    shown = cells(table)
    dense = shown[(shown["optimizer"] == "NGD (dense)") & (shown["N asked for"] == "1,000,000")].iloc[0]
    assert (dense["status"], dense["trials"], dense["estimated memory"]) == ("skipped", "3", "3.64 TiB")
    assert table.data["trials"].sum() == (records.trials["status"] != "ok").sum()


def test_nested_settings_become_dotted_names():
    table = study_tables.pairs_table("t", "c", {"a": {"b": None, "c": [1, 2]}, "d": [{"e": 1}], "f": []})
    assert table.rows == (("a.b", "none"), ("a.c", "1, 2"), ("d.1.e", "1"), ("f", "none"))


def test_settings_are_shown_where_they_differ_from_the_default(records):
    trials = records.trials.copy()
    trials.loc[trials["group"] == "digits", "settings"] = json.dumps({"lr": 0.1, "adc_bits": None})
    shown = cells(study_tables.settings_table(trials, optimizer_infos(trials)))
    rows = shown[shown["optimizer"] == "TNGD"].set_index("sections")
    assert rows["settings other than the default"].to_dict() == {
        "cost": "none",
        "digits": "lr = 0.1",
    }
    complete = (
        study_tables.settings_table(trials, optimizer_infos(trials))
        .data.set_index("optimizer")
        .loc["tngd", "settings"]
    )
    assert {"lr": 0.1, "adc_bits": None} in [json.loads(text) for text in complete]


def test_a_value_taken_away_is_shown_and_a_device_by_its_name(records):
    trials = records.trials[records.trials["optimizer"].isin(["kfac", "tngd"])].copy()
    own = {"device": {"name": "mine", "base": "rram", "adc_bits": 4}, "momentum": 0.9, "analog_time": 5.0}
    trials.loc[trials["optimizer"] == "tngd", "settings"] = json.dumps(own)
    trials.loc[trials["optimizer"] == "kfac", "settings"] = json.dumps({"kl_clip": None, "lr": 0.01})
    shown = cells(study_tables.settings_table(trials, optimizer_infos(trials)))
    column = shown.drop_duplicates("optimizer").set_index("optimizer")["settings other than the default"]
    assert column.to_dict() == {
        "TNGD": "device = mine, momentum = 0.9, analog time = 5 τ",
        "K-FAC": "KL clip = none",
    }


def test_the_defaults_of_what_ran_are_those_of_the_registry(records):
    table = study_tables.defaults_table(optimizer_infos(records.trials))
    assert len(table.rows) == records.trials["method"].nunique()
    for method, text in table.data.itertuples(index=False):
        usual = {name: value for name, value in registry.get(method).defaults.items() if value is not None}
        assert json.loads(text) == usual
    assert "none" not in "".join(row[1] for row in table.rows)


NOTHING = pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in TRIAL_COLUMNS.items()})


def compared(trials, infos):
    return study_tables.compared(SimpleNamespace(trials=trials, infos=infos))


def test_settings_of_one_optimizer_are_no_further_optimizers():
    labels = ("adam", "adam[tuned]", "tngd", "tngd[delay=1]", "tngd[analog_time=5]")
    known = {label: optimizer_info(label, label.partition("[")[0]) for label in labels}
    assert compared(NOTHING, known) == "2 optimizers in 5 settings."
    assert compared(NOTHING, {"adam": known["adam"], "tngd": known["tngd"]}) == "2 optimizers."
    assert compared(NOTHING, {"adam": known["adam"]}) == "1 optimizer."


def test_each_problem_trained_on_is_named_with_its_settings_and_seeds():
    def runs(problem, group, seeds, label="adam"):
        row = {"kind": "training", "problem": problem, "group": group, "optimizer": label, "parameters": 100}
        return [
            row | {"key": f"{group}{label}{seed}", "seed": seed, "method": "adam"} for seed in range(seeds)
        ]

    rows = [
        *runs("digits-mlp", "a", 8, "adam[tuned]"),
        *runs("digits-mlp", "b", 3),
        *runs("mnist-cnn", "c", 1, "adam[tuned]"),
    ]
    trials = pd.DataFrame(rows).reindex(columns=NOTHING.columns)
    known = {label: optimizer_info(label, "adam") for label in ("adam", "adam[tuned]")}
    assert compared(trials, known) == (
        "1 optimizer in 2 settings. Training on digits-mlp (N = 100, 1 of 2 settings tuned, 3 to 8 seeds) and "
        "mnist-cnn (N = 100, all tuned, 1 seed)."
    )


def test_unfinished_levels_that_are_words_and_second_settings_are_told_apart(records):
    runs = (
        records.trials[records.trials["group"] == "digits"]
        .head(3)
        .assign(status="diverged", optimizer="tngd")
    )
    swept = runs.assign(
        sweep_parameter="adc_bits",
        sweep_value=4.0,
        sweep_label="4",
        sweep_parameter_2="start",
        sweep_value_2=float("nan"),
        sweep_label_2=["zero", "gradient", "zero"],
    )
    shown = cells(study_tables.unfinished_table(swept, optimizer_infos(records.trials)))
    sections = {f"training: digits, ADC resolution = 4, start = {word}" for word in ("zero", "gradient")}
    assert set(shown["section"]) == sections
    assert sorted(shown["trials"]) == ["1", "2"]


@pytest.mark.parametrize("recorded", [True, False])
def test_what_was_not_tuned_beside_what_was_is_named_with_what_was_tried(records, recorded):
    trials = records.trials.copy()
    here = trials["group"] == "digits"
    for name in ("adam", "kfac"):
        trials.loc[here & (trials["optimizer"] == name), "optimizer"] = f"{name}[tuned]"
    trials.loc[here & (trials["optimizer"] == "sgd"), "settings"] = json.dumps({"lr": 0.2})
    search = {"search": {"tries_per_optimizer": 33}, "search-2": {"tries_per_optimizer": 9}}
    study = records.study | ({"tuning_record": search | {"kfac": {"search": "search-2"}}} if recorded else {})
    own = Results(dataclasses.replace(records, trials=trials, study=study))
    said = study_tables.untuned(own, "digits")
    budget = "the best of 9 to 33 settings tried for each" if recorded else "what a search found"
    assert said.startswith("Not tuned (section digits): ")
    assert said.endswith(f". Settings of the tuned ones are {budget}.")
    named = dict(re.findall(r"(?:: |, | and )([^:,]+?) \((default settings|set by the study)\)", said))
    ran = set(trials.loc[here, "method"]) - {"adam", "kfac"}
    assert set(named) == {registry.get(name).title for name in ran}
    # lr = 0.01 in all records, the default of the others
    assert {title for title, how in named.items() if how == "set by the study"} == {"SGD", "TNGD-Adam"}
    with charting.style():
        assert said in training_section.training_sections(own)[0].points


def test_nothing_is_said_of_tuning_where_all_or_none_are_tuned(records):
    assert study_tables.untuned(Results(records), "digits") == ""
    tuned = records.trials.assign(optimizer=records.trials["optimizer"] + "[tuned]")
    assert study_tables.untuned(Results(dataclasses.replace(records, trials=tuned)), "digits") == ""
