import math

import pandas as pd
import pytest

from tngd_bench.analysis.tolerance import is_ideal, mildest_first, tolerances


def final(levels, parameter="noise_variance"):
    """`levels`: level (None for ideal) → final loss of seeds 0, 1, 2, …; None for a diverged seed."""
    rows = []
    for level, losses in levels.items():
        for seed, loss in enumerate(losses):
            status = "diverged" if loss is None else "ok"
            values = {
                "group": "g",
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
