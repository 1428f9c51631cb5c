"""Quantiles, tails and ranks against scipy.stats, and what importing the analysis costs."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tngd_bench.analysis.statistics import distributions as d

inside = st.floats(1e-4, 1 - 1e-4)
freedom = st.floats(1.0, 500.0)


@given(inside, freedom)
def test_quantiles_and_tails_are_those_of_scipy_stats(level, freedom):
    assert d.t_quantile(level, freedom) == pytest.approx(stats.t.ppf(level, freedom), rel=1e-9, abs=1e-12)
    assert d.normal_quantile(level) == pytest.approx(stats.norm.ppf(level), rel=1e-12)
    value = stats.t.ppf(level, freedom)
    assert d.t_tail(value, freedom) == pytest.approx(stats.t.sf(value, freedom), rel=1e-9)


@given(inside, st.integers(1, 300), st.integers(1, 300))
def test_beta_quantiles_are_those_of_scipy_stats(level, a, b):
    assert d.beta_quantile(level, a, b) == pytest.approx(stats.beta.ppf(level, a, b), rel=1e-8)


@given(st.integers(1, 200))
def test_binomial_probabilities_are_those_of_scipy_stats(number):
    expected = stats.binom.cdf(np.arange(number + 1), number, 0.5)
    np.testing.assert_allclose(d.binomial_below(number), expected, rtol=1e-9, atol=1e-15)


@given(st.lists(st.integers(-5, 5) | st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_ranks_are_those_of_scipy_stats(values):
    np.testing.assert_array_equal(d.ranks(np.array(values, float)), stats.rankdata(values))


def test_analysis_does_not_import_scipy_stats():
    rooms = "tngd_bench.analysis.results, tngd_bench.analysis.compare, tngd_bench.check.regression"
    code = f"import sys, {rooms}; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
