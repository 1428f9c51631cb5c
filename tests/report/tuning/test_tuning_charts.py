"""The section on a search: its table says what was tried and found, its charts hold the curves and nothing invented."""

import dataclasses
import math

import pytest

from tests.analysis.training.test_tuning import ADAM, SGD, final, searched
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.training.tuning import best_of_k_curves
from tngd_bench.report.document import charting
from tngd_bench.report.tuning.tuning_charts import tuned_tables, tuning_section
from tngd_bench.studies.file.reading import load_study

LOST = [("kfac", "kfac", {"lr": 0.1}, 0, "diverged", None, 1.0)]


@pytest.fixture
def section():
    with charting.style():
        return tuning_section(searched(SGD + ADAM + LOST))


def test_the_table_has_a_row_per_optimizer_best_first_and_dashes_for_what_is_not_known(section):
    table = section.tables[0]
    assert [row[0] for row in table.rows] == ["Adam", "SGD", "K-FAC"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "lr = 0.03, β₁ = 0.5, ε = 10⁻⁶" in table.rows[0]
    assert table.rows[2][5:9] == ("–", "–", "–", "–")
    assert table.rows[1][1:4] == ("4", "1", "0")


def test_the_charts_draw_the_finite_part_of_the_curves_and_say_their_ends(section):
    curves = best_of_k_curves(searched(SGD + ADAM + LOST))
    assert len(section.charts) == 2
    for chart in section.charts:
        assert "Adam 0.100, SGD 0.200" in chart.alt
        assert len(chart.data) == len(curves)
        (axes,) = chart.figure.axes
        drawn = [value for line in axes.lines for value in line.get_ydata()]
        assert drawn
        assert all(math.isfinite(value) for value in drawn)
    assert [chart.name for chart in section.charts] == ["tuning-best-of-k-k", "tuning-best-of-k-budget-s"]


def test_finals_are_shown_beside_the_search():
    with charting.style():
        section = tuning_section(searched(SGD, finals=final(SGD[1], 0.3, None) + final(SGD[3], 0.2, 0.4)))
    (row,) = section.tables[0].rows
    assert row[6:8] == ("0.400", "0.300")
    assert "further" not in section.prose
    assert "on seeds that the search had not had" in section.prose
    with charting.style():
        assert "had not had" not in tuning_section(searched(SGD)).prose


def test_a_search_without_any_result_says_so():
    lost = [*LOST, ("kfac[lr=1]", "kfac", {"lr": 1.0}, 0, "diverged", None, 1.0)]
    with charting.style():
        section = tuning_section(searched(lost))
    assert section.charts == ()
    assert len(section.tables[0].rows) == 1


def test_a_study_with_tuned_settings_says_what_they_cost_and_one_without_says_nothing():
    record = {
        "search": {
            "command": "tngd-bench tune x",
            "date": "2026-01-01",
            "metric": "validation_loss",
            "problem": "mnist-cnn",
            "parameters": 43_706,
            "batch_size": 64,
            "epochs": 2.0,
            "tries_per_optimizer": 17,
            "drawn_per_optimizer": 16,
            "runs_per_try": 1,
            "sampler": "Sobol",
            "seconds": 90.0,
        },
        "adam": {"score": 0.2, "default_score": 0.4, "try": 3, "seconds": 30.0},
    }
    known = {"adam[tuned]": optimizer_info("adam[tuned]", "adam")}
    (table,) = tuned_tables({"tuned": {"adam": {"lr": 0.01}}, "tuning_record": record}, known)
    assert table.rows == (("Adam (tuned)", "lr = 0.01", "0.400", "0.200", "–", "30.0 s"),)
    for words in ("17 settings for each", "16 drawn", "2 epoch", "in 90.0 s", "tngd-bench tune x"):
        assert words in table.caption
    assert "further seeds" not in table.caption
    decided = {**record["search"], "finalists_per_optimizer": 3, "runs_per_finalist": 4, "final_epochs": 10.0}
    adam = {**record["adam"], "final_score": 0.21, "final_runs": 4, "final_finished": 3}
    (table,) = tuned_tables(
        {"tuned": {"adam": {"lr": 0.01}}, "tuning_record": {"search": decided, "adam": adam}}, known
    )
    assert table.rows[0][4] == "0.210 (1 failed)"
    assert "Then the 3 best of each, 4 runs of 10 epochs on further seeds" in table.caption
    (bare,) = tuned_tables(
        {"tuned": {"other": {"lr": 0.01}}}, {"other[tuned]": optimizer_info("other[tuned]", "other")}
    )
    assert bare.rows == (("other (tuned)", "lr = 0.01", "–", "–", "–", "–"),)
    assert "without a record" in bare.caption
    assert tuned_tables({"tuned": {}}, known) == ()
    # a file of settings that the study includes and does not use
    assert tuned_tables({"tuned": {"adam": {"lr": 0.01}}}, {"adam": optimizer_info("adam", "adam")}) == ()


def test_settings_of_several_searches_have_a_table_each_that_names_its_problem():
    known = {"adam[tuned]": optimizer_info("adam[tuned]", "adam")}
    one = {"tuned": {"adam": {"lr": 0.01}}}
    assert [table.name for table in tuned_tables(one, known)] == ["tuned-settings"]
    several = tuned_tables({"tuned": {}, "tuned_for": {"digits-mlp": one, "mnist-cnn": one}}, known)
    assert [table.name for table in several] == ["tuned-settings-digits-mlp", "tuned-settings-mnist-cnn"]
    assert "called tuned in sections on mnist-cnn, found on" in several[1].caption
    assert tuned_tables({"tuned_for": {"digits-mlp": {"tuned": {}}}}, known) == ()
    assert tuned_tables({}, known) == ()  # a store from before there were any


def test_two_searches_on_one_problem_are_told_each_with_its_own_settings():
    study = load_study("quick").study
    labels = {label: optimizer_info(label, label.partition("[")[0]) for label in study.training[1].optimizers}
    told = {table.name: table for table in tuned_tables(dataclasses.asdict(study), labels)}
    mnist = {name: table for name, table in told.items() if "mnist-cnn" in name}
    assert sorted(mnist) == ["tuned-settings-mnist-cnn", "tuned-settings-mnist-cnn-2"]
    first, second = mnist.values()
    assert "tune mnist-tuning" in first.caption
    assert "tune rivals-tuning" in second.caption
    assert {row[0] for row in second.rows} == {"SPRING (tuned)", "NGD (by layers, tuned)"}
    methods = {label.partition("[")[0] for label in labels}
    assert len(first.rows) + len(second.rows) == len(methods)
