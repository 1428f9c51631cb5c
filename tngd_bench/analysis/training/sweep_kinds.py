"""Sweeps that are no single scale: two settings at once, and levels that are words."""

from __future__ import annotations

import pandas as pd

from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.studies.store import columns as col


def is_pair(trials: pd.DataFrame) -> pd.Series:
    """Return which trials belong to a sweep of two settings."""
    if col.SWEEP_PARAMETER_2 not in trials:
        return pd.Series(False, index=trials.index)
    return trials[col.SWEEP_PARAMETER_2].notna()


def is_worded(trials: pd.DataFrame) -> pd.Series:
    """Return which trials have a level that is a word or a flag, so that it has no place on a scale."""
    if col.SWEEP_LABEL not in trials:
        return pd.Series(False, index=trials.index)
    named = trials[col.SWEEP_LABEL].notna() & (trials[col.SWEEP_LABEL] != "ideal")
    words = named & trials[col.SWEEP_VALUE].isna()
    sweeps = trials[col.GROUP].astype(str) + "\n" + trials[col.SWEEP_PARAMETER].map(str)
    return trials[col.SWEEP_PARAMETER].notna() & sweeps.isin(set(sweeps[words]))


def without_scale(trials: pd.DataFrame) -> pd.Series:
    """Return which trials belong to a sweep of either kind, which no tolerance is judged on."""
    return is_pair(trials) | is_worded(trials)


def swept_names(swept: pd.DataFrame) -> list[str]:
    """Return what was swept in these trials, in words; two settings at once joined by ×."""
    columns = [name for name in (col.SWEEP_PARAMETER, col.SWEEP_PARAMETER_2) if name in swept]
    settings = dict.fromkeys(zip(*(swept[name] for name in columns), strict=True))
    return [" × ".join(parameter_name(name) for name in each if isinstance(name, str)) for each in settings]
