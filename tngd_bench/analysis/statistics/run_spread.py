"""Spread of an optimizer's time between runs of one study on the same machine: σ_run.

Null runs, runs of one study with no change between them, show it. In run r at one setting each of P processes gives
log(optimizer/SGD); x_r is their mean and v_r their variance over P. Then

    E[ s²(x) − mean v ] = 2·σ_run²,

s² being the variance between the runs: by moments, as DerSimonian & Laird (Controlled Clinical Trials 7, 1986) estimate
what varies between studies. The mean over settings and optimizers weighs each by the precision that its own noise
leaves it, 1/(v + 2·σ₀²)² with σ₀ the assumed spread. σ_run is `LEAST` at least: a few runs cannot tell that nothing
varies. Where the noise within runs alone would move the mean by more than 2·σ₀², the runs tell nothing and are refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis.cost.iteration_cost import SETTING, finished_costs, paired_quotients
from tngd_bench.analysis.cost.reference import reference_label
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records
from tngd_bench.studies.store.run_spread import FIELD

LEAST = 0.01


@dataclass(frozen=True)
class RunSpread:
    """σ_run, of the logarithm of one optimizer's time, and where the number comes from, in words."""

    value: float
    source: str

    @property
    def words(self) -> str:
        """Return e.g. "4 % of an optimizer's time (assumed)"."""
        return f"{100 * self.value:.2g} % of an optimizer's time ({self.source})"


ASSUMED = RunSpread(0.04, "assumed, from five runs of one study on another machine")
"""Between those five a ratio shifted by 0 % in the median of 42 pairs of optimizers, by 2.3 % at 75 % and by 5.1 % at
90 %; 4 % of each of two optimizers is 5.7 % of their ratio."""


def run_spread_of(environment: Mapping[str, object]) -> RunSpread:
    """Return σ_run as null runs left it in a store's environment, else as assumed."""
    left = environment.get(FIELD)
    if left is None:
        return ASSUMED
    if not isinstance(left, Mapping) or not {"value", "runs", "measured"} <= set(left):
        raise ValueError(f"{FIELD} in environment.json must hold value, runs and measured, not {left!r}")
    return RunSpread(
        float(left["value"]), f"measured on this machine by {left['runs']} null runs, {left['measured']}"
    )


def left_by(runs: Sequence[Records], measured: str) -> dict[str, Any]:
    """Return the entry `FIELD` of an environment from null `runs`; `measured` is the day."""
    found = between(runs)
    return {"value": spread(found), "runs": len(runs), "ratios": len(found), "measured": measured}


def between(runs: Sequence[Records]) -> pd.DataFrame:
    """Return the variation of each optimizer's time relative to SGD between `runs` of one study.

    A row per setting and optimizer that each run timed in two processes or more: the setting, optimizer, `reference`,
    `low` and `high` (the least and the largest ratio of a run), `within` and `among` (variances of the logarithm that a
    run's own processes leave its mean, and between runs), `runs`. ValueError where there are fewer than two
    runs, or nothing shared.
    """
    if len(runs) < 2:
        raise ValueError(f"what varies between runs takes two runs or more, not {len(runs)}")
    by_run = [_means(run) for run in runs]
    shared = [key for key in by_run[0] if all(key in means for means in by_run)]
    if not shared:
        raise ValueError("the runs share no optimizer that was timed beside SGD in two processes or more")
    rows = []
    for key in shared:
        means, variances = np.array([found[key] for found in by_run]).T
        ends = float(np.exp(means.min())), float(np.exp(means.max()))
        rows.append((*key, *ends, float(variances.mean()), float(means.var(ddof=1)), len(runs)))
    numbers = ["low", "high", "within", "among", "runs"]
    return pd.DataFrame(rows, columns=[*SETTING, c.OPTIMIZER, "reference", *numbers])


def _means(run: Records) -> dict[tuple[Any, ...], tuple[float, float]]:
    """Return the mean over processes of log(optimizer/SGD) and its variance, by setting, optimizer and reference."""
    found = {}
    for setting, part in finished_costs(run.costs, run.trials).groupby(SETTING, sort=True):
        reference = reference_label(part)
        for optimizer in sorted(set(part[c.OPTIMIZER]) - {reference}) if reference is not None else ():
            blocks = paired_quotients(part, optimizer, str(reference))
            if len(blocks) > 1:
                logs = np.log([np.median(block) for block in blocks])
                variance = float(logs.var(ddof=1)) / len(logs)
                found[(*setting, optimizer, reference)] = (float(logs.mean()), variance)
    return found


def spread(found: pd.DataFrame) -> float:
    """Return σ_run from the rows of `between`; ValueError where the noise within the runs hides it."""
    assumed = 2.0 * ASSUMED.value**2
    expected = found["within"] + assumed
    weights = 1.0 / expected**2
    weights = weights / weights.sum()
    error = math.sqrt((weights**2 * 2.0 * expected**2 / (found["runs"] - 1)).sum())
    if error > assumed:
        within = 100 * math.sqrt(found["within"].median())
        raise ValueError(
            f"the runs are too noisy to tell what varies between them: the processes of one leave a ratio an error of "
            f"{within:.2g} % (median); a quiet machine, more processes or more sizes are needed"
        )
    excess = float((weights * (found["among"] - found["within"])).sum())
    return max(LEAST, math.sqrt(max(excess, 0.0) / 2.0))
