import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tngd_bench.analysis.statistics.paired import differences_by_seed, holm, paired_difference, seeds_needed


def test_five_seeds_by_hand():
    found = paired_difference([-1.0, -2.0, -3.0, -4.0, -5.0])
    assert found.value == -3.0
    assert (found.low, found.high) == (-5.0, -1.0)
    assert found.confidence == pytest.approx(1 - 2 / 32)  # the full range: P(T⁺ = 0) = 1/32 on each side
    assert found.p_lower == pytest.approx(1 / 32)
    assert found.p_higher == 1.0
    assert (found.lower, found.higher, found.tied) == (5, 0, 0)


@pytest.mark.parametrize(("seeds", "critical"), [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (12, 13)])
def test_the_interval_uses_the_tabulated_critical_values_of_the_signed_rank_test(seeds, critical):
    # Wilcoxon's table, two-sided 5 %: T ≤ critical is significant, so the interval starts at W_(critical + 1).
    values = np.random.default_rng(seeds).standard_normal(seeds)
    walsh = np.sort([(a + b) / 2 for i, a in enumerate(values) for b in values[i:]])
    found = paired_difference(values)
    assert found.low == pytest.approx(walsh[critical])
    assert found.high == pytest.approx(walsh[-critical - 1])
    assert 0.95 <= found.confidence < 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-10, 10).filter(lambda d: abs(d) > 1e-6), min_size=1, max_size=9, unique_by=abs))
def test_p_values_are_those_of_scipy_where_it_is_exact(values):
    found = paired_difference(values)
    assert found.p_lower == pytest.approx(stats.wilcoxon(values, alternative="less", method="exact").pvalue)
    assert found.p_higher == pytest.approx(
        stats.wilcoxon(values, alternative="greater", method="exact").pvalue
    )


def test_the_interval_covers_at_its_stated_confidence():
    generator = np.random.default_rng(3)
    draws, seeds = 1000, 8
    found = [paired_difference(row) for row in generator.standard_t(3, size=(draws, seeds)) + 1.0]
    covered = np.mean([part.low <= 1.0 <= part.high for part in found])
    # binomial: four standard deviations at the stated confidence
    confidence = found[0].confidence
    assert abs(covered - confidence) < 4 * math.sqrt(confidence * (1 - confidence) / draws)


def test_many_seeds_are_sampled_and_never_give_zero():
    found = paired_difference(-np.arange(1.0, 31.0))
    assert 0 < found.p_lower < 1e-3
    assert found.p_higher == 1.0


def test_a_run_that_did_not_finish_loses_and_two_of_them_tie():
    found = paired_difference([-math.inf, -math.inf, 0.0, -1.0, -2.0])
    assert (found.lower, found.higher, found.tied) == (4, 0, 1)
    assert found.low == -math.inf
    assert found.high == 0.0
    assert paired_difference([math.inf, -math.inf]).value == 0.0


@pytest.mark.parametrize("values", [[], [math.nan, 1.0], [[1.0]]])
def test_what_is_no_row_of_numbers_is_refused(values):
    with pytest.raises(ValueError, match="differences must be"):
        paired_difference(values)


def test_differences_are_taken_on_the_same_seed():
    rows = [("a", 1, "ok", 0.5), ("a", 0, "ok", 0.4), ("b", 0, "ok", 0.1), ("b", 1, "diverged", math.nan)]
    rows += [("a", 2, "diverged", math.nan), ("b", 2, "diverged", math.nan), ("a", 3, "ok", 1.0)]
    rows += [("b", 3, "skipped", math.nan)]
    final = pd.DataFrame(rows, columns=["optimizer", "seed", "status", "final_loss"])
    found = differences_by_seed(final, "a", "b")
    assert found.tolist() == pytest.approx([0.3, -math.inf, 0.0])
    assert len(differences_by_seed(final, "a", "c")) == 0


def test_an_accuracy_that_was_not_reached_is_the_lowest():
    rows = [("a", 0, "ok", 0.9), ("b", 0, "diverged", math.nan)]
    final = pd.DataFrame(rows, columns=["optimizer", "seed", "status", "final_test_accuracy"])
    assert differences_by_seed(final, "a", "b", "final_test_accuracy", larger_is_better=True).tolist() == [
        math.inf
    ]


def test_holm_rejects_what_the_closed_test_of_bonferroni_rejects():
    # Holm's procedure is the closed test of all intersections by Bonferroni: enumerated here
    generator = np.random.default_rng(0)
    for p in generator.uniform(0, 0.08, (50, 4)):
        rest = [[q for place, q in enumerate(p) if mask >> place & 1] for mask in range(1, 16)]
        for place in range(4):
            sets = [own for own, mask in zip(rest, range(1, 16), strict=True) if mask >> place & 1]
            assert holm(p)[place] == pytest.approx(min(1.0, max(len(own) * min(own) for own in sets)))


def test_seeds_that_can_decide_among_several():
    assert [seeds_needed(rivals) for rivals in (1, 2, 5, 8)] == [6, 7, 8, 9]


@pytest.mark.parametrize("rivals", [5, 8])
def test_of_equal_rivals_at_most_one_in_twenty_sentences_finds_a_difference(rivals):
    generator = np.random.default_rng(rivals)
    own = generator.standard_normal((150, seeds_needed(rivals), 1))
    others = generator.standard_normal((150, seeds_needed(rivals), rivals))
    found = [min(holm([paired_difference(d).p for d in row.T])) <= 0.05 for row in own - others]
    assert np.mean(found) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 150)
