"""Calibration on times made from known rates: what was put in comes out, and the spread is the noise put in."""

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.cost.counts import Counts
from tngd_bench.analysis.cost.rates import calibrate, requested_sizes
from tngd_bench.analysis.families import optimizer_info
from tngd_bench.analysis.statistics.discrepancy import LEAST_GAMMA
from tngd_bench.problems import registry as problems

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
COUNTS = Counts("digits-mlp", entry=problems.get("digits-mlp"))
RATES = {"ngd-gram": (2e-3, 1e-11, 0.0), "kfac": (5e-4, 2e-11, 0.0), "tngd": (1e-3, 4e-11, 0.0)}


def made(rates=None, *, noise=0.0, sizes=SIZES, batches=(32,), problem="digits-mlp", seed=0):
    """Summary, trials and kinds of a study whose times are a + F·(s/operation) + M·(s/byte), times noise."""
    generator = np.random.default_rng(seed)
    rows = []
    for label, (overhead, flop, byte) in (rates or RATES).items():
        for n in sizes:
            for b in batches:
                layers = COUNTS.layers(n, 10)
                cost = COUNTS.of(label, n, b, 10, layers)
                seconds = overhead + cost.flops * flop + cost.bytes * byte
                seconds *= float(np.exp(noise * generator.standard_normal()))
                rows.append(("cost", problem, n, b, 10, label, label, seconds))
    columns = ["group", "problem", "parameters", "batch_size", "outputs", "optimizer", "method"]
    summary = pd.DataFrame(rows, columns=[*columns, "digital_median_s"])
    trials = summary.assign(
        kind="cost",
        status="ok",
        solver_iterations=np.nan,
        settings='{"device": "paper", "analog_time": 25.0}',
    )
    trials["device"] = np.where(trials["method"] == "tngd", "paper", None)
    known = {label: optimizer_info(label, label) for label in (rates or RATES)}
    return summary, trials, known


def test_exact_times_give_back_their_rates_and_no_spread():
    found = calibrate(*made())
    for label, (overhead, flop, _) in RATES.items():
        calibration = found.by_label[label]
        a, f, w = calibration.readings[0]
        assert a == pytest.approx(overhead, rel=0.02)
        assert f == pytest.approx(flop, rel=0.05)
        assert w == pytest.approx(0.0, abs=1e-20)
        assert calibration.sigma < 0.02
    assert found.device_label == "tngd"
    assert found.device_name == "paper"
    assert found.settings["analog_time"] == 25.0
    assert found.main == {"batch_size": 32, "outputs": 10, "parameters": 1_000_000}


def test_predictions_between_sizes_are_those_of_the_truth():
    found = calibrate(*made())
    layers = COUNTS.layers(50_000, 10)
    cost = COUNTS.of("ngd-gram", 50_000, 32, 10, layers)
    truth = 2e-3 + cost.flops * 1e-11
    assert found.by_label["ngd-gram"].seconds(cost)[0] == pytest.approx(truth, rel=0.02)


def test_the_spread_is_that_of_the_noise():
    sigmas = [calibrate(*made(noise=0.2, seed=seed)).by_label["kfac"].sigma for seed in range(20)]
    # Predicting a size from the others adds the others' noise, at the ends most of all.
    assert 0.2 < np.median(sigmas) < 0.4


def test_operations_beside_bytes_are_never_faster_than_the_fastest_optimizer():
    byte_bound = {"ngd-gram": (2e-3, 1e-11, 0.0), "kfac": (5e-4, 0.0, 3e-10)}
    found = calibrate(*made(byte_bound, sizes=(100_000, 200_000, 400_000, 700_000, 1_000_000)))
    for calibration in found.by_label.values():
        for _, flop, byte in calibration.readings:
            assert byte == 0.0 or flop >= 1e-11 * 0.99


def test_one_batch_size_leaves_two_readings_and_several_tell_them_apart():
    both = {"ngd-gram": (2e-3, 1e-11, 0.0), "kfac": (5e-4, 1.2e-11, 3e-10)}
    fixed = calibrate(*made(both)).by_label["kfac"]
    varied = calibrate(*made(both, batches=(8, 32, 128, 512))).by_label["kfac"]
    far = COUNTS.of("kfac", 300_000, 4096, 10, COUNTS.layers(300_000, 10))
    truth = 5e-4 + far.flops * 1.2e-11 + far.bytes * 3e-10
    readings = fixed.seconds(far)
    assert len(fixed.readings) > 1
    assert readings.max() / readings.min() > 1.1
    assert readings.min() <= truth * 1.05
    assert readings.max() >= truth * 0.95
    assert varied.seconds(far)[0] == pytest.approx(truth, rel=0.02)


def test_one_setting_has_a_rate_and_no_spread_of_its_own():
    found = calibrate(*made({"ngd-gram": RATES["ngd-gram"]}, sizes=(10_000,)))
    calibration = found.by_label["ngd-gram"]
    assert np.isnan(calibration.sigma)
    assert found.spread("ngd-gram") == 1.0
    cost = COUNTS.of("ngd-gram", 10_000, 32, 10, COUNTS.layers(10_000, 10))
    assert calibration.seconds(cost)[0] == pytest.approx(calibration.points["measured_s"].iloc[0])


def test_nothing_to_calibrate_without_a_second_order_optimizer():
    summary, trials, known = made()
    known |= {"sgd": optimizer_info("sgd", "sgd")}
    first_order = summary.assign(optimizer="sgd", method="sgd")
    assert calibrate(first_order, trials, known) is None
    assert calibrate(summary.iloc[:0], trials, known) is None


def test_the_problem_is_the_one_of_the_most_sizes_whatever_ran_there():
    """Three optimizers at three sizes are more rows than one at seven."""
    few, many = made(sizes=SIZES[:3], problem="elsewhere"), made({"kfac": RATES["kfac"]})
    frames = (pd.concat(both, ignore_index=True) for both in zip(few[:2], many[:2], strict=True))
    found = calibrate(*frames, few[2] | many[2])
    assert found.counts.problem == "digits-mlp"
    assert list(found.by_label) == ["kfac"]


def test_the_planes_are_laid_where_the_most_sizes_lie():
    """Both batch sizes have the same N; more outputs were measured at the larger one alone."""
    summary, trials, known = made(sizes=SIZES[:3], batches=(4, 8))
    wider = summary[(summary["batch_size"] == 8) & (summary["parameters"] == SIZES[0])].assign(outputs=5)
    found = calibrate(pd.concat([summary, wider], ignore_index=True), trials, known)
    assert found.main == {"parameters": SIZES[2], "batch_size": 8, "outputs": 10}


def test_a_problem_that_is_not_installed_stands_on_square_layers():
    summary, trials, known = made(problem="elsewhere")
    found = calibrate(summary, trials, known)
    assert found.counts.entry is None
    assert len(found.counts.layers(10_000, 3)) == 3


def test_sizes_without_a_model_have_no_layers():
    assert COUNTS.layers(1_000, 5) is None  # fewer outputs than classes
    assert COUNTS.layers(1_000, 600) is None  # more outputs than parameters for them
    assert COUNTS.layers(10_000, 10) is not None


def test_iterations_of_cg_are_those_counted_by_size():
    summary, trials, known = made({"ngd-cg": (2e-3, 1e-11, 0.0)}, sizes=(1_000, 10_000), batches=(32, 256))
    trials["settings"] = '{"damping": 0.1, "cg_rtol": 1e-6, "cg_iterations": 100}'
    trials["solver_iterations"] = [30, 40, 50, 60]
    cg = calibrate(summary, trials, known).counts.cg
    assert (cg.damping, cg.limit) == (0.1, 100)
    assert cg.counted == ((1e3, 32, 10, 30), (1e3, 256, 10, 40), (1e4, 32, 10, 50), (1e4, 256, 10, 60))


def test_covers_what_lies_between_measured_sizes():
    found = calibrate(*made())
    n = np.array([990.0, 1000.0, 1e6, 1.01e6])
    np.testing.assert_array_equal(
        found.covers(n, np.full(4, 32.0), np.full(4, 10.0)), [False, True, True, False]
    )
    np.testing.assert_array_equal(
        found.covers(np.full(3, 1e4), np.array([31.0, 32.0, 33.0]), np.full(3, 10.0)), [False, True, False]
    )
    varied = calibrate(*made(batches=(16, 32, 64)))
    b = np.array([15.0, 16.0, 64.0, 65.0])
    np.testing.assert_array_equal(
        varied.covers(np.full(4, 1e4), b, np.full(4, 10.0)), [False, True, True, False]
    )


def test_a_formula_that_bends_at_the_largest_batch_has_a_larger_discrepancy():
    batches = (8, 32, 128, 512)
    straight = calibrate(*made(batches=batches))
    summary, trials, known = made(batches=batches)
    summary["digital_median_s"] *= np.where(summary["batch_size"] == 512, 4.0, 1.0)
    bent = calibrate(summary, trials, known)
    for label in RATES:
        assert straight.by_label[label].gamma == LEAST_GAMMA
        assert bent.by_label[label].gamma > 1.5 * LEAST_GAMMA
        assert straight.by_label[label].freedom in {28 - 2, 28 - 3}  # settings less terms


# seconds of NGD-CG with 20 iterations on mnist-cnn, one core of an AMD EPYC: (N, b, d_z, seconds)
TIMED_CG = (
    (3_080, 32, 10, 0.00597),
    (43_706, 64, 10, 0.02286),
    (100_329, 1024, 20, 0.36137),
    (100_329, 32, 20, 0.0113),
    (999_644, 32, 20, 0.02822),
    (20_378, 512, 10, 0.07679),
    (299_950, 128, 10, 0.02974),
    (8_057, 16, 10, 0.00459),
)


def test_a_wide_batch_is_predicted_from_narrower_ones_within_a_half():
    """N = 10⁵, b = 1,024, d_z = 20 is beyond every size that the calibration sees."""
    columns = ["parameters", "batch_size", "outputs", "digital_median_s"]
    times = pd.DataFrame(TIMED_CG, columns=columns)
    times = times.assign(group="cost", problem="mnist-cnn", optimizer="ngd-cg", method="ngd-cg")
    trials = times.assign(kind="cost", status="ok", solver_iterations=20, device=None)
    trials["settings"] = '{"cg_rtol": 0, "cg_iterations": 20}'
    seen = times["batch_size"] <= 512
    found = calibrate(times[seen], trials[seen], {"ngd-cg": optimizer_info("ngd-cg", "ngd-cg")})
    cost = found.counts.of("ngd-cg", 100_329, 1024, 20, found.counts.layers(100_329, 20))
    measured = times.loc[(times["batch_size"] == 1024), "digital_median_s"].iloc[0]
    assert 1 / 1.5 < found.by_label["ngd-cg"].seconds(cost)[0] / measured < 1.5


@pytest.mark.parametrize("problem", ["mnist-cnn", "mnist-mlp", "digits-mlp"])
@pytest.mark.parametrize("asked", [5_000, 10_000, 32_000, 100_000])
def test_a_measured_size_has_the_layers_of_the_model_that_ran(problem, asked):
    """The widths nearest to the number of parameters that was run can be those of another model of the family."""
    entry = problems.get(problem)
    ran = entry.widths(asked, 20)
    counts = Counts(problem, entry=entry, requested={(ran.parameters, 20): asked})
    assert counts.layers(ran.parameters, 20) == tuple(ran.layers)


def test_a_calibration_knows_which_sizes_were_asked_for():
    entry = problems.get("mnist-cnn")
    ran = entry.widths(10_000, 20)
    assert entry.widths(ran.parameters, 20).layers != ran.layers, "the case that matters"
    trials = pd.DataFrame(
        {
            "problem": ["mnist-cnn"],
            "parameters": [ran.parameters],
            "outputs": [20],
            "parameters_requested": [10_000],
        }
    )
    assert requested_sizes(trials, "mnist-cnn") == {(ran.parameters, 20): 10_000}
