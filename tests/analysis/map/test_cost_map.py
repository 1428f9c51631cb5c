"""Maps on rates written down by hand: the winner is the smallest of sums anybody can do again."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.cost.calibration import Calibration, Calibrations
from tngd_bench.analysis.cost.counts import Counts
from tngd_bench.analysis.cost.device_use import DeviceUse, FactorUse
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.statistics.discrepancy import STEP
from tngd_bench.analysis.statistics.run_spread import RunSpread
from tngd_bench.layers import Layer
from tngd_bench.problems import registry as problems
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import Workload, latency
from tngd_bench.spu.device import Device

COUNTS = Counts("digits-mlp", entry=problems.get("digits-mlp"))
NO_SPREAD = RunSpread(0.0, "for a test")
SIZES, BATCHES = (1_000, 10_000, 100_000), (1, 32, 1024)
EVERYWHERE = (SIZES, BATCHES, (10, 100, 10_000))


def measured_at(parameters=(10_000,), batch_sizes=(32,), outputs=(10,)):
    """The measured settings at every combination of these sizes."""
    grid = itertools.product(parameters, batch_sizes, outputs)
    return pd.DataFrame(grid, columns=["parameters", "batch_size", "outputs"]).assign(ratio=1.0)


def calibrations(rates, *, sigma=0.0, second=None, settings=None, points=None):
    """Calibrations with given readings; measured at N = 10⁴, b = 32, d_z = 10 alone unless `points` are given."""
    points = measured_at() if points is None else points
    found = {
        label: Calibration(label, label, (reading, *([second[label]] if second else [])), sigma, points)
        for label, reading in rates.items()
    }
    kinds = {label: optimizer_info(label, label) for label in rates}
    main = {"batch_size": 32, "outputs": 10, "parameters": 10_000}
    return Calibrations(COUNTS, found, kinds, main, settings or {}, "paper", NO_SPREAD)


RATES = {"ngd-gram": (1e-3, 1e-11, 0.0), "ngd-cg": (5e-3, 1e-11, 0.0), "tngd": (5e-4, 1e-11, 0.0)}


@pytest.mark.parametrize(
    ("rates", "scope"),
    [
        (RATES, "model"),
        (
            {"spring": (1e-3, 1e-11, 0.0), "ngd-layer": (5e-4, 1e-11, 0.0), "tngd": (2e-4, 1e-11, 0.0)},
            "layer",
        ),
    ],
)
def test_the_winner_has_the_smallest_sum_of_digital_and_device_seconds(rates, scope):
    found = calibrations(rates)
    use = DeviceUse(Device.preset("paper"), AnalogSettings(scope=scope))
    area = plane(found, "batch_size", 10, SIZES, BATCHES)
    drawn = cheapest(area, use)
    for i, b in enumerate(BATCHES):
        for j, n in enumerate(SIZES):
            layers = COUNTS.layers(n, 10)
            sums = {}
            for label, (a, f, _) in rates.items():
                sums[label] = a + f * COUNTS.of(label, n, b, 10, layers).flops
            work = Workload(n, 10 * b, use.analog, layers=layers, batch_size=b)
            sums["tngd"] += latency(use.device, work).total
            assert drawn.labels[drawn.winner[i, j]] == min(sums, key=sums.get)
            np.testing.assert_allclose(drawn.seconds[:, i, j], [sums[label] for label in drawn.labels])
    assert drawn.confidence[1, 1] == 1.0  # there is no spread where it was measured


def test_a_lead_that_the_spread_covers_is_not_confident():
    equal = {"ngd-gram": (1.00e-3, 1e-11, 0.0), "ngd-woodbury": (1.01e-3, 1e-11, 0.0)}
    found = calibrations(equal, sigma=0.2, points=measured_at(*EVERYWHERE))
    area = plane(found, "batch_size", 10, (1_000,), (1,))
    drawn = cheapest(area, None, draws=2000)
    assert 0.4 < drawn.confidence[0, 0] < 0.6
    assert drawn.share(drawn.labels[drawn.winner[0, 0]]) == 0.0
    assert drawn.share(drawn.labels[drawn.winner[0, 0]], confirmed=False) == 1.0


@pytest.mark.parametrize("sigma", [0.1, 0.24, 0.4])
def test_the_cells_between_measured_sizes_say_what_the_whole_map_vouches_for(sigma):
    rates = {"ngd-gram": (1e-3, 1e-11, 0.0), "ngd-woodbury": (2e-3, 1e-11, 0.0), "tngd": (1e-4, 1e-12, 0.0)}
    use = DeviceUse(Device.preset("paper"), AnalogSettings())
    found = calibrations(rates, sigma=sigma, points=measured_at((1_000, 10_000), (1, 32), (1, 10)))
    planes = ("batch_size", 10), ("outputs", 32)
    for (axis, fixed), device in itertools.product(planes, (use, None)):
        whole = cheapest(plane(found, axis, fixed), device)
        narrow = cheapest(plane(found, axis, fixed, between=True), device)
        np.testing.assert_array_equal(narrow.vouched, whole.vouched)
        assert whole.vouched.any() or sigma > 0.2465
        assert narrow.labels == whole.labels


def test_a_cell_is_blank_where_ninety_percent_of_the_draws_do_not_lie_within_a_factor_of_one_and_a_half():
    """Ten percent of a normal law with σ = 0.2465 lie beyond ±log 1.5."""
    rates = {"ngd-gram": (1e-3, 1e-11, 0.0), "ngd-woodbury": (2e-3, 1e-11, 0.0)}
    for sigma, vouched in ((0.24, True), (0.25, False)):
        found = calibrations(rates, sigma=sigma, points=measured_at(*EVERYWHERE))
        area = plane(found, "batch_size", 10, (1_000,), (1,))
        drawn = cheapest(area, None, draws=20)
        assert drawn.vouched[0, 0] == vouched
        assert drawn.error[0, 0] == pytest.approx(np.exp(1.6449 * sigma), rel=1e-3)
        row = drawn.table().iloc[0]
        assert (row["cheapest"], row["region"] == "not known") == (
            ("ngd-gram", False) if vouched else ("", True)
        )
        assert drawn.share("ngd-gram", confirmed=False) == float(vouched)


def test_a_lower_bound_wins_no_cell_but_leaves_it_open():
    """The bound loses where the priced device loses; where it is the least, nobody is named and nobody counts it."""
    area = plane(calibrations(RATES, points=measured_at(*EVERYWHERE)), "batch_size", 10, SIZES, BATCHES)
    free = Device.preset("unlimited-link")
    priced, bound = (
        cheapest(area, DeviceUse(device)) for device in (free, free.override(cell_write_time_s=None))
    )
    assert (priced.winner == bound.winner).all()
    np.testing.assert_array_equal(priced.seconds, bound.seconds)
    assert not priced.open.any()
    won = priced.winner == priced.labels.index("tngd")
    assert won.any()
    assert (bound.open == won).all()
    assert priced.share("tngd", confirmed=False) == bound.share_at_best("tngd") == won.mean()
    assert bound.share("tngd", confirmed=False) == priced.share_at_best("tngd") == 0.0
    assert bound.share("ngd-gram", confirmed=False) == priced.share("ngd-gram", confirmed=False)
    table = bound.table()
    assert list(table["at_best"] == "tngd") == list(won.ravel())
    assert (table.loc[won.ravel(), "cheapest"] == "").all()
    assert "tngd_at_least_s" in table
    assert "tngd_s" not in table


def test_a_use_names_the_times_its_device_does_not_state():
    assert DeviceUse(Device.preset("paper")).not_stated == ()
    assert DeviceUse(Device.preset("board").override(upload="factored")).not_stated == (
        "write_cells",
        "relax_slowdown",
    )
    assert DeviceUse(Device.preset("sram-mdac"), AnalogSettings(samples=3)).not_stated == (
        "write_cells",
        "write_convert",
    )


def test_sums_of_tiles_without_a_time_are_named_though_small_arrays_have_none():
    tiles = {"tile_rows": 64, "tile_columns": 48, "cells_per_value": 2}
    tiled = Device.preset("paper").override(**tiles, partial_sums_per_tau=5.0)
    of_factors = FactorUse(tiled, copies=2, refresh_interval=10)
    for use in (DeviceUse(tiled), DeviceUse(tiled, AnalogSettings(scope="layer")), of_factors):
        assert use.bill(1, 1, 1, (Layer(1, 1),)).not_stated == ()
        assert use.bill(20_000, 64, 10, (Layer(200, 100),)).not_stated == use.not_stated == ("relax_sums",)
    assert DeviceUse(tiled.override(partial_sum_time_s=1e-9)).not_stated == ()


def test_readings_that_part_take_confidence_away():
    second = {"ngd-gram": (1e-3, 1e-9, 0.0), "ngd-cg": (5e-3, 1e-11, 0.0)}
    rates = {label: RATES[label] for label in second}
    area = plane(calibrations(rates, second=second), "batch_size", 10, (100_000,), (32,))
    assert cheapest(area, None, draws=2000).confidence[0, 0] == pytest.approx(0.5, abs=0.05)


def test_an_optimizer_left_out_wins_nothing():
    area = plane(calibrations(RATES), "batch_size", 10, SIZES, BATCHES)
    drawn = cheapest(area, DeviceUse(Device.preset("unlimited-link")), ("ngd-gram",))
    assert "ngd-gram" not in drawn.labels
    assert cheapest(area, None).labels == ("ngd-gram", "ngd-cg")


def test_a_plane_over_outputs_has_blanks_where_the_family_has_no_model():
    area = plane(calibrations(RATES, points=measured_at(*EVERYWHERE)), "outputs", 32, SIZES)
    assert min(area.values) == 10
    drawn = cheapest(area, None)
    big = area.values.index(1_000)
    assert drawn.winner[big, 0] == -1
    assert np.isnan(drawn.confidence[big, 0])
    assert drawn.winner[big, -1] >= 0
    table = drawn.table()
    assert (table["rows"] == table["batch_size"] * table["outputs"]).all()
    assert set(table.loc[table["cheapest"] == "", "outputs"]) <= set(area.values[1:])


def test_only_cells_between_measured_sizes_count_as_measured():
    area = plane(calibrations(RATES), "batch_size", 10, SIZES, BATCHES)
    np.testing.assert_array_equal(area.measured, [[False] * 3, [False, True, False], [False] * 3])
    drawn = cheapest(area, None)
    assert (drawn.table()["region"] == "between measured sizes").sum() == 1
    np.testing.assert_array_equal(drawn.confirmed, area.measured)
    np.testing.assert_array_equal(drawn.vouched, area.measured)
    won = [drawn.share(label, confirmed=False) for label in drawn.labels]
    confirmed, modelled = (sum(map(share, drawn.labels)) for share in (drawn.share, drawn.share_modelled))
    assert (confirmed, modelled, sum(won)) == (1.0, 0.0, 1.0)  # of what is vouched for


def test_beyond_the_measured_ranges_and_the_leader_s_own_nothing_is_confirmed():
    points = measured_at((5_000, 10_000, 20_000), (32, 64))
    found = calibrations(RATES, points=points)
    sizes, batches = (4_900, 5_100, 19_000, 21_000), (31, 32, 64, 65)
    between = [False, True, True, False]
    area = plane(found, "batch_size", 10, sizes, batches)
    np.testing.assert_array_equal(area.measured, [[False] * 4, between, between, [False] * 4])
    drawn = cheapest(area, None)
    np.testing.assert_array_equal(drawn.confirmed, area.measured)  # no spread: each lead holds in every draw
    # the optimizer that leads was timed up to N = 10⁴ only, its rival as before
    own = dataclasses.replace(found.by_label["ngd-gram"], points=points[points["parameters"] <= 10_000])
    found = dataclasses.replace(found, by_label={**found.by_label, "ngd-gram": own})
    drawn = cheapest(plane(found, "batch_size", 10, sizes, batches), None)
    assert {drawn.labels[place] for place in drawn.winner[1:3, 1:3].ravel()} == {"ngd-gram"}
    timed = [False, True, False, False]
    np.testing.assert_array_equal(drawn.confirmed, [[False] * 4, timed, timed, [False] * 4])


def test_the_logarithm_of_a_draw_has_the_variance_that_is_stated():
    found = dataclasses.replace(calibrations(RATES, sigma=0.1), run_spread=RunSpread(0.05, "for a test"))
    changed = {
        label: dataclasses.replace(own, gamma=0.3, freedom=9.0) for label, own in found.by_label.items()
    }
    found = dataclasses.replace(found, by_label=changed)
    distances = np.array([[0.0, 2.0]])
    logs = np.log([factors[0] for factors, _ in found.variations(["ngd-cg"], distances, 20_000)])
    between = 0.1**2 * 9 / 7 + 0.05**2
    np.testing.assert_allclose(logs.var(axis=0), [between, between + STEP**2 + (0.3 * 2) ** 2], rtol=0.05)


@pytest.mark.parametrize(("sigma", "distance"), [(0.1, 0.0), (0.02, 0.5), (0.1, 0.3)])
def test_ninety_percent_of_the_draws_lie_within_the_factor_that_is_vouched_for(sigma, distance):
    found = calibrations({"ngd-gram": (1e-3, 1e-11, 0.0)}, sigma=sigma)
    own = dataclasses.replace(found.by_label["ngd-gram"], freedom=6.0, gamma=0.35)
    found = dataclasses.replace(found, by_label={"ngd-gram": own}, run_spread=RunSpread(0.04, "for a test"))
    away = np.array([[distance]])
    width = found.half_width("ngd-gram", away)[0, 0]
    logs = [np.log(f[0, 0, 0]) for f, _ in found.variations(["ngd-gram"], away[None], 4000)]
    assert np.mean(np.abs(logs) <= width) == pytest.approx(0.9, abs=0.02)


def test_a_faster_link_never_costs_the_device_cells():
    area = plane(calibrations(RATES, points=measured_at(*EVERYWHERE)), "batch_size", 10)
    shares = []
    for rate in (1e9, 5e10, 1e12, None):
        device = Device.preset("paper").override(link_rate_bits_per_s=rate)
        shares.append(cheapest(area, DeviceUse(device)).share("tngd", confirmed=False))
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_words_on_the_link_are_those_of_the_bill():
    area = plane(calibrations(RATES), "batch_size", 10, (10_000,), (32,))
    use = DeviceUse(Device.preset("paper"), AnalogSettings(ensemble=3))
    assert area.link_words(use)[0, 0] == 3 * (320 * (320 + 2 * 10_000) + 3 * 10_000)  # g, x(0), x
    fresh = dataclasses.replace(use, analog=AnalogSettings(ensemble=3, start="zero"))
    assert area.link_words(fresh)[0, 0] == 3 * (320 * (320 + 2 * 10_000) + 2 * 10_000)
    slow = dataclasses.replace(use, device=use.device.override(link_rate_bits_per_s=16.0))
    free = dataclasses.replace(use, device=use.device.override(link_rate_bits_per_s=None))
    difference = area.device_seconds(slow) - area.device_seconds(free)
    np.testing.assert_allclose(difference, area.link_words(use))


def test_the_study_device_carries_its_settings():
    settings = {
        "device": "paper",
        "analog_time": 20.0,
        "samples": 4,
        "adc_bits": 6,
        "upload": "factored",
        "lr": 0.1,
    }
    use = calibrations(RATES, settings=settings).use
    assert use.analog == AnalogSettings(20.0, samples=4)
    assert (use.device.adc_bits, use.device.upload) == (6, "factored")
    assert calibrations(RATES, settings={**settings, "start": "zero"}).use.analog.start == "zero"
    assert dataclasses.replace(calibrations(RATES), device_name="not installed").use is None


def test_what_an_optimizer_draws_does_not_depend_on_its_rivals():
    found = calibrations(RATES, sigma=0.3)
    alone = [factors[0] for factors, _ in found.variations(["ngd-cg"], np.zeros(1), 50)]
    beside = [factors[1] for factors, _ in found.variations(["ngd-gram", "ngd-cg"], np.zeros(2), 50)]
    assert alone == beside


@pytest.mark.parametrize("delay", [0.0, 5.0, 50.0])
def test_a_delay_runs_beside_the_host(delay):
    found, use = calibrations(RATES), DeviceUse(Device.preset("paper"), AnalogSettings(delay=delay))
    drawn = cheapest(plane(found, "batch_size", 10, SIZES, BATCHES), use)
    for (i, b), (j, n) in itertools.product(enumerate(BATCHES), enumerate(SIZES)):
        layers = COUNTS.layers(n, 10)
        a, f, _ = RATES["tngd"]
        host = a + f * COUNTS.of("tngd", n, b, 10, layers).flops
        bill = latency(use.device, Workload(n, 10 * b, use.analog, layers=layers, batch_size=b)).total
        expected = bill + host - min(host, delay * 1e-6)
        assert drawn.seconds[drawn.labels.index("tngd"), i, j] == pytest.approx(expected, rel=1e-12)
