"""The words of a comparison against counts made here from the tables behind them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.compare import TwoStores
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.statistics.run_spread import ASSUMED
from tngd_bench.measure.seeds import unlike_seeds
from tngd_bench.report.compare.comparison import Compared, compared_chart, headlines
from tngd_bench.report.document import charting


def two(costs=None, training=None, unlike=()):
    columns = ["pairs", "equal", "b_lower", "a_diverged", "b_diverged"]
    training = pd.DataFrame(columns=columns) if training is None else training
    differences = pd.DataFrame(columns=["where", "name", "a", "b"])
    costs = pd.DataFrame() if costs is None else costs
    return TwoStores(differences, costs, training, pd.DataFrame(), (ASSUMED, ASSUMED), unlike)


def costs(*rows):
    """Rows of optimizer, reference, relative, low and high, at N = 10."""
    frame = pd.DataFrame(
        rows, columns=["optimizer", "reference", "relative", "relative_low", "relative_high"]
    )
    return frame.assign(parameters=10, ratio=1.0, a_flops=1.0, b_flops=1.0)


SGD = ("sgd", "sgd", 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([SGD], "not known, as no other optimizer was timed beside it in both stores"),
        ([("adam", None, np.nan, np.nan, np.nan)], "not known, as no other optimizer was timed beside it"),
        ([SGD, ("adam", "sgd", 1.1, np.nan, np.nan)], "not tested, as that takes three processes of each"),
        ([SGD, ("adam", "sgd", 1.5, 1.2, 1.9)], "of 1 setting B is slower in 1 and faster in 0"),
        (
            [SGD, ("adam", "sgd", 0.5, 0.2, 0.9), ("kfac", "sgd", 1.1, 0.9, 1.3)],
            "of 2 settings B is slower in 0 and faster in 1",
        ),
    ],
)
def test_the_reason_why_nothing_is_tested_is_the_true_one(rows, said):
    text = dict(headlines(two(costs(*rows))))["Cost"]
    assert said in text
    assert f"Of {len(rows)} shared setting{'s' * (len(rows) != 1)} the median" in text


def test_pairs_are_counted_and_what_is_not_compared_is_named():
    training = pd.DataFrame(
        {"pairs": [1], "equal": [0], "b_lower": [1], "a_diverged": [0], "b_diverged": [2]}
    )
    text = dict(headlines(two(training=training, unlike=("g.train_size",))))["Training"]
    assert text == (
        "1 pair of equal setting and seed: final loss equal to the bit in 0, lower in B in 1, higher in 0. Diverged: 0 "
        "in A, 2 in B. Not compared, as other data were trained or evaluated on: g.train_size."
    )


def test_studies_of_two_names_and_two_processors_are_named():
    rows = [SGD, ("adam", "sgd", 1.5, 1.2, 1.9)]
    same = dataclasses.replace(two(costs(*rows)), processors=("X", "X"))
    other = dataclasses.replace(same, unpaired=unlike_seeds("s", "t"), processors=("X", "Y"))
    plain, found = dict(headlines(same)), dict(headlines(other))
    assert found["Cost"].removeprefix(plain["Cost"]).startswith(" A was measured on X, B on Y:")
    assert plain["Training"] == "No training run is shared."
    assert "derive from the name of the study, and these are “s” and “t”" in found["Training"]


def test_the_code_that_differs_hides_no_other_condition():
    names = [f"code.tngd_bench/{number}" for number in range(20)] + ["cpu", "torch"]
    differences = pd.DataFrame({"where": "environment", "name": names, "a": "1", "b": "2"})
    found = dataclasses.replace(two(), differences=differences)
    assert dict(headlines(found))["Conditions"].startswith(
        "Environment: 22 entries differ (cpu, torch, code)."
    )


@pytest.mark.parametrize("alone", [0, 1, 3])
def test_a_setting_that_the_figure_cannot_show_is_counted_under_it(alone):
    rows = [SGD, ("adam", "sgd", 1.1, 0.9, 1.3), *[("kfac", None, np.nan, np.nan, np.nan)] * alone]
    infos = {label: optimizer_info(label, label) for label in ("sgd", "adam", "kfac")}
    with charting.style():
        caption = compared_chart(Compared(costs(*rows), infos)).caption
    assert ("In the table alone" in caption) is (alone > 0)
    if alone:
        assert f"without SGD beside it: {alone} setting{'s' * (alone > 1)}." in caption


@pytest.mark.parametrize(("sizes", "ticks"), [([10, 10, 10], [10]), ([10, 10, 1_000], None)])
def test_points_side_by_side_at_one_size_are_no_other_sizes(sizes, ticks):
    rows = [SGD, ("adam", "sgd", 1.1, 0.9, 1.3), ("kfac", "sgd", 1.1, 0.9, 1.3)]
    infos = {label: optimizer_info(label, label) for label in ("sgd", "adam", "kfac")}
    with charting.style():
        (axes,) = compared_chart(Compared(costs(*rows).assign(parameters=sizes), infos)).figure.axes
    shown = [*axes.get_xticks(), *axes.get_xticks(minor=True)]
    assert shown == ticks if ticks else len(shown) > 1
