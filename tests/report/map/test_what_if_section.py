"""The what-if data give the bills back, and what decides is told of the right size and rival."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.cost.device_use import FactorUse
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers.network_size import Model
from tngd_bench.optimizers.roofline import predict
from tngd_bench.report.document import charting
from tngd_bench.report.map import map_view, what_if_section
from tngd_bench.report.map.map_section import map_results
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.kronecker import billing as kronecker
from tngd_bench.spu.processor import Processor


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


@pytest.mark.parametrize("processes", [1, 2])
def test_a_panel_that_cannot_be_computed_costs_its_own_section_alone(make, monkeypatch, processes):
    records = make(sizes=(1_000, 10_000, 100_000), optimizers=("sgd", "ngd-gram", "tngd"), training=False)

    def spoilt(*_):
        raise ArithmeticError("no such size")

    monkeypatch.setattr(what_if_section, "explorer", spoilt)
    monkeypatch.setattr("tngd_bench.report.render.processes.available_cores", lambda: processes)
    with charting.style():
        made = map_results(Results(records, clocked=True))
    assert made.map.charts
    (chart,) = made.what_if.charts
    assert chart.missing.error == "ArithmeticError: no such size"
    assert "no such size" in made.decides


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
