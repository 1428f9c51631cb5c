"""One clock for all trainings: iterations × the cost per iteration, timed in turn with the others on one machine.

Trainings run side by side, each in its own hour, so that their own seconds (`measured_s`, the elapsed time of the
trial) differ by what else the machine did. A cost section times all optimizers in turn. Its mean is what an optimizer
with periodic work spends.
"""

from __future__ import annotations

import pandas as pd

from tngd_bench.analysis.cost.iteration_cost import timed_costs
from tngd_bench.studies.store import columns as c

_SETTING = [c.METHOD, c.SETTINGS, c.PROBLEM, *c.SIZE]


def seconds_per_iteration(
    trials: pd.DataFrame, costs: pd.DataFrame, column: str = c.TOTAL_S
) -> pd.Series[float]:
    """Return the seconds per iteration of every training trial by its key: NaN where its cost was not measured.

    A cost counts for the same settings, problem, N, b and d_z. `column` is that of `costs`: "total_s", or "digital_s"
    without the device. The total is NaN too where the device states no time for an item of its bill.
    """
    training = c.only(trials, kind="training")
    if costs.empty or not set(_SETTING) <= set(trials):
        return pd.Series(float("nan"), index=pd.Index(training[c.KEY]))
    timed = timed_costs(costs, trials)[[c.KEY, column]]
    timed = timed.merge(c.only(trials, kind="cost")[[c.KEY, *_SETTING]], on=c.KEY)
    means = timed.groupby(_SETTING)[column].agg(lambda own: own.astype(float).mean(skipna=False))
    found = training[[c.KEY, *_SETTING]].merge(means.rename("seconds").reset_index(), on=_SETTING, how="left")
    return found.set_index(c.KEY)["seconds"].astype(float)


def on_one_clock(curves: pd.DataFrame, trials: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Return `curves` with `modelled_s` on the clock of the cost sections: NaN where they have no cost for it."""
    seconds = curves[c.KEY].map(seconds_per_iteration(trials, costs)).astype(float)
    return curves.assign(modelled_s=curves[c.ITERATION].astype(float) * seconds)


def untimed(trials: pd.DataFrame, costs: pd.DataFrame) -> dict[str, list[str]]:
    """Return the optimizers by section, outside sweeps, whose cost per iteration was not measured for their setting."""
    seconds = seconds_per_iteration(trials, costs)
    plain = c.completed(c.outside_sweeps(c.only(trials, kind="training")), [c.NOT_STATED])
    own = plain[plain[c.KEY].map(seconds).isna() & plain[c.NOT_STATED].isna()]
    return {
        str(group): list(labels.unique()) for group, labels in own.groupby(c.GROUP, sort=False)[c.OPTIMIZER]
    }
