"""Sweeps that are no single scale: two settings at once, and levels that are words."""

import pandas as pd

from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.studies.store import columns as c


def is_pair(trials: pd.DataFrame) -> pd.Series:
    """Return the mask of trials in a sweep of two settings."""
    return c.completed(trials, c.SWEEP)[c.SWEEP_PARAMETER_2].notna()


def is_worded(trials: pd.DataFrame) -> pd.Series:
    """Return the mask of trials with a level that is a word or a flag, so that it has no place on a scale."""
    trials = c.completed(trials, c.SWEEP)
    named = trials[c.SWEEP_LABEL].notna() & (trials[c.SWEEP_LABEL] != "ideal")
    words = named & trials[c.SWEEP_VALUE].isna()
    sweeps = trials[c.GROUP].astype(str) + "\n" + trials[c.SWEEP_PARAMETER].astype(str)
    return trials[c.SWEEP_PARAMETER].notna() & sweeps.isin(set(sweeps[words]))


def without_scale(trials: pd.DataFrame) -> pd.Series:
    """Return the mask of trials in a sweep of either kind, on which no tolerance is judged."""
    return is_pair(trials) | is_worded(trials)


def swept_names(swept: pd.DataFrame) -> list[str]:
    """Return the names of the settings swept in these trials; two swept at once joined by ×."""
    swept = c.completed(swept, c.SWEEP)
    pairs = zip(swept[c.SWEEP_PARAMETER], swept[c.SWEEP_PARAMETER_2], strict=True)
    names = (" × ".join(parameter_name(name) for name in each if isinstance(name, str)) for each in pairs)
    return list(dict.fromkeys(names))
