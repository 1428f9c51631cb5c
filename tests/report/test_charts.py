"""The charts draw what their frames hold, with labelled axes and units."""

import numpy as np
import pandas as pd
import pytest

from tests.report.views import views
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.results import Results
from tngd_bench.report.document import charting
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.render import drawings
from tngd_bench.report.training.training_charts import convergence_chart


@pytest.fixture(scope="module")
def charts(records):
    results = Results(records)
    with charting.style():
        made = [chart for name in ("cost", "split", "noise") for chart in charts_of(name, results)]
        made += [convergence_chart(results, case) for case in convergence_chart.cases(results)]
    return {chart.name: chart for chart in made}


def line(chart, label):
    (found,) = [line for line in chart.figure.axes[0].get_lines() if line.get_label() == label]
    return found


def test_every_chart_has_labelled_axes_a_legend_and_words(charts):
    assert len(charts) == 11
    for chart in charts.values():
        axes = chart.figure.axes[0]
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert chart.figure.legends
        assert chart.heading
        assert chart.alt
        assert chart.caption
        assert len(chart.data)


def test_time_against_n_draws_the_medians(charts):
    chart = charts["time-per-iteration-cost-32-10"]
    for label, title in (("ngd-gram", "NGD (Gram)"), ("tngd", "TNGD")):
        own = chart.data[chart.data["optimizer"] == label]
        drawn = line(chart, title)
        np.testing.assert_array_equal(drawn.get_xdata(), own["parameters"])
        np.testing.assert_array_equal(drawn.get_ydata(), own["total_median_s"])
    measured = line(chart, "TNGD, measured part")
    own = chart.data[chart.data["optimizer"] == "tngd"]
    np.testing.assert_array_equal(measured.get_ydata(), own["digital_median_s"])
    axes = chart.figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_tick_labels_carry_units(charts):
    with charting.style():
        chart = charts["time-per-iteration-cost-32-10"]
        drawings.svg(chart)
        texts = [tick.get_text() for tick in chart.figure.axes[0].get_yticklabels()]
        powers = [tick.get_text() for tick in chart.figure.axes[0].get_xticklabels()]
    assert {"1 ms", "10 ms"} <= set(texts)
    assert {"10³", "10⁶"} <= set(powers)


def test_split_bars_are_the_parts_relative_to_the_longest_bar(charts):
    chart = charts["cost-split-cost-32-10"]
    parts = ["digital_s", "write_s", "relax_s", "read_s"]
    sums = chart.data[parts].sum(axis=1)
    longest = sums.groupby(chart.data["parameters"]).transform("max")
    wanted = (100 * chart.data[parts].div(longest, axis=0)).to_numpy().ravel()
    bars = [patch.get_width() for patch in chart.figure.axes[0].patches][: len(wanted)]
    np.testing.assert_allclose(bars, wanted)
    hatched = [bool(patch.get_hatch()) for patch in chart.figure.axes[0].patches][: len(wanted)]
    assert hatched == [False, True, True, True] * len(chart.data)
    assert set(chart.data["optimizer"]) == {"kfac", "ngd", "ngd-gram", "ngd-woodbury", "tngd"}


def test_noise_shows_every_seed_and_their_median(charts):
    chart = charts["sensitivity-noise-tngd-noise-variance-final-loss"]
    median = line(chart, "median of seeds")
    by_level = chart.data.groupby("sweep_value")["final_loss"].median()
    np.testing.assert_allclose(median.get_ydata(), by_level)
    assert [tick.get_text() for tick in chart.figure.axes[0].get_xticklabels()] == [
        *["ideal", "10⁻⁴", "0.001", "0.01", "0.1"]
    ]
    assert "no worse than ideal up to thermal noise κ₀ = 10⁻⁴" in chart.alt


def test_each_chart_of_a_sweep_states_the_tolerance_of_what_it_shows(charts):
    loss, accuracy = (
        charts[f"sensitivity-noise-tngd-noise-variance-{name}"]
        for name in ("final-loss", "final-test-accuracy")
    )
    assert "Final training loss: no worse than ideal up to" in loss.caption
    assert "Final test accuracy: " in accuracy.caption
    assert "oss" not in accuracy.caption


def test_a_level_where_every_seed_diverged_stays_on_the_axis():
    rows = []
    for level, losses in ((0.0, [0.5, 0.6]), (0.01, [0.55, None]), (0.1, [None, None])):
        for seed, loss in enumerate(losses):
            row = {
                "group": "s",
                "problem": "digits-mlp",
                "optimizer": "tngd",
                "sweep_parameter": "programming_error",
                "parameters": 100,
            }
            row |= {"sweep_value": level, "seed": seed, "key": f"{level}-{seed}", "final_loss": loss}
            row |= {
                "status": "ok" if loss else "diverged",
                "final_test_accuracy": None,
                "final_test_f1": None,
                "final_test_l2_error": None,
                "sweep_parameter_2": None,
                "sweep_label": None,
            }
            rows.append(row)
    final = pd.DataFrame(rows)
    infos = optimizer_infos(final.assign(method="tngd", device="paper"))
    with charting.style():
        (chart,) = charts_of("noise", views(final=final, trials=final.assign(reason=None), infos=infos))
    axes = chart.figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ideal", "0.01", "0.1"]
    assert line(chart, "diverged").get_xdata().tolist() == [1, 2]
    assert [text.get_text() for text in axes.texts] == ["1/2", "2/2"]
    assert line(chart, "median of seeds").get_xdata().tolist() == [0]  # half of two seeds is no median
    assert "N = 100" in chart.heading


def test_bits_run_from_many_to_few(charts):
    axes = charts["sensitivity-resolution-tngd-adc-bits-final-loss"].figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ideal", "12", "8", "6", "4", "2"]
    assert axes.get_xlabel() == "ADC resolution (bits)"


def test_convergence_leaves_out_the_diverged_seed(charts):
    bands = charts["digits-train-loss-iterations"].data
    assert set(bands.loc[bands["optimizer"] == "kfac", "seeds"]) == {2}
    assert set(bands.loc[bands["optimizer"] == "sgd", "seeds"]) == {3}
