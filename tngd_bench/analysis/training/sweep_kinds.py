"""Sweeps that are no single scale: two settings at once, and levels that are words."""

from __future__ import annotations

import pandas as pd

from tngd_bench.analysis.setting_names import parameter_name


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


def without_scale(trials: pd.DataFrame) -> pd.Series:
    """Return which trials belong to a sweep of either kind, which no tolerance is judged on."""
    return is_pair(trials) | is_worded(trials)


def swept_names(swept: pd.DataFrame) -> list[str]:
    """Return what was swept in these trials, in words; two settings at once joined by ×."""
    columns = [name for name in ("sweep_parameter", "sweep_parameter_2") if name in swept]
    settings = dict.fromkeys(zip(*(swept[name] for name in columns), strict=True))
    return [" × ".join(parameter_name(name) for name in each if isinstance(name, str)) for each in settings]
