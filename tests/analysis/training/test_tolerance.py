import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tngd_bench.analysis.training.tolerance import decided, is_ideal, milder, mildest_first, tolerances
from tngd_bench.problems.metrics import TEST_ACCURACY, TRAINING_LOSS


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
                    "untrained_train_loss": 10.0,
                }
            )
    return pd.DataFrame(rows)


IDEAL = [1.0, 1.1, 1.2, 1.3, 1.4]
"""The margins of these losses are 5 %: 0.050 to 0.070."""


def shifted(*shifts):
    """The ideal losses, each worse by its own shift, or all by one."""
    return [
        loss + shift for loss, shift in zip(IDEAL, shifts if len(shifts) > 1 else shifts * 5, strict=True)
    ]


def test_tolerance_by_hand():
    frame = final({0.0: IDEAL, 1e-3: IDEAL, 1e-2: shifted(0.04), 3e-2: shifted(0.06), 1e-1: shifted(0.3)})
    (found,) = tolerances(frame)
    # 0.06 is above the margins 0.050 and 0.055, at that of 1.2 and below those of 1.3 and 1.4
    assert found.levels["verdict"].tolist() == ["inside", "inside", "undecided", "outside"]
    assert (found.worst_inside, found.first_outside, found.seeds) == (0.01, 0.1, 5)
    assert found.undecided == (0.03,)
    assert found.levels["excess"].tolist() == pytest.approx([0.0, 0.04, 0.06, 0.3])
    assert (found.ideal, found.note) == (1.2, "")
    # five of five on one side: one of the 2⁵ patterns of signs
    assert found.levels["p_inside"].tolist()[:2] == [1 / 32, 1 / 32]
    assert found.levels["p_outside"].iloc[-1] == 1 / 32


@pytest.mark.parametrize("seeds", [6, 9, 12])
def test_the_test_is_the_signed_rank_test_against_the_margin(seeds):
    generator = np.random.default_rng(seeds)
    ideal, worse = 1 + generator.random(seeds), generator.normal(0.02, 0.03, seeds)
    (found,) = tolerances(final({0.0: ideal.tolist(), 0.1: (ideal + worse).tolist()}))
    beyond = worse - 0.05 * ideal
    expected = [stats.wilcoxon(beyond, alternative=side).pvalue for side in ("less", "greater")]
    assert found.levels[["p_inside", "p_outside"]].iloc[0].tolist() == pytest.approx(expected)


def test_small_losses_have_an_absolute_margin():
    small = [0.001, 0.002, 0.003, 0.004, 0.005]
    levels = {0.0: small, 0.1: [loss + 0.009 for loss in small], 0.2: [loss + 0.011 for loss in small]}
    (found,) = tolerances(final(levels))
    assert found.levels["verdict"].tolist() == ["inside", "outside"]


@pytest.mark.parametrize("spread", [1.0, 100.0])
@pytest.mark.parametrize("seeds", [5, 10, 30])
def test_the_margin_grows_neither_with_the_spread_of_the_ideal_device_nor_with_the_seeds(spread, seeds):
    ideal = 100.0 + spread * np.linspace(-0.1, 0.1, seeds)
    levels = {0.0: ideal.tolist(), 0.1: (1.04 * ideal).tolist(), 0.2: (1.06 * ideal).tolist()}
    frame = final(levels).assign(untrained_train_loss=1e3)
    (found,) = tolerances(frame)
    assert found.levels["verdict"].tolist() == ["inside", "outside"]


def test_better_than_ideal_is_inside():
    (found,) = tolerances(final({0.0: IDEAL, 0.1: shifted(-0.9)}))
    assert found.worst_inside == 0.1


def test_fewer_bits_are_harsher_and_no_value_is_ideal():
    frame = final({None: IDEAL, 12.0: IDEAL, 8.0: IDEAL, 4.0: shifted(1.0)}, "adc_bits")
    (found,) = tolerances(frame)
    assert (found.worst_inside, found.first_outside) == (8.0, 4.0)
    assert found.levels["level"].tolist() == [12.0, 8.0, 4.0]


def test_a_level_beyond_one_that_is_not_inside_is_not_inside_and_one_before_a_better_is_not_outside():
    (found,) = tolerances(final({0.0: IDEAL, 1e-3: shifted(1.0), 1e-2: IDEAL}))
    assert math.isnan(found.worst_inside)
    assert math.isnan(found.first_outside)
    assert found.undecided == (1e-3, 1e-2)


def test_divergence_is_the_worst_and_counted():
    (found,) = tolerances(final({0.0: IDEAL, 0.1: [None] * 5, 0.2: [None, None, *IDEAL[2:]]}))
    assert found.levels["diverged"].tolist() == [5, 2]
    assert math.isnan(found.worst_inside)
    (found,) = tolerances(final({0.0: IDEAL, 0.1: [None] * 5}))
    assert found.first_outside == 0.1


def test_every_level_inside_leaves_nothing_outside():
    (found,) = tolerances(final({0.0: IDEAL, 0.1: IDEAL}))
    assert found.worst_inside == 0.1
    assert math.isnan(found.first_outside)


def test_each_side_ends_at_the_first_test_that_fails():
    assert decided([0.01, 0.01, 0.01], [0.9, 0.9, 0.9]) == (2, 3)
    assert decided([0.01, 0.2, 0.01, 0.9], [0.9, 0.03, 0.9, 0.03]) == (0, 3)
    assert decided([0.9], [0.01]) == (-1, 0)


@pytest.mark.parametrize(
    ("levels", "note"),
    [
        (
            {0.0: IDEAL[:4], 0.1: IDEAL[:4]},
            "not confirmed: too few to tell, 4 seeds of the ideal device, 5 needed",
        ),
        ({0.1: IDEAL}, "not confirmed: too few to tell, 0 seeds"),
        ({0.0: IDEAL}, "not measured"),
        (
            {0.0: [*IDEAL[:4], None], 0.1: IDEAL},
            "not confirmed: 1 of 5 seeds of the ideal device have not learned",
        ),
        (
            {0.0: [*IDEAL[:4], 9.7], 0.1: [*IDEAL[:4], 9.7]},
            "not confirmed: 1 of 5 seeds of the ideal device have not learned (loss 9.70)",
        ),
    ],
)
def test_data_that_do_not_decide_give_a_note_and_no_number(levels, note):
    (found,) = tolerances(final(levels))
    assert found.note.startswith(note)
    assert math.isnan(found.worst_inside)


def test_a_base_must_have_come_halfway_to_a_perfect_accuracy():
    frame = final({0.0: IDEAL, 0.1: IDEAL}).assign(untrained_test_accuracy=0.1)
    for accuracy, learned in ((0.13, False), (0.54, False), (0.56, True)):
        for score in (TRAINING_LOSS, TEST_ACCURACY):
            (found,) = tolerances(frame.assign(final_test_accuracy=accuracy), score)
            assert (found.note == "") is learned
    assert "(test accuracy 54 %)" in tolerances(frame.assign(final_test_accuracy=0.54))[0].note


def test_a_loss_has_learned_when_it_halved_or_fell_by_the_logarithm_of_two():
    for start, learned in ((1.39, False), (2.09, False), (2.10, True), (2.9, True)):
        frame = final({0.0: IDEAL, 0.1: IDEAL}).assign(untrained_train_loss=start)
        assert (tolerances(frame)[0].note == "") is learned
    unknown = final({0.0: IDEAL, 0.1: IDEAL}).assign(untrained_train_loss=math.nan)
    assert "nothing was evaluated before training" in tolerances(unknown)[0].note


def test_a_level_that_lacks_a_seed_is_not_judged():
    (found,) = tolerances(final({0.0: IDEAL, 0.01: IDEAL, 0.1: [1.0]}))
    assert found.levels["level"].tolist() == [0.01, 0.1]
    assert found.levels["verdict"].tolist() == ["inside", "undecided"]


def test_order_and_ideal_depend_on_the_kind_of_level():
    assert mildest_first("dac_bits", pd.Series([4.0, 12.0, 8.0]).to_numpy()).tolist() == [12.0, 8.0, 4.0]
    assert mildest_first("noise_variance", pd.Series([0.1, 0.01]).to_numpy()).tolist() == [0.01, 0.1]
    assert is_ideal("dac_bits", pd.Series([0.0, math.nan])).tolist() == [False, True]
    assert is_ideal("noise_variance", pd.Series([0.0, math.nan, 1.0])).tolist() == [True, True, False]


def test_low_rails_are_harsh_and_no_rail_is_ideal():
    frame = final({None: IDEAL, 10.0: IDEAL, 1.0: IDEAL, 0.1: shifted(1.0)}, "rail_volts")
    (found,) = tolerances(frame)
    assert (found.worst_inside, found.first_outside) == (1.0, 0.1)
    assert found.levels["level"].tolist() == [10.0, 1.0, 0.1]


def test_each_level_of_a_second_setting_has_a_tolerance_of_its_own():
    mild = final({0.0: IDEAL, 0.1: IDEAL}).assign(sweep_parameter_2="damping", sweep_label_2="1")
    harsh = final({0.0: IDEAL, 0.1: shifted(1.0)}).assign(sweep_parameter_2="damping", sweep_label_2="0.01")
    found = {part.beside: part.worst_inside for part in tolerances(pd.concat([mild, harsh]))}
    assert found["damping = 1"] == 0.1
    assert math.isnan(found["damping = 0.01"])


def test_two_imperfections_are_held_against_the_device_that_is_ideal_in_both():
    """The second one alone costs more than the margin: its own ideal column would call everything harmless."""

    def column(level, shift):
        frame = final({0.0: shifted(shift), 0.1: shifted(shift)}, "programming_error")
        return frame.assign(sweep_parameter_2="adc_bits", sweep_label_2=str(level), sweep_value_2=level)

    clean = column(math.nan, 0.0).assign(sweep_label_2="ideal")
    both = pd.concat([clean, column(8.0, 0.0), column(2.0, 1.0)])
    found = {part.beside: part for part in tolerances(both)}
    assert found["adc_bits = ideal"].worst_inside == 0.1
    assert found["adc_bits = 8.0"].worst_inside == 0.1
    assert found["adc_bits = 2.0"].first_outside == 0.1
    assert {part.ideal for part in found.values()} == {1.2}
    without = tolerances(both[both["sweep_label_2"] != "ideal"])
    assert all(part.note.startswith("not confirmed: too few to tell, 0 seeds") for part in without)


def test_a_sweep_of_words_has_no_tolerance():
    frame = final({0.0: IDEAL}, "start").assign(sweep_value=math.nan)
    assert tolerances(frame) == ()


def test_a_score_that_is_better_where_higher_is_lost_and_not_exceeded():
    frame = final({0.0: IDEAL, 0.01: IDEAL, 0.1: IDEAL}).assign(untrained_test_accuracy=0.1)
    ideal = np.array([0.90, 0.91, 0.92, 0.93, 0.94])
    frame["final_test_accuracy"] = [*ideal, *(ideal - 0.009), *(ideal - 0.4)]
    frame.loc[frame.index[-1], "status"] = "diverged"
    (found,) = tolerances(frame, TEST_ACCURACY)
    assert found.ideal == pytest.approx(0.92)
    assert found.levels["excess"].tolist() == pytest.approx([0.009, 0.40])
    assert (found.worst_inside, found.first_outside) == (0.01, 0.1)
    assert found.levels["diverged"].tolist() == [0, 1]


def test_five_points_of_accuracy_are_not_inside():
    frame = final({0.0: IDEAL, 0.03: IDEAL}).assign(untrained_test_accuracy=0.1)
    frame["final_test_accuracy"] = [0.78, 0.79, 0.80, 0.81, 0.87, 0.73, 0.74, 0.75, 0.76, 0.82]
    (found,) = tolerances(frame, TEST_ACCURACY)
    assert (found.levels["verdict"].tolist(), found.first_outside) == (["outside"], 0.03)


def test_both_scores_must_be_inside_and_one_outside_is_enough():
    frame = final({0.0: IDEAL, 0.01: IDEAL, 0.1: IDEAL}).assign(untrained_test_accuracy=0.1)
    good = [0.90, 0.91, 0.92, 0.93, 0.94]
    frame["final_test_accuracy"] = [*good, *good, *(value - 0.3 for value in good)]
    (loss,), (accuracy,) = tolerances(frame), tolerances(frame, TEST_ACCURACY)
    assert loss.worst_inside == 0.1
    for both in (milder(loss, accuracy), milder(accuracy, loss)):
        assert (both.worst_inside, both.first_outside) == (0.01, 0.1)
        assert both.levels["verdict"].tolist() == ["inside", "outside"]
    nothing = tolerances(frame[frame["seed"] == 0], TEST_ACCURACY)[0]
    assert milder(loss, nothing) is loss


@pytest.mark.parametrize(("excess", "side"), [(0.05, "worst_inside"), (0.05, "first_outside")])
def test_at_the_margin_each_side_errs_in_five_percent_of_sweeps_at_most(excess, side):
    """Six levels all exactly at the margin: the fixed order keeps the error of the sweep, not of a level, at 5 %."""
    generator = np.random.default_rng(7)
    runs, wrong = 60, 0
    for _ in range(runs):
        ideal = 1.0 + 0.1 * generator.random(8)
        noise = 0.02 * generator.standard_normal((6, 8))
        levels = {0.0: ideal.tolist()}
        levels |= {
            0.01 * (place + 1): (ideal * (1 + excess) + own).tolist() for place, own in enumerate(noise)
        }
        (found,) = tolerances(final(levels))
        wrong += not math.isnan(getattr(found, side))
    assert wrong <= stats.binom.ppf(0.999, runs, 0.05)


@pytest.mark.parametrize("status", ["timed-out", "out-of-memory", "skipped", "failed"])
@pytest.mark.parametrize("lost", [1, 5])
def test_a_level_without_all_results_is_undecided_and_so_is_what_lies_beyond(status, lost):
    """The mildest, the middle or the harshest level has no result of `lost` seeds: nothing is said past it."""
    levels = {0.0: IDEAL, 0.1: IDEAL, 0.2: IDEAL, 0.3: IDEAL}
    for place, level in enumerate((0.1, 0.2, 0.3)):
        frame = final(levels)
        without = (frame["sweep_value"] == level) & (frame["seed"] < lost)
        frame.loc[without, ["status", "final_loss"]] = [status, math.nan]
        (found,) = tolerances(frame)
        assert found.levels["verdict"].tolist() == ["inside"] * place + ["undecided"] * (3 - place)
        assert found.levels["seeds"].tolist() == [5 - lost * (row == place) for row in range(3)]
        assert found.levels["diverged"].tolist() == [0, 0, 0]
