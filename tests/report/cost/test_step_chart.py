"""The picture of one step: its bars are the medians of one size, added up in the order host, link, relaxation."""

import numpy as np
import pytest

from tngd_bench.analysis.results import Results
from tngd_bench.report.cost.step_chart import shown_rows, step_chart
from tngd_bench.report.document import charting


@pytest.fixture(scope="module")
def results(records):
    return Results(records)


def test_the_bars_are_the_medians_of_one_size_and_add_up(results):
    with charting.style():
        chart = step_chart(results)
    own = results.cost_summary
    own = own[own["parameters"] == 1_000_000].set_index("optimizer")
    data = chart.data.set_index("optimizer")
    bars = {}
    for container in chart.figure.axes[0].containers:
        for label, bar in zip(data.index, container, strict=True):
            bars.setdefault(label, []).append(bar.get_width())
    for label, widths in bars.items():
        row = own.loc[label]
        parts = row["digital_median_s"], row["write_s"] + row["read_s"], row["relax_s"]
        np.testing.assert_allclose(widths, parts)
    np.testing.assert_allclose(sum(bars["tngd"]), own.loc["tngd", "total_median_s"], rtol=1e-3)
    assert list(data["at_least_s"]) == sorted(data["at_least_s"])


def test_the_device_stands_beside_every_method_and_one_exact_solver(results):
    shown = shown_rows(results.cost_summary, results.infos)
    here = results.cost_summary[results.cost_summary["parameters"] == shown["parameters"].iloc[0]]
    slower = {"ngd-cg", "ngd-woodbury", "ngd-dense"}
    assert set(shown["method"]) == set(here["method"]) - slower
    assert "ngd-gram" in set(shown["method"])
    assert shown["parameters"].nunique() == 1


def test_a_study_of_other_optimizers_shows_all_of_them(make):
    results = Results(make(optimizers=("sgd", "ngd-cg"), sizes=(1_000, 10_000), training=False))
    shown = shown_rows(results.cost_summary, results.infos)
    assert list(shown["optimizer"]) == ["sgd", "ngd-cg"]
    assert set(shown["parameters"]) == {10_000}


def test_without_costs_there_is_no_picture(make):
    assert step_chart(Results(make(optimizers=("sgd",), sizes=()))) is None
