"""Maps, break-even charts and the what-if data: what is drawn is what the frames hold."""

import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import break_even, iteration_cost, one_clock
from tngd_bench.analysis.cost.device_use import FactorUse
from tngd_bench.analysis.cost.rates import calibrate
from tngd_bench.analysis.families import optimizer_info, optimizer_infos
from tngd_bench.analysis.map import target_map
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.time_to_target import hit_times, study_targets, time_to_target
from tngd_bench.optimizers.network_size import Model
from tngd_bench.optimizers.roofline import predict
from tngd_bench.report.document import charting
from tngd_bench.report.document.palette import marks
from tngd_bench.report.map import (
    break_even_charts,
    energy_chart,
    map_charts,
    map_drawing,
    map_section,
    map_view,
    what_if_section,
)
from tngd_bench.report.map.parts_table import parts_table
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import PRICED_BY
from tngd_bench.spu.device import Device
from tngd_bench.spu.kronecker import billing as kronecker
from tngd_bench.spu.ledger import ITEM_NAMES
from tngd_bench.spu.processor import Processor
from tngd_bench.studies.file.devices import SET_HERE

NO_TRIALS = pd.DataFrame({"settings": pd.Series(dtype=object)})


@pytest.fixture(scope="module")
def results(records):
    with charting.style():
        return map_section.map_results(Results(records, clocked=True))


@pytest.fixture(scope="module")
def calibrations(records):
    known = optimizer_infos(records.trials)
    return calibrate(iteration_cost.summarise(records.costs, records.trials), records.trials, known)


@pytest.fixture(scope="module")
def charts(results):
    return {chart.name: chart for section in (results.map, results.what_if) for chart in section.charts}


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


def test_axes_are_labelled_and_the_margin_is_m(charts):
    axes = charts["map-exact-batch"].figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("parameters N", "batch size b")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (margin,) = axes.child_axes
    assert margin.get_ylabel() == "m = b·d_z (d_z = 10)"
    np.testing.assert_allclose(margin.get_ylim(), np.multiply(axes.get_ylim(), 10))
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


def test_alternative_text_states_the_finding(charts, results):
    assert "Share of the coloured sizes at which each is the cheapest: " in charts["map-exact-batch"].alt
    assert all(len(chart.alt) > 60 for chart in charts.values())
    assert results.decides.startswith("At N = 1,000,000, m = 320, ")
    assert " go to sending and writing the arrays (modelled)." in results.decides
    assert any("NGD (Gram)" in point and " at 50 Gb/s" in point for point in results.map.points)
    assert any("left out of the fit" in point and "NGD (Gram) " in point for point in results.map.points)
    assert any("b was never varied on digits-mlp" in point for point in results.map.points)


def test_the_alternative_text_of_a_map_names_what_is_shown_and_no_share_of_nothing(charts):
    chart = charts["map-exact-batch"]
    shown = chart.data[chart.data["cheapest"] != ""]
    low, high = (quantities.count(size) for size in (shown["parameters"].min(), shown["parameters"].max()))
    assert f"over N = {low} to {high} and batch size b 32." in chart.alt
    assert shown["parameters"].max() < chart.data["parameters"].max()
    assert "0 % modelled only" not in " ".join(each.alt for each in charts.values())


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


def test_the_fastest_to_a_target_is_the_one_of_the_table(results, records, charts):
    targets = study_targets(records.study)
    hits = hit_times(records.trials, records.curves, targets)
    times = time_to_target(records.trials, hits, targets)
    lowest = map_view.lowest_times(records.trials, times, hits)
    for row in lowest.itertuples():
        there = times[(times["group"] == row.group) & (times["target"] == row.target)]
        assert row.seconds == there["modelled_median"].min()
        assert there.set_index("optimizer").loc[row.optimizer, "modelled_median"] == row.seconds
    known = optimizer_infos(records.trials)
    (said,) = [point for point in results.map.points if point.startswith("The fastest optimizer")]
    assert said == break_even_charts.place_words(lowest, known)
    assert f"{known[lowest['optimizer'][0]].title} in " in said
    assert "lowest-time-to-target" not in charts  # a plane with one place on it shows nothing
    two = pd.concat([lowest, lowest.assign(parameters=10 * lowest["parameters"])], ignore_index=True)
    with charting.style():
        unstated = Results(records).unstated
        view = SimpleNamespace(
            reached=two, infos=known, styles=marks(known), results=SimpleNamespace(unstated=unstated)
        )
        chart = break_even_charts.place_chart(view)
    assert chart.data.equals(two)


def test_who_reached_the_target_at_a_cost_that_is_not_known_is_counted_and_not_ranked():
    inf, nan = np.inf, np.nan
    rows = [  # target, optimizer, iterations, seconds
        ("80 %", "adam", 5.0, 2.0),
        ("80 %", "sgd", 9.0, 3.0),
        ("80 %", "tngd", 1.0, nan),
        ("80 %", "kfac", inf, inf),
        ("80 %", "ngd", inf, nan),
        ("95 %", "tngd", 4.0, nan),
        ("95 %", "adam", inf, inf),
    ]
    times = pd.DataFrame(rows, columns=["target", "optimizer", "iterations_median", "modelled_median"])
    trials = pd.DataFrame([{"kind": "training", "group": "g", "parameters": 10, "batch_size": 2}])
    hits = pd.DataFrame(columns=["group", "target", "optimizer", "seed", "modelled", "after_modelled"])
    lowest = map_view.lowest_times(trials, times.assign(group="g"), hits)
    (row,) = lowest.itertuples()
    assert (row.target, row.optimizer, row.seconds, row.runner_up) == ("80 %", "adam", 2.0, "sgd")
    assert row.untimed == 1
    said = break_even_charts.place_words(
        lowest, {label: optimizer_info(label, label) for label in ("adam", "sgd")}
    )
    untold = "these seeds do not distinguish it from SGD, 3.00 s"
    assert said.endswith(f"80 %: Adam in 2.00 s ({untold}; 1 more reached it at an unknown cost).")
    told = break_even_charts.place_words(lowest.assign(told=True), {"adam": optimizer_info("adam", "adam")})
    assert told.endswith("80 %: Adam in 2.00 s (1 more reached it at an unknown cost).")


def test_at_the_trained_size_the_map_of_a_target_has_the_seconds_of_the_table(records, calibrations):
    results = Results(records)
    seconds = one_clock.seconds_per_iteration(records.trials, records.costs, "digital_s")
    found = target_map.timed_alike(
        next(target_map.trained(results.trials, results.hits, "digits-mlp", seconds))
    )
    every = target_map.with_first_order(calibrations, results)
    (size,) = found.sizes.to_dict("records")
    area = plane(every, "batch_size", size["outputs"], (size["parameters"],), (size["batch_size"],))
    drawn = target_map.lowest(area, found)
    times = results.times_to_target
    table = times[times["target"] == found.target].set_index("optimizer")["modelled_median"]
    digital = [label for label in drawn.labels if not results.infos[label].modelled]
    assert {"kfac", "adam"} <= set(digital)
    for label in digital:
        assert drawn.seconds[drawn.labels.index(label), 0, 0] == pytest.approx(table[label], rel=1e-9), label


@pytest.mark.parametrize(
    ("seeds", "rivals", "told"), [(5, 1, False), (6, 1, True), (6, 2, False), (8, 2, True)]
)
def test_the_fastest_is_told_from_its_runner_up_by_seeds_enough_for_the_pairs_there_are(seeds, rivals, told):
    labels = ["a", "b", "c"][: rivals + 1]
    seconds = {"a": 1.0, "b": 1.2, "c": 1.5}
    trials = pd.DataFrame({"kind": ["training"], "group": "g", "parameters": 10, "batch_size": 4})
    times = pd.DataFrame(
        [{"group": "g", "optimizer": o, "target": "t", "modelled_median": seconds[o]} for o in labels]
    ).assign(iterations_median=10.0)
    hits = pd.DataFrame(
        [
            {"group": "g", "target": "t", "optimizer": o, "seed": seed, "modelled": seconds[o] * (1 + seed)}
            for o in labels
            for seed in range(seeds)
        ]
    )
    hits["after_modelled"] = 0.99 * hits["modelled"]  # evaluated often enough to tell them
    (row,) = map_view.lowest_times(trials, times, hits).to_dict("records")
    assert (row["optimizer"], row["runner_up"], row["told"]) == ("a", "b", told)
    seldom = hits.assign(after_modelled=0.5 * hits["modelled"])
    assert not map_view.lowest_times(trials, times, seldom)["told"].any()
    said = break_even_charts.place_words(pd.DataFrame([row]), {o: optimizer_info(o, o) for o in labels})
    assert ("these seeds do not distinguish it from b, 1.20 s" in said) is not told
    unknown = hits[hits["optimizer"] == "a"].assign(optimizer="untimed", modelled=np.nan)
    beside = map_view.lowest_times(trials, times, pd.concat([hits, unknown]))
    assert beside["told"].tolist() == [told]  # no rival, as it cannot be ranked
    alone = hits.assign(seed=hits["seed"] + 100 * (hits["optimizer"] == "b"))
    assert not map_view.lowest_times(trials, times, alone)["told"].any()


def test_who_missed_a_target_is_named_apart_from_who_reached_it(results):
    (said,) = [point for point in results.map.points if point.startswith("Iterations to")]
    assert "∞" not in said


def test_the_what_if_data_give_the_drawn_times_back(calibrations):
    known, use = calibrations.infos, calibrations.use
    area = plane(calibrations, "batch_size", 10)
    exact = [label for label in calibrations.digital if label != "kfac"]
    data = json.loads(json.dumps(what_if_section.explorer(calibrations, area, use, known, exact)))
    assert data["not_stated"] == []
    found = cheapest(area, use)
    rate, tau = 10 ** data["start"]["rate"], 10 ** data["start"]["tau"]
    device = (
        np.array(data["host"]["full"])
        + np.array(data["fixed"]["full"])
        + np.array(data["runs"]) * data["start"]["time"] * tau
        + np.array(data["words"]["full"]) * data["start"]["bits"] / rate
    )
    place = found.labels.index("tngd")
    np.testing.assert_allclose(device, found.seconds[place].ravel(), rtol=2e-3)
    for label in calibrations.digital:
        np.testing.assert_allclose(
            data["digital"][label], found.seconds[found.labels.index(label)].ravel(), rtol=1e-3
        )
    assert set(data["rated"]) == set(Processor.names())
    place = 5 * len(area.sizes) + 7
    n, b, d_z = area.sizes[7], area.values[5], area.fixed
    model = Model(n, area.layers[5][7], "")
    assert data["cells"][place] == pytest.approx(use.device.cells(n, b * d_z), rel=1e-3)
    for name, rated in data["rated"].items():
        processor = Processor.named(name)
        for upload, seconds in rated["host"].items():
            device = use.device.override(upload=upload)
            alone = predict(device, model=model, batch_size=b, outputs=d_z, processor=processor)
            assert seconds[place] == pytest.approx(alone.host_seconds, rel=1e-3)
            beside = {key: each[place] for key, each in data["streamed"][upload].items()}
            writing = beside["words"] * 16 / 50e9 + beside["seconds"]
            making = rated["making"][upload][place]
            assert beside["making"] < 1
            saved = min(making, writing) * (1 - 1 / d_z)
            assert saved == pytest.approx(alone.saved_seconds, rel=1e-3)
            times = {each.name: each.seconds for each in alone.alternatives}
            assert rated["digital"]["kfac"][place] == pytest.approx(times["kfac"], rel=1e-3)


def test_energy_has_the_host_and_the_rival_at_one_processor_s_power(calibrations, records):
    """Bars against predictions of the same size; what has no price has no joules, rather than none."""
    summary = iteration_cost.summarise(records.costs, records.trials)
    view = SimpleNamespace(
        calibrations=calibrations,
        infos=calibrations.infos,
        devices=map_view.device_uses(calibrations.use, NO_TRIALS),
        use=calibrations.use,
        results=SimpleNamespace(environment={}, cost_summary=summary),
    )
    with charting.style():
        chart = energy_chart.energy_chart(view)
        view.results.environment["host_watts"] = 65.0
        measured = energy_chart.energy_chart(view).data.set_index("name")
        view.results.environment["host_processor"] = "a100"
        other = energy_chart.energy_chart(view)
    assert "H100" in chart.heading
    assert "A100" in other.heading
    both = pd.concat(
        [each.data.set_index("name")["rival_j"].dropna() for each in (chart, other)], axis=1, join="inner"
    )
    assert len(both)
    assert (both.iloc[:, 0] != both.iloc[:, 1]).all()
    main, data = calibrations.main, chart.data.set_index("name")
    table = what_if_section.energy_table(calibrations, view.devices).data
    table = table[(table[list(main)] == pd.Series(main)).all(axis=1)].set_index("device")
    layers = calibrations.counts.layers(main["parameters"], main["outputs"])
    for title, used in view.devices:
        p = predict(
            used.device,
            model=Model(main["parameters"], layers, ""),
            batch_size=main["batch_size"],
            outputs=main["outputs"],
            processor=Processor.named("h100"),
            analog=used.analog,
        )
        row = data.loc[title]
        assert row["host_j"] == pytest.approx(p.host_joules)
        assert row["host_j"] == pytest.approx(700.0 * p.host_seconds)
        assert table.loc[title, "host_at_least"] == pytest.approx(p.host_joules)
        both = p.host_joules + (p.joules.at_least or 0.0)
        assert table.loc[title, "device_and_host_at_least"] == pytest.approx(both)
        own = row["device_at_least_j"]
        assert own is None if p.joules.at_least is None else own == pytest.approx(p.joules.at_least)
        assert bool(row["unpriced"]) == bool(p.joules.not_stated)
        (kfac,) = [each for each in p.alternatives if each.name == "kfac"]
        assert data.loc[calibrations.infos["kfac"].title, "rival_j"] == pytest.approx(kfac.joules)
    assert "700 W (NVIDIA datasheet, read in the source)" in chart.caption
    here = summary[(summary[list(main)] == pd.Series(main)).all(axis=1)].set_index("optimizer")
    for label, column in (("kfac", "rival_j"), ("tngd", "host_j")):
        name = f"{calibrations.infos[label].title}, measured at 65 W"
        assert name not in data.index
        assert measured.loc[name, column] == pytest.approx(65.0 * here.loc[label, "digital_median_s"])


@pytest.mark.parametrize("refinements", [0, 2])
def test_the_what_if_data_of_kronecker_factors_give_the_bill_of_any_device(calibrations, refinements):
    """A link, word length, τ and t other than the study's, by the formula of the page, against the bill itself."""
    area = plane(calibrations, "batch_size", 10)
    use = FactorUse(calibrations.use.device, AnalogSettings(refinements=refinements), 4, 20)
    data = json.loads(
        json.dumps(what_if_section.explorer(calibrations, area, use, calibrations.infos, ["kfac"]))
    )
    assert set(data["words"]) == {data["start"]["upload"]} == {"full"}
    rate, bits, farad, time = 3e9, 9, 2.5e-9, 7.0
    changed = use.device.override(link_rate_bits_per_s=rate, word_bits=bits, capacitance_farad=farad)
    for column, row in ((3, 2), (9, 5), (16, 8)):
        place, layers = row * len(area.sizes) + column, area.layers[row][column]
        shapes = kronecker.FactorShape.of(layers)
        work = kronecker.KroneckerWorkload(shapes, time, 4, 20, refinements=refinements)
        bill = kronecker.latency(changed, work).total
        shown = data["fixed"]["full"][place] + data["runs"][place] * time * farad * use.device.resistance_ohm
        shown += data["words"]["full"][place] * bits / rate
        assert shown == pytest.approx(bill, rel=1e-3)
        assert data["streamed"]["full"]["making"][place] == 0.0
        assert data["cells"][place] == pytest.approx(kronecker.parts_of(changed, work).cells, rel=1e-3)


def test_an_own_device_stands_beside_the_presets_with_the_energy_of_its_own_bill(calibrations):
    described = {"name": "mine", "base": "rram", "link_rate_bits_per_s": 1e11, "adc_energy_j": 1e-9}
    trials = pd.DataFrame({"settings": [json.dumps({"device": described, "analog_time": 50.0}), None]})
    uses = map_view.device_uses(calibrations.use, trials)
    assert uses[0][0] == "mine, 100 Gb/s"
    assert len(uses) == 1 + len(map_view.device_uses(calibrations.use, NO_TRIALS))
    data = what_if_section.energy_table(calibrations, uses).data
    own, base = (
        data[data["device"] == name].reset_index(drop=True) for name in ("mine, 100 Gb/s", "rram, 512 Gb/s")
    )
    assert len(own) == len(base) > 0
    # the two differ in the price of a conversion of each of the N nodes
    more = (1e-9 - 7.4e-12) * own["parameters"].astype(float)
    assert (own["at_least"] - base["at_least"]).to_numpy() == pytest.approx(more.to_numpy())


def test_each_device_is_counted_at_the_largest_size_that_was_timed(calibrations):
    """By hand for a paired crossbar that serves both directions, and the paper's three arrays."""
    table = parts_table(calibrations, map_view.device_uses(calibrations.use, NO_TRIALS))
    for row in table.data.itertuples():
        n, m = row.parameters, row.rows
        assert n == calibrations.by_label[calibrations.device_label].points["parameters"].max()
        if row.device.startswith("rram"):
            assert (row.cells, row.worn_out_after) == (2 * m * n, 1e6)
        if row.device.startswith("paper"):
            assert (row.cells, row.amplifiers) == (m * (m + 2 * n), 2 * m + n)
            assert np.isnan(row.worn_out_after)
            assert np.isnan(row.tiles)  # arrays that are not cut into any
    assert {"not stated"} == {row[-2] for row in table.rows}


def test_energy_without_a_sourced_price_is_not_stated_and_never_zero(calibrations):
    table = what_if_section.energy_table(calibrations, map_view.device_uses(calibrations.use, NO_TRIALS))
    paper = [row for row in table.rows if row[0].startswith("paper")]
    assert paper
    assert {row[6] for row in paper} == {"not stated"}
    (board, *_) = [row for row in table.rows if row[0].startswith("board")]
    assert board[6].startswith("≥ ")
    assert not board[-1].startswith("none")
    rram = table.data[table.data["device"].str.startswith("rram")]
    assert (rram["at_least"] > 0).all()
    assert not any("0 J" in cell.split(",") for row in table.rows for cell in row)
    assert table.data.loc[table.data["device"].str.startswith("paper"), "total"].isna().all()


def test_prices_without_a_source_are_named_and_those_with_one_are_not(calibrations):
    priced = dict.fromkeys(set(PRICED_BY.values()), 1e-12)
    stages = {"hold_time_s": 1.0, "partial_sums_per_tau": 1.0, "partial_sum_time_s": 0.0}
    stages |= {"calibration_time_s": 0.0}
    device = Device.preset("paper").override(name="priced", **priced, **stages)
    uses = [("priced", dataclasses.replace(calibrations.use, device=device))]
    stated = {field: {"value": 1e-12, "grade": "U", "source": "a datasheet"} for field in priced}
    for without in (*priced, None):
        entries = {field: entry for field, entry in stated.items() if field != without}
        table = what_if_section.energy_table(calibrations, uses, {"devices": {"priced": entries}})
        items = [name for name in ITEM_NAMES if without and PRICED_BY.get(name) == without]
        told = table.rows[0][-1]
        assert (
            ("a price without a source" in told)
            == ("do not all have a source" in table.caption)
            == bool(items)
        )
        named = {name for name, words in ITEM_NAMES.items() if words in told}
        assert named == {name for name in items if name not in ("write_state", "relax_average")}
    for change in ({"value": 2e-12}, {"source": SET_HERE}):
        entries = {field: entry | change for field, entry in stated.items()}
        table = what_if_section.energy_table(calibrations, uses, {"devices": {"priced": entries}})
        assert "without a source" in table.rows[0][-1]


def test_without_a_rival_there_is_no_rate_to_break_even_at():
    assert list(break_even_charts._rates(SimpleNamespace(use=object(), rivals={}))) == []


def level_of(records):
    """What decides, but for the crossover."""
    own = Results(records, clocked=True)
    view = map_view.MapView(own, own.calibrations)
    return what_if_section.decides(view, view.use).split(" Modelled")[0]


def test_the_rival_beside_the_device_is_one_of_the_same_batch(records):
    """NGD at a batch of 8 is ten times as quick: it says nothing of a step at 32."""

    def at_eight(frame):
        largest = (frame["group"] == "cost") & (frame["parameters"] == 1_000_000)
        smaller = frame[largest].assign(batch_size=8, rows=80)
        return smaller.assign(key=smaller["key"] + "/8")

    fewer = at_eight(records.costs)
    fewer = fewer.assign(**{name: fewer[name] / 10 for name in ("digital_s", "total_s")})
    both = {"costs": (records.costs, fewer), "trials": (records.trials, at_eight(records.trials))}
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in both.items()}
    assert level_of(dataclasses.replace(records, **joined)) == level_of(records)


def test_what_decides_is_told_of_the_problem_that_the_rates_are_of(records):
    """Another problem with a larger N at the same b and d_z, on which the device takes ten times as long."""

    def elsewhere(frame):
        largest = (frame["group"] == "cost") & (frame["parameters"] == 1_000_000)
        other = frame[largest].assign(problem="mnist-cnn", parameters=2_000_000)
        return other.assign(key=other["key"] + "/cnn")

    slower = elsewhere(records.costs)
    slower = slower.assign(**{name: 10 * slower[name] for name in ("digital_s", "total_s")})
    both = {"costs": (records.costs, slower), "trials": (records.trials, elsewhere(records.trials))}
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in both.items()}
    assert level_of(dataclasses.replace(records, **joined)) == level_of(records)


@pytest.mark.parametrize("pace", [0.25, 4.0])
def test_the_quickest_digital_rival_is_named_beside_the_exact_one(records, pace):
    """K-FAC at a quarter of the time of the quickest exact solve, or at four times as long."""
    exact = {"ngd", "ngd-woodbury", "ngd-gram", "ngd-cg"}
    # exact solves so slow that a link is enough
    slow = records.costs["total_s"] + 1.0 * records.costs["optimizer"].isin(exact)
    largest = records.costs["parameters"] == records.costs["parameters"].max()
    medians = slow[largest].groupby(records.costs.loc[largest, "optimizer"]).median()
    own = pace * medians[[*exact & set(medians.index)]].min()
    seconds = slow.where(records.costs["optimizer"] != "kfac", own)
    digital = records.costs["digital_s"].where(seconds == records.costs["total_s"], seconds)
    told = level_of(
        dataclasses.replace(records, costs=records.costs.assign(total_s=seconds, digital_s=digital))
    )
    assert ("and as K-FAC, the quickest digital one there, at " in told) is (pace < 1)


def test_a_link_rate_leaves_the_time_of_writing_cells_to_the_rest(records):
    """By hand: bits/(rival − host − relaxation − the writing of the cells), all of them of the records."""
    cells, exact = 5e-3, ["ngd", "ngd-woodbury", "ngd-gram", "ngd-cg"]
    further = cells * (records.costs["optimizer"] == "tngd")
    slower = 1.0 * records.costs["optimizer"].isin(exact)
    added = {"write_s": further, "digital_s": slower, "total_s": further + slower}
    costs = records.costs.assign(**{name: records.costs[name] + seconds for name, seconds in added.items()})
    settings = json.dumps({"lr": 0.01, "cell_write_time_s": 1e-7})
    trials = records.trials.assign(
        settings=records.trials["settings"].mask(records.trials["optimizer"] == "tngd", settings)
    )
    told = level_of(dataclasses.replace(records, trials=trials, costs=costs))
    ((value, prefix),) = re.findall(r"It is as fast as .*? at ([\d.]+) (\w)b/s", told)
    largest = costs[costs["parameters"] == costs["parameters"].max()]
    medians = largest.groupby("optimizer")["total_s"].median()
    bits = 16.0 * (320 * (320 + 2 * 1_000_000) + 2 * 1_000_000)
    rest = medians["tngd"] - bits / 50e9
    rate = bits / (medians[medians.index.isin(exact)].min() - rest)
    assert float(value) * {"M": 1e6, "G": 1e9, "T": 1e12}[prefix] == pytest.approx(rate, rel=0.01)


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
    stands = " Of the optimizers on a device maps have TNGD alone, not TNGD-Adam and TNGD (copies of the arrays = 64)."
    assert map_section.device_words(view) == stands
    words = map_section.quicker_words(view)
    assert ("TNGD (copies of the arrays = 64), " in words) is quicker
    assert ("at N = 1,000,000." in words) is quicker
