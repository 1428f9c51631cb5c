import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from tngd_bench.analysis.statistics.scaling import _over_overhead, fit_scaling


def samples(sizes, costs, repetitions=9, size_effect=0.0, noise=0.0, seed=0):
    generator = np.random.default_rng(seed)
    rows = []
    for size, cost in zip(sizes, costs, strict=True):
        shared = cost * np.exp(size_effect * generator.standard_normal())
        rows += [(size, shared * np.exp(noise * generator.standard_normal())) for _ in range(repetitions)]
    return pd.DataFrame(rows, columns=["size", "cost"])


SIZES = np.logspace(3, 6, 7)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0, 3.0])
def test_a_pure_power_law_is_found_exactly_by_all_three_fits(exponent):
    fit = fit_scaling(samples(SIZES, 1e-9 * SIZES**exponent), draws=50)
    assert fit.log_log.value == pytest.approx(exponent, abs=1e-9)
    assert fit.over_overhead.value == pytest.approx(exponent, abs=2e-3)
    assert fit.over_overhead.determined
    assert fit.local_slopes == pytest.approx([exponent] * (len(SIZES) - 1))


def test_an_overhead_fools_the_log_log_slope_and_not_the_fit_over_it():
    smallest = 1e-9 * SIZES[0] ** 2
    fit = fit_scaling(samples(SIZES, 15 * smallest + 1e-9 * SIZES**2, noise=0.01), draws=200)
    assert fit.log_log.high < 2.0
    assert fit.over_overhead.value == pytest.approx(2.0, abs=0.03)
    assert fit.overhead == pytest.approx(15 * smallest, rel=0.1)
    assert fit.local_slopes[0] < 1.0 < fit.local_slopes[-1]


def test_many_draws_are_fitted_as_one_by_one_and_as_a_general_solver_does():
    generator = np.random.default_rng(3)
    costs = (2e-3 + 1e-8 * SIZES**1.3) * np.exp(0.05 * generator.standard_normal((120, len(SIZES))))
    sizes = np.broadcast_to(SIZES, costs.shape)
    exponents, overheads, factors = _over_overhead(sizes, costs)
    relative = SIZES / np.exp(np.log(SIZES).mean())
    for row in (0, 47, 48, 119):  # both sides of a block's end, and the last of a block that is not full
        alone = [part[0] for part in _over_overhead(sizes[row : row + 1], costs[row : row + 1])]
        assert alone == pytest.approx([exponents[row], overheads[row], factors[row]], rel=1e-12)

        def curve(size, p, a, b):
            return a + b * size**p

        start, scale = (1.0, 1e-3, 1e-3), costs[row]
        for _ in range(2):
            found, _ = curve_fit(curve, relative, costs[row], start, sigma=scale, bounds=(0, [5, 1e3, 1e3]))
            scale = curve(relative, *found)
        assert alone == pytest.approx(found, rel=2e-3)


@pytest.mark.parametrize("place", [1, 3, 6])
def test_a_step_of_the_cost_at_a_size_is_covered_by_the_interval_of_the_slope(place):
    step = np.where(np.arange(len(SIZES)) >= place, 1.2, 1.0)
    fit = fit_scaling(samples(SIZES, 1e-9 * SIZES * step, noise=0.01, seed=place), draws=50)
    assert fit.log_log.low <= 1.0 <= fit.log_log.high
    plain = fit_scaling(samples(SIZES, 1e-9 * SIZES, noise=0.01, seed=place), draws=50)
    assert plain.log_log.high - plain.log_log.low < 0.02


@pytest.mark.parametrize("sizes", [0, 1, 4])
def test_fewer_than_five_sizes_give_no_exponent_and_say_so(sizes):
    fit = fit_scaling(samples(SIZES[:sizes], SIZES[:sizes]), draws=50)
    assert fit.log_log is None
    assert fit.over_overhead is None
    assert f"{sizes} sizes" in fit.note
    assert len(fit.local_slopes) == max(sizes - 1, 0)


def test_a_cost_that_does_not_grow_has_no_determined_exponent():
    fit = fit_scaling(samples(SIZES, np.ones_like(SIZES), size_effect=0.05, seed=3), draws=100)
    assert not fit.over_overhead.determined
    assert "not determined" in fit.note
    assert abs(fit.log_log.value) < 0.05


def test_rows_that_are_no_positive_number_are_left_out():
    clean = samples(SIZES, SIZES)
    bad = pd.DataFrame({"size": [10.0, 1e3, 1e3], "cost": [np.nan, np.inf, -1.0]})
    assert fit_scaling(pd.concat([clean, bad]), draws=50) == fit_scaling(clean, draws=50)


def test_the_fit_does_not_depend_on_the_order_of_rows():
    frame = samples(SIZES, SIZES**1.2, size_effect=0.08, noise=0.05)
    assert fit_scaling(frame.sample(frac=1.0, random_state=1), draws=50) == fit_scaling(frame, draws=50)


def coverage(draws, overhead, exponent=1.0, processes=1):
    """Shares of `draws` synthetic data sets with 8 % size effects whose two intervals hold the true exponent."""
    sizes = np.logspace(3, 6, 6)
    inside = np.zeros(2)
    for seed in range(draws):
        growth = (sizes / sizes[0]) ** exponent
        frame = samples(sizes, overhead + growth, repetitions=7, size_effect=0.08, noise=0.05, seed=seed)
        if processes > 1:
            frame["process"] = np.arange(len(frame)) % processes
        fit = fit_scaling(frame, draws=200, seed=seed)
        inside += [part.low <= exponent <= part.high for part in (fit.log_log, fit.over_overhead)]
    return inside / draws


def test_intervals_cover_the_truth_though_sizes_have_effects_of_their_own():
    # 100 data sets: a true coverage of 95 % gives at least 88 % except once in 700 times.
    assert (coverage(100, overhead=0.0) >= 0.88).all()
    assert coverage(100, overhead=15.0)[1] >= 0.88


@pytest.mark.slow(reason="800 simulated experiments")
@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_intervals_cover_at_their_nominal_level(exponent):
    log_log, over = coverage(800, overhead=0.0, exponent=exponent)
    assert 0.93 <= log_log <= 0.98
    assert 0.93 <= over <= 0.985  # a ≥ 0 binds at the truth a = 0: conservative
    biased, over = coverage(800, overhead=15.0, exponent=exponent)
    if exponent == 1.0:  # at 2.0 the bend is so strong that the residuals widen the log-log slope's interval
        assert biased < 0.1  # the log-log slope answers another question
    assert 0.93 <= over <= 0.98


def test_repetitions_of_one_process_are_drawn_together():
    # Ten processes of ten equal repetitions hold ten values, not a hundred: the interval must be as wide as with ten.
    generator = np.random.default_rng(5)
    values = {size: size * np.exp(0.3 * generator.standard_normal(10)) for size in SIZES}
    once = [(size, cost, process) for size, costs in values.items() for process, cost in enumerate(costs)]
    frame = pd.DataFrame(once, columns=["size", "cost", "process"])
    tenfold = pd.concat([frame] * 10)
    grouped = fit_scaling(tenfold, draws=400).log_log
    alone = fit_scaling(frame, draws=400).log_log
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.15)
