"""Stability margin of devices with separately programmed arrays, from the records.

Arrays that hold J₁ and J₂ apart make the drift Ĥ J₂ J₁ᵀ + λI non-symmetric; it is stable as long as the margin, the
least real part of its eigenvalues in 1/τ, is above zero. The simulation tests that in every iteration before
anything runs on the device and ends a training whose margin is not, recording the margin it found. A finished training
had a margin above zero at each iteration; its record has the least, unless an older version made it.
"""

import numpy as np
import pandas as pd

from tngd_bench.analysis.cost.recorded_devices import trial_device
from tngd_bench.studies.store import columns as c

_MARGIN = r"device is unstable: its slowest mode has the rate (-?[0-9.]+(?:e[+-]?[0-9]+)?)/τ"
_KEYS = [c.GROUP, c.OPTIMIZER, *c.SWEEP]


def margins(reasons: pd.Series) -> pd.Series:
    """Return the stability margin in 1/τ that ended each trial, from its `reason`; NaN where none did."""
    found = reasons.astype("string").str.extract(_MARGIN, expand=False)
    return pd.to_numeric(found, errors="raise").astype(float)


def stability_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting whose arrays are programmed cell by cell: how many trainings were stable.

    Columns: group, optimizer, the levels of its sweep, `trials` (that ran), `unstable`, `margin` (the least recorded,
    in 1/τ; NaN where none was and all were stable, which says above zero), `keys`.
    """
    ran = trials[(trials[c.KIND] == "training") & trials[c.STATUS].isin(["ok", "diverged", "timed-out"])]
    ran = c.completed(ran, [c.KEY, *_KEYS, c.REASON, c.STABILITY_MARGIN])
    devices = [trial_device(row.device, row.settings) for row in c.each(ran)]
    ran = ran[np.array([used is not None and used.needs_arrays for used in devices], dtype=bool)]
    ended = margins(ran[c.REASON])
    ran = ran.assign(ended=ended, margin=ended.fillna(ran[c.STABILITY_MARGIN].astype(float)))
    rows = []
    for row, part in c.groups(ran, _KEYS, dropna=False):
        row |= {"trials": len(part), "unstable": int(part["ended"].notna().sum())}
        rows.append(row | {"margin": float(part["margin"].min()), "keys": tuple(sorted(part[c.KEY]))})
    return pd.DataFrame(rows, columns=[*_KEYS, "trials", "unstable", "margin", "keys"])
