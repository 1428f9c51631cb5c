"""Kinds of cost side by side, profiles, times to levels, pairs of imperfections, verdicts, compare, predict."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.report.views import views
from tngd_bench.analysis.compare import TwoStores
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import convergence, final_scores, sweep_kinds
from tngd_bench.optimizers import registry
from tngd_bench.report.compare import comparison
from tngd_bench.report.cost import cost_charts, prediction_chart
from tngd_bench.report.document import charting
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.training import heatmaps, training_charts
from tngd_bench.spu.dynamics.arrays import UnstableDeviceError
from tngd_bench.studies.store.columns import COST_COLUMNS


@pytest.fixture(scope="module")
def known(records):
    return optimizer_infos(records.trials)


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_kinds_of_cost_have_panels_of_their_own(records):
    with charting.style():
        (chart,) = charts_of("scaling", Results(records))  # along N alone
    labels = [axes.get_ylabel() for axes in chart.figure.axes]
    assert labels == [title for _, title in cost_charts._COLUMNS]
    measured, modelled, counted, _ = chart.figure.axes
    own = chart.data[chart.data["optimizer"] == "tngd"].sort_values("parameters")
    np.testing.assert_array_equal(lines(measured)["TNGD"].get_ydata(), own["digital_median_s"])
    np.testing.assert_array_equal(lines(modelled)["TNGD"].get_ydata(), own["modelled_s"])
    np.testing.assert_array_equal(lines(counted)["TNGD"].get_ydata(), own["flops"])
    assert set(lines(modelled)) == {"TNGD", "TNGD-Adam"}


def test_a_profile_is_drawn_as_its_steps(records):
    results = Results(records)
    with charting.style():
        (case, _) = training_charts.profile_chart.cases(results)
        chart = training_charts.profile_chart(results, case)
    clock, where, profile = case
    assert (clock, where) == ("iterations", "")
    own = profile[profile["optimizer"] == "tngd"].sort_values("tau")
    drawn = lines(chart.figure.axes[0])["TNGD"]
    np.testing.assert_array_equal(drawn.get_xdata(), own["tau"])
    np.testing.assert_array_equal(drawn.get_ydata(), own["share"])
    assert drawn.get_drawstyle() == "steps-post"
    assert "tasks (section, target and seed) won" in chart.alt


def test_times_to_levels_have_bands_on_the_other_axis(records):
    results = Results(records)
    bands = convergence.bands_at_level(results.curves, results.trials, "train_loss")
    with charting.style():
        (loss, _) = training_charts.level_chart.cases(results)
        chart = training_charts.level_chart(results, loss)
    axes = chart.figure.axes[0]
    assert axes.get_xlabel().startswith("time to reach the level")
    own = bands[(bands["optimizer"] == "adam") & np.isfinite(bands["median"]) & (bands["median"] > 0)]
    np.testing.assert_array_equal(lines(axes)["Adam"].get_xdata(), own["median"])
    np.testing.assert_array_equal(lines(axes)["Adam"].get_ydata(), own["level"])
    assert axes.collections


@pytest.fixture(scope="module")
def pairs(records):
    """Trials of a sweep of bits × noise made from the single one: the loss is bits + 10·noise, one corner diverges."""
    trials, curves = [], []
    trial = records.trials[records.trials["group"] == "noise"].iloc[0].to_dict()
    curve = records.curves[records.curves["key"] == trial["key"]].iloc[-1].to_dict()
    for number, (bits, noise) in enumerate((b, n) for b in (np.nan, 8.0, 4.0) for n in (0.0, 0.1)):
        key = f"pair{number}#0"
        lost = bits == 4 and noise > 0
        trials.append(
            trial
            | {"key": key, "group": "pairs", "sweep_parameter": "adc_bits", "sweep_value": bits}
            | {"sweep_parameter_2": "noise_variance", "sweep_value_2": noise, "sweep_label_2": f"{noise:g}"}
            | {"sweep_label": "ideal" if np.isnan(bits) else f"{bits:g}"}
            | {
                "status": "diverged" if lost else "ok",
                "reason": str(UnstableDeviceError(-0.0123)) if lost else None,
            }
        )
        curves.append(curve | {"key": key, "train_loss": np.nan_to_num(bits) + 10 * noise + 1})
    return pd.DataFrame(trials), pd.DataFrame(curves)


def test_a_pair_of_imperfections_is_a_heat_map_from_mild_to_harsh(pairs, known):
    trials, curves = pairs
    assert sweep_kinds.is_pair(trials).all()
    ran = views(trials=trials, final=final_scores.final_values(trials, curves), infos=known)
    table = heatmaps.pair_table(ran)
    with charting.style():
        (chart,) = charts_of("noise", ran)
    axes = chart.figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ideal", "8", "4"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0", "0.1"]
    cells = {
        (round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in axes.texts
    }
    assert cells[0, 0] == "1.0"
    assert cells[1, 1] == "10"
    assert cells[2, 1] == "unstable\n−0.012/τ"
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "ADC resolution (bits)",
        "thermal noise κ₀ (variance, signal²)",
    )
    assert "1 of 6 pairs had seeds that diverged, 1 seeds on an unstable device" in chart.alt
    shown = heatmaps.levels_table(table, known)
    assert ("1 of 1 (1 unstable)") in {row[3] for row in shown.rows}


def test_where_larger_is_milder_a_heat_map_begins_with_the_largest(pairs, known):
    trials, curves = (frame.copy() for frame in pairs)
    trials["sweep_parameter"] = "rail_volts"
    ran = views(trials=trials, final=final_scores.final_values(trials, curves), infos=known)
    with charting.style():
        (chart,) = charts_of("noise", ran)
    axes = chart.figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ideal", "8", "4"]
    assert axes.get_xlabel() == "rail voltage (V)"


def test_what_was_swept_in_pairs_is_named_on_the_first_screen(pairs):
    trials, curves = pairs
    costs = pd.DataFrame(columns=list(COST_COLUMNS))
    told = find(Results.of(trials.assign(kind="training"), costs, curves)).noise
    assert told == (
        "Sensitivity to imperfections of the device: not measured. "
        "Not judged here: ADC resolution × thermal noise κ₀; see the tables of sensitivity."
    )


def test_levels_that_are_words_are_no_ideal_device(pairs):
    trials, _ = pairs
    single = trials.assign(
        sweep_parameter_2=None, sweep_parameter="device", sweep_value=np.nan, sweep_label="rram"
    )
    assert sweep_kinds.is_worded(single).all()
    bits = trials.assign(sweep_parameter_2=None)
    assert not sweep_kinds.is_worded(bits).any()
    old = trials.drop(columns=["sweep_label", "sweep_parameter_2"])
    assert not sweep_kinds.is_worded(old).any()
    assert not sweep_kinds.is_pair(old).any()


def test_compare_writes_a_page_that_names_the_stores_and_draws_the_ratios(records, make, tmp_path):
    small = {"optimizers": ("sgd", "ngd-gram", "tngd"), "sizes": (1_000, 10_000), "sweeps": False}
    one = make(**small)
    html, md, first, missing = comparison.build_comparison(one, one, ("<first>", "second"), tmp_path)
    assert missing == ()
    text = html.read_text()
    assert "A is &lt;first&gt;, B is second." in text
    assert "Content-Security-Policy" in text
    assert "final loss equal to the bit in 9" in dict(first)["Training"]
    assert "includes changes of the machine's speed between the two runs" in dict(first)["Cost"]
    assert "&lt;first&gt;" in md.read_text()
    data = pd.read_csv(tmp_path / "data" / "compare-cost.csv")
    assert (data["ratio"] == 1.0).all()
    assert len(data) == 6


@pytest.mark.parametrize(
    ("entries", "words"), [(1, "1 entry differs (cpu)"), (2, "2 entries differ (cpu, ram)")]
)
def test_what_differs_is_counted_in_words(entries, words):
    names = ["cpu", "ram"][:entries]
    found = TwoStores(
        costs=pd.DataFrame(),
        training=pd.DataFrame(),
        differences=pd.DataFrame({"where": "environment", "name": names}),
        only=pd.DataFrame({"a": ["x"]}),
        run_spreads=(SimpleNamespace(words="1 %"),) * 2,
    )
    assert comparison._conditions(found) == (
        f"Environment: {words}. Study: the same. 1 setting is in one store only. "
        "Spread from run to run in intervals of cost: 1 %."
    )


def test_a_predicted_sweep_is_drawn_as_its_rows():
    rows = [
        {"link_rate_bits_per_s": rate, "device_s": 1 / rate, "device_at_least_s": 1 / rate}
        | {"iteration_s": None, "iteration_at_least_s": None, "not_stated": ""}
        | {f"{name}_s": 1e-3 if name == "sgd" else None for name in registry.digital()}
        for rate in (1e9, 1e10)
    ]
    with charting.style():
        chart = prediction_chart.prediction_chart(rows, "link_rate_bits_per_s", "paper", "N = 1")
    axes = chart.figure.axes[0]
    np.testing.assert_array_equal(lines(axes)["TNGD"].get_ydata(), [1e-9, 1e-10])
    assert set(lines(axes)) == {"TNGD", "SGD"}
    assert axes.get_xlabel() == "link rate"
    assert chart.alt.endswith("TNGD 100 ps, SGD ≥ 1.00 ms.")


def test_a_predicted_sweep_says_what_has_no_memory_and_shows_the_whole_axis():
    rows = [
        {"parameters": n, "device_s": 1.0, "device_at_least_s": 1.0, "not_stated": ""}
        | {"iteration_s": time, "iteration_at_least_s": time, "does_not_fit": unfit}
        | {f"{name}_s": time if name == "sgd" else None for name in registry.digital()}
        for n, time, unfit in ((1e6, 1e-3, "ngd"), (1e12, None, "host sgd ngd"))
    ]
    with charting.style():
        chart = prediction_chart.prediction_chart(rows, "parameters", "paper", "")
        with pytest.raises(ValueError, match="nothing to draw"):
            prediction_chart.prediction_chart(rows[1:], "parameters", "paper", "")
    axes = chart.figure.axes[0]
    # where the host does not fit the device alone is no iteration
    assert [value for value in lines(axes)["TNGD"].get_ydata() if value == value] == [1e-3]
    assert axes.get_xlim()[1] >= 1e12
    assert "too little memory: SGD, NGD (dense) and TNGD (its host)." in chart.caption
    assert chart.alt.endswith("At the last value, fastest first: none.")


def test_a_predicted_sweep_over_words_has_a_place_for_each_and_no_line_between():
    rows = [
        {"device": name, "device_s": seconds, "device_at_least_s": at_least, "not_stated": unstated}
        | {"iteration_s": None, "iteration_at_least_s": None}
        | {f"{each}_s": 1e-3 if each == "sgd" else None for each in registry.digital()}
        for name, seconds, at_least, unstated in (
            ("paper", 2e-3, 2e-3, ""),
            ("rram", None, 5e-3, "write_cells"),
        )
    ]
    with charting.style():
        chart = prediction_chart.prediction_chart(rows, "device", "", "N = 1")
    axes = chart.figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["paper", "rram"]
    assert axes.get_xlabel() == "device preset"
    drawn = lines(axes)
    np.testing.assert_array_equal(drawn["TNGD (≥: at least)"].get_ydata(), [2e-3, 5e-3])
    assert [(text.get_text(), text.xy) for text in axes.texts] == [("≥", (1.0, 5e-3))]
    assert "SGD ≥ 1.00 ms, TNGD ≥ 5.00 ms" in chart.alt
    assert {line.get_linestyle() for line in drawn.values()} == {"None"}
    assert chart.caption.endswith(
        "TNGD's time is a lower bound where no time is stated for: writing the cells."
    )
    assert chart.heading == "Predicted iteration against device preset (N = 1)"
