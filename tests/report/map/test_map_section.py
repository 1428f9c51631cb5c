"""The sections of maps: crossovers, break-even charts and what is said without rivals."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.results import Results
from tngd_bench.report.document import charting
from tngd_bench.report.map import break_even_charts, map_section, map_view


def test_alternative_text_states_the_finding(charts, results):
    assert "Share of the coloured sizes at which each is the cheapest: " in charts["map-exact-batch"].alt
    assert all(len(chart.alt) > 60 for chart in charts.values())
    assert results.decides.startswith(
        "At N = 1,000,000, m = 320 (the largest timed at b = 32 and d_z = 10), "
    )
    assert " go to sending and writing the arrays (modelled)." in results.decides
    assert any("NGD (Gram)" in point and " at 50 Gb/s" in point for point in results.map.points)
    assert any("left out of the fit" in point and "NGD (Gram) " in point for point in results.map.points)
    assert any("b was never varied on digits-mlp" in point for point in results.map.points)


def test_crossovers_at_larger_sizes_stand_in_a_table_with_what_they_rest_on(results, calibrations):
    (table,) = [table for table in results.map.tables if table.name == "crossovers"]
    assert set(table.data["parameters"]) == {1_000_000, 100_000_000}
    for row, each in zip(table.rows, table.data.to_dict("records"), strict=True):
        assert row[5] == ("extrapolated" if each["extrapolated"] else "between measured sizes")
        assert row[2].startswith("no crossover") == np.isinf(each["rows_m"])
    beyond = table.data[table.data["parameters"] > 2_000_000]
    assert beyond["extrapolated"].all()
    assert [point for point in results.map.points if "N = 100,000,000" in point] == []


def test_a_study_without_rivals_has_no_break_even_chart(records):
    """Neither an exact natural gradient nor K-FAC was timed, only one with a memory."""
    fewer = {
        name: frame[frame["method"].isin(["sgd", "ngd-gram", "tngd"])].replace("ngd-gram", "spring")
        for name, frame in (("trials", records.trials), ("costs", records.costs))
    }
    with charting.style():
        found = map_section.map_results(Results(dataclasses.replace(records, **fewer), clocked=True))
    charts = [chart for section in (found.map, found.what_if) for chart in section.charts]
    assert charts
    assert [chart.missing for chart in charts if chart.missing is not None] == []
    assert not [chart for chart in charts if chart.name.startswith("break-even-link-rate")]


def test_break_even_charts_have_units_and_a_line_per_size(charts):
    (name,) = [name for name in charts if name.startswith("break-even-link-rate") and "exact" in name]
    chart = charts[name]
    axes = chart.figure.axes[0]
    assert axes.get_ylabel() == "break-even link rate"
    sizes = sorted(chart.data["parameters"].unique())
    labels = [text.get_text() for text in chart.figure.legends[0].get_texts()]
    assert labels == [f"N = {size:,}" for size in sizes]
    for line, size in zip(
        [line for line in axes.get_lines() if line.get_marker() != "None"], sizes, strict=False
    ):
        own = chart.data[(chart.data["parameters"] == size) & np.isfinite(chart.data["rate_bits_per_s"])]
        np.testing.assert_array_equal(line.get_ydata(), own["rate_bits_per_s"])
    (name,) = [name for name in charts if name.startswith("break-even-sensitivity") and "exact" in name]
    assert [axes.get_xlabel() for axes in charts[name].figure.axes] == [
        "link rate",
        "time constant τ = RC",
        "bits of a word on the link",
    ]


def test_without_a_rival_there_is_no_rate_to_break_even_at():
    assert list(break_even_charts._rates(SimpleNamespace(use=object(), rivals={}))) == []


@pytest.mark.parametrize(("pace", "quicker"), [(0.5, True), (2.0, False)])
def test_a_setting_that_was_quicker_than_the_one_on_the_maps_is_named(records, pace, quicker):
    def other(frame):
        own = frame[(frame["group"] == "cost") & (frame["optimizer"] == "tngd")]
        return own.assign(optimizer="tngd[copies=64]", key=own["key"] + "/64")

    seconds = {name: pace * other(records.costs)[name] for name in ("digital_s", "total_s")}
    both = {"costs": (records.costs, other(records.costs).assign(**seconds))}
    both["trials"] = records.trials, other(records.trials)
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in both.items()}
    own = Results(dataclasses.replace(records, **joined), clocked=True)
    view = map_view.MapView(own, own.calibrations)
    stands = " One optimizer on a device is on the maps, TNGD, and not TNGD-Adam and TNGD (copies of the arrays = 64)."
    assert map_section.device_words(view) == stands
    words = map_section.quicker_words(view)
    assert ("TNGD (copies of the arrays = 64), " in words) is quicker
    assert ("at N = 1,000,000." in words) is quicker
