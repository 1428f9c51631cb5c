"""Which optimizers' devices state no time for items of their bill, from the records: their totals are lower bounds."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import OptimizerInfo

NOT_STATED = "not stated"


def unstated(trials: pd.DataFrame) -> dict[str, str]:
    """Return the items without a stated time of each optimizer that has any, in words."""
    if "not_stated" not in trials:  # frames of an older reader
        return {}
    own = trials[trials["not_stated"].notna()]
    return {
        str(label): quantities.items(item for names in part for item in str(names).split())
        for label, part in own.groupby("optimizer", sort=True)["not_stated"]
    }


def named(items: Mapping[str, str], known: Mapping[str, OptimizerInfo]) -> str:
    """Return e.g. "TNGD (D/A conversion), TNGD-Adam (D/A conversion)" for what `unstated` found; "" for nothing."""
    return ", ".join(f"{known[label].title} ({words})" for label, words in items.items())
