"""Energy and parts of each device: bills and predictions of the same size, and what has no price."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.report.map.conftest import NO_TRIALS
from tngd_bench.analysis.cost import iteration_cost
from tngd_bench.optimizers.network_size import Model
from tngd_bench.optimizers.roofline import predict
from tngd_bench.report.document import charting
from tngd_bench.report.map import energy_chart, map_view, what_if_section
from tngd_bench.report.map.parts_table import parts_table
from tngd_bench.spu.billing import PRICED_BY
from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import ITEM_NAMES
from tngd_bench.spu.processor import Processor
from tngd_bench.studies.file.devices import SET_HERE


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
        given = energy_chart.energy_chart(view)
    assert "power of the measured machine is not recorded" in chart.caption
    assert "not recorded" not in given.caption
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
