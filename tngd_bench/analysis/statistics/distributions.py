"""Quantiles, tails and ranks that intervals and tests are made of.

The functions are those of `scipy.special`: importing `scipy.stats` takes most of a second.
"""

import numpy as np
from scipy import special

from tngd_bench.analysis.arrays import Array


def normal_quantile(level: float) -> float:
    """Return x with P(Z ≤ x) = `level`."""
    return float(special.ndtri(level))


def t_quantile(level: float, freedom: float) -> float:
    """Return x with P(T ≤ x) = `level` for Student's T with so many degrees of freedom."""
    return float(special.stdtrit(freedom, level))


def t_tail(value: float, freedom: float) -> float:
    """Return P(T > `value`) for Student's T."""
    return float(special.stdtr(freedom, -value))


def beta_quantile(level: float, a: float, b: float) -> float:
    """Return x with P(X ≤ x) = `level` for X of Beta(a, b)."""
    return float(special.betaincinv(a, b, level))


def binomial_below(number: int) -> Array:
    """Return P(B ≤ k) for k = 0 … `number`, of so many tries that succeed with probability 1/2."""
    return np.asarray(special.bdtr(np.arange(number + 1.0), number, 0.5))


def ranks(values: Array) -> Array:
    """Return the ranks of values from 1; equal ones share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[places]
