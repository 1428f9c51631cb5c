"""Break-even: at the rate and the m that are stated, both sides take equally long."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.map.test_cost_map import calibrations, measured_at
from tngd_bench.analysis.cost import break_even
from tngd_bench.analysis.cost.break_even import BreakEven, break_even_rates, crossovers, exact_labels, line
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.device import Device

# A host with an overhead to pay and a rival whose cost grows faster in m: they cross once.
RATES = {"ngd-gram": (1e-4, 2e-11, 0.0), "kfac": (1e-4, 1e-12, 0.0), "tngd": (3e-3, 1e-11, 0.0)}
USE = DeviceUse(Device.preset("paper").override(link_rate_bits_per_s=5e12))
N = 100_000


ROUND_ABOUT = measured_at((1_000, 1_000_000), (1, 65_536))


def found_line(sigma=0.0, points=ROUND_ABOUT, **options):
    """A line between measured sizes, unless other `points` are given."""
    return line(calibrations(RATES, sigma=sigma, points=points), USE, N, 10, **options)


def test_at_the_break_even_rate_device_and_rival_take_equally_long():
    found = found_line()
    table = break_even_rates(found, {"Gram": ["ngd-gram"]})
    reached = table[np.isfinite(table["rate_bits_per_s"])]
    assert len(reached) > 5
    for place, row in reached.iterrows():
        assert found.device(row["rate_bits_per_s"])[0, place] == pytest.approx(
            found.rivals["ngd-gram"][0, place]
        )
    np.testing.assert_array_equal(table["low"], table["high"])  # no spread, no interval
    lost = table[np.isinf(table["rate_bits_per_s"])]
    assert (found.device(None)[0, lost.index] >= found.rivals["ngd-gram"][0, lost.index]).all()


def test_at_the_crossover_device_and_rival_take_equally_long():
    found = found_line()
    (gram, _) = crossovers(found, USE)
    assert found.rows_m[0] < gram.rows_m < found.rows_m[-1]
    ratio = found.device(5e12)[0] / found.rivals["ngd-gram"][0]
    at = np.interp(np.log(gram.rows_m), np.log(found.rows_m), np.log(ratio))
    assert at == pytest.approx(0.0, abs=1e-9)
    assert (ratio[found.rows_m > gram.rows_m] < 1).all()
    assert gram.low == gram.high == gram.rows_m


def test_a_rival_that_is_never_overtaken_has_no_crossover_and_says_so():
    (_, kfac) = crossovers(found_line(), USE)
    assert kfac.rival == "kfac"
    assert np.isinf([kfac.rows_m, kfac.low, kfac.high]).all()
    text = kfac.text(calibrations(RATES).infos, "tngd")
    assert text.startswith(
        "TNGD against K-FAC: no crossover in range (m = 10 to 655,360) at 5 Tb/s (N = 100,000"
    )


def test_the_interval_holds_the_crossover_and_widens_with_the_spread():
    (narrow, _), (wide, _) = (crossovers(found_line(sigma), USE) for sigma in (0.05, 0.2))
    assert narrow.low < narrow.rows_m < narrow.high
    assert wide.low < narrow.low
    assert wide.high > narrow.high


def test_statements_name_their_condition():
    known = calibrations(RATES).infos
    crossing = BreakEven("ngd-gram", N, 10, 5e10, 2560.0, 1200.0, float("inf"), 0.0, 10.0, 1e5)
    assert crossing.text(known, "tngd") == (
        "TNGD overtakes NGD (Gram) above m ≈ 2,600 [1,200, beyond the range] at 50 Gb/s "
        "(N = 100,000, d_z = 10, b varied)"
    )
    always = BreakEven("ngd-gram", N, 10, None, 10.0, 10.0, 40.0, 0.0, 10.0, 1e5)
    assert "ahead of NGD (Gram) at every m in range" in always.text(known, "tngd")
    assert "on an unlimited link" in always.text(known, "tngd")
    open_ = BreakEven("ngd-gram", N, 10, 5e10, 2560.0, 10.0, float("inf"), 0.0, 10.0, 1e5)
    assert open_.text(known, "tngd") == (
        "TNGD against NGD (Gram): within its error the prediction does not tell whether they cross "
        "(m = 10 to 100,000) at 50 Gb/s (N = 100,000, d_z = 10, b varied)"
    )
    early = BreakEven("ngd-gram", N, 10, 5e10, float("inf"), 5000.0, float("inf"), 80.0, 10.0, 1e5)
    doubt = "Within its error the prediction may cross from m ≈ 5,000 on"
    assert f"TNGD is ahead below m ≈ 80 only. {doubt}" in early.text(known, "tngd")


def test_a_bill_with_a_time_not_stated_gives_the_best_case():
    """The lower bound of the device's time is that of the device that takes no time for it, and is said to be one."""
    unstated = dataclasses.replace(USE, device=USE.device.override(cell_write_time_s=None))
    free = found_line()
    bound = line(calibrations(RATES, points=ROUND_ABOUT), unstated, N, 10)
    np.testing.assert_array_equal(bound.device(5e12), free.device(5e12))
    gram, kfac = crossovers(bound, unstated)
    assert (gram.rows_m, gram.not_stated) == (crossovers(free, USE)[0].rows_m, ("write_cells",))
    known = calibrations(RATES).infos
    assert gram.text(known, "tngd").endswith(
        ". At best, with none counted for writing the cells, whose time is not stated"
    )
    assert kfac.text(known, "tngd").endswith(
        ". Even with none counted for writing the cells, whose time is not stated"
    )
    rates = break_even_rates(bound, {"gram": ["ngd-gram"]})
    exact = break_even_rates(free, {"gram": ["ngd-gram"]})
    assert set(rates["not_stated"]) == {"write_cells"}
    assert "not_stated" not in exact
    np.testing.assert_array_equal(rates["rate_bits_per_s"], exact["rate_bits_per_s"])


def test_what_lies_beyond_measured_sizes_is_marked():
    """Timed at N = 10⁴ alone there is nothing between measured sizes at 10⁵; b = 16 to 64 at 10⁴ is, if both were."""
    alone = found_line(points=measured_at())
    assert not alone.near.any()
    known = calibrations(RATES).infos
    assert ". Digital seconds are extrapolated" in crossovers(alone, USE)[0].text(known, "tngd")
    assert "extrapolated" not in crossovers(found_line(), USE)[0].text(known, "tngd")
    points = measured_at(batch_sizes=(16, 64))
    close = line(calibrations(RATES, points=points), USE, 10_000, 10, (8, 16, 32, 64, 65))
    assert close.near.tolist() == [False, True, True, True, False]
    assert break_even_rates(close, {"Gram": ["ngd-gram"]})["near"].tolist() == close.near.tolist()
    assert not break_even._beyond(400.0, close)
    assert break_even._beyond(100.0, close)
    assert break_even._beyond(float("inf"), close)


@given(st.lists(st.sampled_from([-1.0, 1.0, 2.0, -0.5]), min_size=2, max_size=12))
def test_the_lasting_crossing_has_the_device_ahead_everywhere_after_it(signs):
    gap, m = np.array(signs), np.log(np.arange(1.0, len(signs) + 1.0))
    after = break_even._lasting(gap, m)
    if gap[-1] >= 0:
        assert np.isinf(after)
    else:
        assert (gap[np.exp(m) > after] < 0).all()
        before = np.flatnonzero(gap >= 0)
        assert after == 1.0 if not len(before) else np.exp(m[before[-1]]) <= after


def test_a_sweep_through_the_device_as_it_is_gives_its_own_ratio():
    found = calibrations(RATES)
    table = break_even.sensitivities(line(found, USE, N, 10, (32, 512), draws=100), USE, ("ngd-gram",))
    assert set(table["parameter"]) == {"link_rate_bits_per_s", "time_constant_s", "word_bits"}
    here = table[(table["parameter"] == "word_bits") & (table["value"] == 16)].set_index("batch_size")
    own = line(found, USE, N, 10, (32, 512))
    np.testing.assert_allclose(here["ratio"], own.device(5e12)[0] / own.rivals["ngd-gram"][0])
    by_bits = table[(table["parameter"] == "word_bits") & (table["batch_size"] == 512)]
    assert by_bits.sort_values("value")["ratio"].is_monotonic_increasing
    with pytest.raises(ValueError, match="parameter must be one of"):
        break_even.sweep_device(USE, "colour", 1.0)


def test_delay_lets_the_host_work_beside_the_relaxation():
    delayed = DeviceUse(USE.device, AnalogSettings(5000.0, delay=5000.0))
    plain = DeviceUse(USE.device, AnalogSettings(5000.0))
    with_delay, without = (line(calibrations(RATES), use, N, 10, (8,)) for use in (delayed, plain))
    # 5 ms of relaxation hide the host's time behind them.
    saved = without.device(None)[0, 0] - with_delay.device(None)[0, 0]
    assert saved == pytest.approx(min(without.host[0, 0], 5e-3))


def test_exact_solvers_are_those_of_the_same_system():
    assert exact_labels(calibrations(RATES)) == ("ngd-gram",)


def test_there_is_no_line_where_there_is_no_model():
    assert line(calibrations(RATES), USE, 1_000, 2_000) is None
