"""Maps: what is coloured, dotted and marked is what the frames hold, and their words say it."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from tests.report.map.conftest import NO_TRIALS
from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import break_even
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.results import Results
from tngd_bench.report.document import charting
from tngd_bench.report.document.palette import marks
from tngd_bench.report.map import break_even_charts, map_charts, map_drawing, map_section, map_view


def test_there_is_a_map_over_both_planes_and_one_per_preset_and_link(charts, calibrations):
    assert {"map-exact-batch", "map-all-batch", "map-exact-outputs", "map-all-outputs"} <= set(charts)
    use = calibrations.use
    panels = charts["map-presets"].figure.axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == [title for title, _ in map_view.device_uses(use, NO_TRIALS)]
    assert charts["map-presets"].caption.endswith(
        "Not stated: board (writing the cells, slower relaxation); "
        "pcm (writing the cells, D/A conversion, slower relaxation); "
        "rram (D/A conversion, slower relaxation); "
        "sram-mdac (writing the cells, D/A conversion)."
    )
    assert "Not stated" not in charts["map-exact-batch"].caption  # the study's device states every time
    own = charts["map-presets"].data
    bounded = own["panel"].str.split(",").str[0].isin(["board", "pcm", "rram", "sram-mdac"])
    assert not (own.loc[bounded, "cheapest"] == "tngd").any()
    assert (own.loc[bounded, "at_best"] == "tngd").any()
    assert own.loc[~bounded, "at_best"].isna().all()
    assert len(charts["map-links"].figure.axes) == len(map_view.LINKS) + 2


def test_maps_of_exact_solvers_and_the_panel_have_the_same_rivals(records):
    """An optimizer that solves layer by layer takes another step than the exact natural gradient, as K-FAC does."""
    changed = {
        name: frame.replace({"kfac": "ngd-layer"})
        for name, frame in (("trials", records.trials), ("costs", records.costs))
    }
    results = Results(dataclasses.replace(records, **changed), clocked=True)
    view = map_view.MapView(results, results.calibrations)
    cases = {case.name: set(case.found.labels) for case in map_charts._planes(view)}
    exact = set(break_even.exact_labels(view.calibrations))
    assert cases["map-exact-batch"] == exact | {"tngd"}
    assert "ngd-layer" in set(view.calibrations.digital) - exact


def test_axes_are_labelled_and_the_margin_is_m(charts):
    axes = charts["map-exact-batch"].figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("parameters N", "batch size b")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (margin,) = axes.child_axes
    assert margin.get_ylabel() == "m = b·d_z (d_z = 10)"
    np.testing.assert_allclose(margin.get_ylim(), np.multiply(axes.get_ylim(), 10))
    low, high = margin.get_ylim()
    assert sum(low <= tick <= high for tick in margin.get_yticks()) >= 3  # also where no decade lies between
    assert charts["map-exact-outputs"].figure.axes[0].get_ylabel() == "outputs d_z"


def test_the_coloured_area_of_each_optimizer_is_the_area_it_wins(calibrations):
    known = calibrations.infos
    area = plane(calibrations, "batch_size", 10)
    found = cheapest(area, calibrations.use, ("kfac",))
    with charting.style():
        chart = map_charts.map_chart(map_drawing.Map(found, "m", "t", ""), known, marks(known))
    axes = chart.figure.axes[0]
    table = chart.data
    step_x, step_y = np.log(area.sizes[1] / area.sizes[0]), np.log(area.values[1] / area.values[0])
    drawn = {}
    for collection in axes.collections:
        colour, alpha = tuple(np.round(collection.get_facecolor()[0][:3], 4)), collection.get_alpha()
        for path in collection.get_paths():
            corners = np.log(path.vertices)
            size = np.ptp(corners[:, 0]) * np.ptp(corners[:, 1]) / (step_x * step_y)
            drawn[colour, alpha] = drawn.get((colour, alpha), 0.0) + size
    for label in found.labels:
        own = table[table["cheapest"] == label]
        colour = tuple(
            np.round(
                [int(marks(known)[label].colour.light[place : place + 2], 16) / 255 for place in (1, 3, 5)], 4
            )
        )
        for alpha, wanted in (
            (1.0, own["confirmed"].sum()),
            (map_drawing._UNDECIDED, (~own["confirmed"]).sum()),
        ):
            assert drawn.get((colour, alpha), 0.0) == pytest.approx(wanted, abs=0.35)


def test_measured_sizes_are_marked_and_the_rest_hatched(charts, records):
    axes = charts["map-exact-batch"].figure.axes[0]
    (points,) = [line for line in axes.get_lines() if line.get_label() == "measured sizes"]
    assert set(points.get_xdata()) == set(map(float, records.costs["parameters"].unique()))
    assert set(points.get_ydata()) == {32.0}
    assert [patch for patch in axes.patches if patch.get_hatch()] == []  # what is far is not vouched for
    data = charts["map-exact-batch"].data
    assert set(data.loc[data["cheapest"] != "", "batch_size"]) == {32}
    assert (data.loc[data["cheapest"] != "", "error_factor"] <= 1.5).all()
    assert axes.get_ylim() == pytest.approx((16 / 2**0.5, 64 * 2**0.5))


def test_the_alternative_text_of_a_map_names_what_is_shown_and_no_share_of_nothing(charts):
    chart = charts["map-exact-batch"]
    shown = chart.data[chart.data["cheapest"] != ""]
    low, high = (quantities.count(size) for size in (shown["parameters"].min(), shown["parameters"].max()))
    assert f"over N = {low} to {high} and batch size b 32." in chart.alt
    assert shown["parameters"].max() < chart.data["parameters"].max()
    assert "0 % modelled only" not in " ".join(each.alt for each in charts.values())


def test_what_is_the_cheapest_at_best_is_dotted_and_named_so(calibrations):
    use = calibrations.use
    device = use.device.override(link_rate_bits_per_s=None, cell_write_time_s=None)
    found = cheapest(
        plane(calibrations, "batch_size", 10), dataclasses.replace(use, device=device), ("kfac",)
    )
    known = calibrations.infos
    with charting.style():
        chart = map_charts.map_chart(map_drawing.Map(found, "m", "t", ""), known, marks(known))
    dotted = [c for c in chart.figure.axes[0].collections if c.get_hatch() == map_drawing._DOTS]
    assert sum(len(c.get_paths()) for c in dotted) > 0
    assert found.open.any()
    assert "TNGD at best" in {text.get_text() for text in chart.figure.axes[0].texts}
    assert f"TNGD {quantities.percent(found.share_at_best('tngd'))} at best" in chart.alt
    assert "at best: times not stated" in {t.get_text() for t in chart.figure.legends[0].get_texts()}
    line = break_even.line(calibrations, dataclasses.replace(use, device=device), 10_000, 10)
    rates = break_even.break_even_rates(line, {"rival": ["ngd-gram"]})
    assert set(rates["not_stated"]) == {"write_cells"}
    view = SimpleNamespace(device_name="TNGD", main={"outputs": 10})
    with charting.style():
        assert (
            "A lower bound: no time is stated for writing the cells"
            in break_even_charts.rate_chart(view, ("r", rates)).caption
        )
    crossed = break_even.crossovers(line, dataclasses.replace(use, device=device))
    table = map_section.crossover_table(crossed, known, "tngd")
    assert "At best (≥): no time is stated for writing the cells" in table.caption
    for each, row in zip(crossed, table.rows, strict=True):
        assert row[2].startswith("no crossover" if np.isinf(each.rows_m) else "≥ ")
