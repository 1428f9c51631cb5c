"""Sweeps that are no single scale: two settings at once, and levels that are words."""

from __future__ import annotations

import pandas as pd


def is_pair(trials: pd.DataFrame) -> pd.Series:
    """Return which trials belong to a sweep of two settings."""
    if "sweep_parameter_2" not in trials:
        return pd.Series(False, index=trials.index)
    return trials["sweep_parameter_2"].notna()


def is_worded(trials: pd.DataFrame) -> pd.Series:
    """Return which trials have a level that is a word or a flag, so that it has no place on a scale."""
    if "sweep_label" not in trials:
        return pd.Series(False, index=trials.index)
    named = trials["sweep_label"].notna() & (trials["sweep_label"] != "ideal")
    words = named & trials["sweep_value"].isna()
    sweeps = trials["group"].astype(str) + "\n" + trials["sweep_parameter"].map(str)
    return trials["sweep_parameter"].notna() & sweeps.isin(set(sweeps[words]))
