import math

import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.tolerance import is_ideal, milder, mildest_first, tolerances, tolerated_levels


def final(levels, parameter="noise_variance"):
    """`levels`: level (None for ideal) → final loss of seeds 0, 1, 2, …; None for a diverged seed."""
    rows = []
    for level, losses in levels.items():
        for seed, loss in enumerate(losses):
            status = "diverged" if loss is None else "ok"
            values = {
                "group": "g",
                "problem": "digits-mlp",
                "optimizer": "tngd",
                "sweep_parameter": parameter,
                "seed": seed,
                "parameters": 100,
            }
            value = math.nan if level is None else level
            rows.append(
                {
                    **values,
                    "sweep_value": value,
                    "status": status,
                    "final_loss": math.nan if loss is None else loss,
                }
            )
    return pd.DataFrame(rows)


IDEAL = [1.0, 1.1, 1.2]  # the band is 1.2 − 1.1 = 0.1


def test_tolerance_by_hand():
    frame = final({0.0: IDEAL, 1e-3: [1.0, 1.1, 1.2], 1e-2: [1.08, 1.18, 1.28], 1e-1: [1.3, 1.4, 1.5]})
    (found,) = tolerances(frame)
    assert found.band == pytest.approx(0.1)
    assert (found.worst_inside, found.first_outside, found.seeds) == (0.01, 0.1, 3)
    assert found.levels["excess"].tolist() == pytest.approx([0.0, 0.08, 0.3])
    assert found.levels["inside"].tolist() == [True, True, False]
    assert found.low <= found.worst_inside <= found.high
    assert found.note == ""


def test_pairing_sees_a_shift_that_the_spread_between_seeds_would_hide():
    frame = final({0.0: [1.0, 1.01, 9.0, 9.01, 9.02], 0.1: [2.0, 2.01, 10.0, 10.01, 10.02]})
    (found,) = tolerances(frame)
    assert found.levels["excess"].tolist() == pytest.approx([1.0])
    assert math.isnan(found.worst_inside)
    assert found.first_outside == 0.1


def test_fewer_bits_are_harsher_and_no_value_is_ideal():
    frame = final({None: IDEAL, 12.0: IDEAL, 8.0: IDEAL, 4.0: [2.0, 2.1, 2.2]}, "adc_bits")
    (found,) = tolerances(frame)
    assert (found.worst_inside, found.first_outside) == (8.0, 4.0)
    assert found.levels["level"].tolist() == [12.0, 8.0, 4.0]


def test_a_level_inside_beyond_one_outside_does_not_count():
    frame = final({0.0: IDEAL, 1e-3: [2.0, 2.1, 2.2], 1e-2: IDEAL})
    (found,) = tolerances(frame)
    assert math.isnan(found.worst_inside)
    assert found.first_outside == 1e-3


def test_divergence_is_outside_and_counted():
    frame = final({0.0: IDEAL, 0.1: [None, None, 1.2]})
    (found,) = tolerances(frame)
    assert found.first_outside == 0.1
    assert found.levels["diverged"].tolist() == [2]


def test_every_level_inside_leaves_the_upper_bound_open():
    (found,) = tolerances(final({0.0: IDEAL, 0.1: IDEAL}))
    assert found.worst_inside == 0.1
    assert math.isnan(found.first_outside)


@pytest.mark.parametrize(
    ("levels", "note"),
    [
        ({0.0: [1.0], 0.1: [1.0]}, "not confirmed"),
        ({0.1: IDEAL}, "not confirmed"),
        ({0.0: IDEAL}, "not measured"),
    ],
)
def test_data_that_do_not_decide_give_a_note_and_no_number(levels, note):
    (found,) = tolerances(final(levels))
    assert found.note.startswith(note)
    assert math.isnan(found.worst_inside)


def test_a_level_that_lacks_a_seed_is_not_judged():
    (found,) = tolerances(final({0.0: IDEAL, 0.01: IDEAL, 0.1: [1.0]}))
    assert found.levels["level"].tolist() == [0.01]


def test_order_and_ideal_depend_on_the_kind_of_level():
    assert mildest_first("dac_bits", pd.Series([4.0, 12.0, 8.0]).to_numpy()).tolist() == [12.0, 8.0, 4.0]
    assert mildest_first("noise_variance", pd.Series([0.1, 0.01]).to_numpy()).tolist() == [0.01, 0.1]
    assert is_ideal("dac_bits", pd.Series([0.0, math.nan])).tolist() == [False, True]
    assert is_ideal("noise_variance", pd.Series([0.0, math.nan, 1.0])).tolist() == [True, True, False]


def test_low_rails_are_harsh_and_no_rail_is_ideal():
    frame = final({None: IDEAL, 10.0: IDEAL, 1.0: IDEAL, 0.1: [2.0, 2.1, 2.2]}, "rail_volts")
    (found,) = tolerances(frame)
    assert (found.worst_inside, found.first_outside) == (1.0, 0.1)
    assert found.levels["level"].tolist() == [10.0, 1.0, 0.1]


def test_each_level_of_a_second_setting_has_a_tolerance_of_its_own():
    mild = final({0.0: IDEAL, 0.1: IDEAL}).assign(sweep_parameter_2="damping", sweep_label_2="1")
    harsh = final({0.0: IDEAL, 0.1: [2.0, 2.1, 2.2]}).assign(
        sweep_parameter_2="damping", sweep_label_2="0.01"
    )
    found = {part.beside: part.worst_inside for part in tolerances(pd.concat([mild, harsh]))}
    assert found["damping = 1"] == 0.1
    assert math.isnan(found["damping = 0.01"])


def test_a_sweep_of_words_has_no_tolerance():
    frame = final({0.0: IDEAL}, "start").assign(sweep_value=math.nan)
    assert tolerances(frame) == ()


# -- the interval, on data with known truth ---------------------------------------------------------------------------

PLACES = np.arange(1, 7)
EXPECTED_BAND = {3: 0.84628, 5: 1.16296}
"""Mean of the largest of 3 and of 5 standard normals (Harter, Biometrika 48, 1961, table 1)."""


def simulated(generator, seeds, *, step, scatter):
    """Losses of `seeds` at six levels, those of the ideal device (σ = 1), and how many levels are truly inside.

    The true excess grows by `step` from level to level and passes the true band at a random place among them; that
    of one seed scatters about it by `scatter` of itself and by a twentieth of σ.
    """
    baseline = generator.standard_normal(seeds)
    passes = generator.uniform(0, len(PLACES))
    truth = EXPECTED_BAND[seeds] * step ** (PLACES - passes)
    noise = generator.standard_normal((2, seeds, len(PLACES)))
    excess = truth * (1 + scatter * noise[0]) + 0.05 * noise[1]
    return baseline[:, None] + excess, baseline, int((truth <= EXPECTED_BAND[seeds]).sum())


def coverage(seeds, runs, **settings):
    """Return how often the interval holds the truth, and its mean width in levels."""
    generator = np.random.default_rng([seeds, runs])
    found = []
    for _ in range(runs):
        losses, baseline, truth = simulated(generator, seeds, **settings)
        _, low, high = tolerated_levels(losses, baseline)
        found.append((low <= truth <= high, high - low))
    covered, width = np.array(found, dtype=float).T
    return covered.mean(), width.mean()


@pytest.mark.parametrize(("seeds", "widest"), [(3, 1.7), (5, 1.2)])
def test_the_interval_holds_the_level_at_which_the_true_excess_passes_the_true_band(seeds, widest):
    covered, width = coverage(seeds, 120, step=10.0, scatter=0.5)
    assert covered > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 120)
    assert width < widest


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("step", [3.0, 10.0])
@pytest.mark.parametrize("scatter", [0.1, 0.5, 1.0])
def test_the_interval_holds_the_truth_whatever_scatters_how(seeds, step, scatter):
    covered, width = coverage(seeds, 400, step=step, scatter=scatter)
    assert covered > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)
    assert width < 3


@pytest.mark.parametrize("seeds", [3, 5])
def test_levels_far_inside_are_never_outside_of_the_interval(seeds):
    # every excess is a thousandth of the band and above zero; resampling the band, 0 in many resamples, found "none"
    baseline = np.linspace(1.0, 1.2, seeds)
    losses = np.column_stack([baseline + 1e-4, baseline + 2e-4, baseline + 10.0])
    assert tolerated_levels(losses, baseline) == (2, 2, 2)


def test_three_seeds_leave_the_band_open_by_an_order_of_magnitude():
    # s = 0.1 and c = 0.846: σ is in s·[√(2/7.378), √(2/0.0506)], from the ends of the middle 95 % of χ² (two degrees)
    baseline = np.array([0.9, 1.0, 1.1])
    narrow, wide = 0.0846284 * math.sqrt(2 / 7.37776), 0.0846284 * math.sqrt(2 / 0.0506356)
    inside = [0.999 * narrow, 1.001 * narrow, 0.999 * wide, 1.001 * wide]
    losses = baseline[:, None] + np.array(inside)
    assert tolerated_levels(losses, baseline) == (2, 1, 3)


def test_a_score_that_is_better_where_higher_is_lost_and_not_exceeded():
    frame = final({0.0: IDEAL, 0.01: IDEAL, 0.1: IDEAL})
    ideal, mild, harsh = [0.90, 0.92, 0.93], [0.89, 0.91, 0.92], [0.5, 0.6, None]
    frame["final_test_accuracy"] = [*ideal, *mild, *harsh]
    frame.loc[frame.index[-1], "status"] = "diverged"
    (found,) = tolerances(frame, "final_test_accuracy")
    assert found.band == pytest.approx(0.02)  # median − min
    assert found.ideal == pytest.approx(0.92)
    assert found.levels["excess"].tolist() == pytest.approx([0.01, 0.40])
    assert (found.worst_inside, found.first_outside) == (0.01, 0.1)
    assert found.levels["diverged"].tolist() == [0, 1]


def test_the_milder_of_two_scores_bounds_both():
    frame = final({0.0: IDEAL, 0.01: IDEAL, 0.1: IDEAL})
    frame["final_test_accuracy"] = [*[0.90, 0.92, 0.93], *[0.90, 0.92, 0.93], *[0.5, 0.6, 0.7]]
    (loss,), (accuracy,) = tolerances(frame), tolerances(frame, "final_test_accuracy")
    assert (loss.worst_inside, loss.low) == (0.1, 0.1)
    for both in (milder(loss, accuracy), milder(accuracy, loss)):
        assert (both.worst_inside, both.first_outside, both.low, both.high) == (0.01, 0.1, 0.01, 0.01)
    nothing = tolerances(frame[frame["seed"] == 0], "final_test_accuracy")[0]
    assert milder(loss, nothing) is loss


def test_a_score_that_nobody_judges_is_refused():
    with pytest.raises(ValueError, match="score must be one of final_loss, final_test_accuracy"):
        tolerances(final({0.0: IDEAL}), "accuracy")
