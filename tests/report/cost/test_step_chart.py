"""The picture of one step: its bars are the medians of one size, added up in the order host, link, relaxation."""

import numpy as np
import pytest

from tngd_bench.analysis.results import Results
from tngd_bench.report.cost.step_chart import alone_chart, shown_rows, step_chart
from tngd_bench.report.document import charting, scales
from tngd_bench.report.document.outline import contents


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


@pytest.mark.parametrize(
    ("optimizers", "drawn"),
    [
        (("sgd", "ngd-gram", "tngd"), ["step"]),
        (
            ("sgd", "ngd-gram", "ngd-cg", "tngd"),
            ["step", "step-cost-32-10"],
        ),  # the first has one exact solver
    ],
)
def test_at_one_size_optimizers_are_drawn_beside_one_another_and_nothing_against_it(make, optimizers, drawn):
    with charting.style():
        page = contents(Results(make(optimizers=optimizers, sizes=(1_000,))))
    charts = [chart for section in page.every for chart in section.charts]
    assert [chart.name for chart in charts if "step" in chart.name] == drawn
    assert not any(words in chart.heading + chart.alt for chart in charts for words in ("against N", "grew"))
    sized = [
        axes for chart in charts for axes in chart.figure.axes if axes.get_xlabel() in scales.AXES.values()
    ]
    assert sized == []


def test_at_one_size_every_optimizer_has_its_bar(make):
    results = Results(make(optimizers=("sgd", "ngd-gram", "ngd-cg", "tngd"), sizes=(1_000,), training=False))
    with charting.style():
        (series,) = alone_chart.cases(results)
        chart = alone_chart(results, series)
    own = results.cost_summary.set_index("optimizer")
    widths = {}
    for container in chart.figure.axes[0].containers:
        for label, bar in zip(chart.data["optimizer"], container, strict=True):
            widths[label] = widths.get(label, 0.0) + bar.get_width()
    assert widths.keys() == set(own.index)
    for label, row in own.iterrows():
        parts = row[["digital_median_s", "write_s", "read_s", "relax_s"]]
        assert widths[label] == pytest.approx(parts.sum())
    assert chart.heading == "One step at N = 1,000 (digits-mlp, b = 32, d_z = 10)"
