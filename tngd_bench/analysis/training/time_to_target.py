"""Time to a target fixed beforehand, with the hit rate; a miss is censored and counts as ∞.

No mean is taken over imputed values: the median over all trials is ∞ once half of them miss. A diverged, timed-out or
out-of-memory trial is a miss; a skipped or failed one was not a try and is counted apart.

A target is first seen met at an evaluation, and was met after the one before: the time is interval-censored, (78, 156].
The median has the exact interval of order statistics: of n trials [x_(k), x_(n+1−k)], k the largest for which
P(Bin(n, ½) < k) ≤ 2.5 %, 95 % and more; of fewer than six trials all of their range, 1 − 2^(1−n).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.statistics.distributions import beta_quantile, binomial_below
from tngd_bench.problems import registered_metrics
from tngd_bench.problems import registry as problems
from tngd_bench.problems.metrics import ACCURACY, Metric
from tngd_bench.studies.store import columns as c

_CLOCKS = {"iterations": c.ITERATION, "modelled": c.MODELLED_S}
_RATE = ("hit_rate", "hit_rate_low", "hit_rate_high")
_HIT_SETTING = [*c.TRAINING_SETTING, c.METHOD, c.SEED, c.KEY]
AFTER = {"iterations": "after", "modelled": "after_modelled"}
"""For each clock of `hit_times` the column of that clock at the evaluation before."""
MISSED_AT_MOST = 0.2
"""The share of a baseline's reruns that may miss the target that it sets."""
MINIMUM_REFERENCE_SEEDS = 4


@dataclass(frozen=True)
class Target:
    """A `value` that the column `metric` of curves is to reach, from its worse side; `provenance`: where it is from."""

    metric: str
    value: float
    provenance: str

    def __post_init__(self) -> None:
        registered_metrics.of_column(self.metric)

    def reached(self, values: pd.Series) -> pd.Series:
        """Return the mask of `values` that meet the target; NaN does not."""
        larger = registered_metrics.of_column(self.metric).metric.larger_is_better
        return values >= self.value if larger else values <= self.value

    def describe(self) -> str:
        """Return e.g. "test accuracy ≥ 90 %"."""
        curve = registered_metrics.of_column(self.metric)
        level = f"{100 * self.value:g} %" if curve.metric.share else f"{self.value:g}"
        return f"{curve.title} {'≥' if curve.metric.larger_is_better else '≤'} {level}"


def usual_targets(*metrics: Metric) -> tuple[Target, ...]:
    """Return the targets of trainings whose study states none: those that the metrics' descriptions give."""
    provenance = "round number fixed in this version of tngd-bench, not tuned on these data"
    return tuple(
        Target(f"test_{metric.name}", value, provenance) for metric in metrics for value in metric.targets
    )


DEFAULT_TARGETS = usual_targets(ACCURACY)


def study_targets(study: Mapping[str, Any]) -> dict[str, tuple[Target, ...]]:
    """Return the targets of each training section of `study`, by group name.

    A section states them as `targets = [{metric, value, provenance}, …]`; one without has the usual ones of its
    problem's metrics, those of the accuracy where the problem is not installed here. A metric that no problem here has
    is in no curve either, and its targets are left out.
    """
    found: dict[str, tuple[Target, ...]] = {}
    described = {curve.column for curve in registered_metrics.curve_metrics()}
    for section in study.get("training") or ():
        targets = tuple(
            Target(str(t["metric"]), float(t["value"]), str(t.get("provenance", "stated in the study file")))
            for t in section.get("targets") or ()
            if str(t["metric"]) in described
        )
        problem = problems.entries().get(str(section.get("problem")))
        usual = DEFAULT_TARGETS if problem is None else usual_targets(*problem.metrics)
        found[str(section["name"])] = targets or usual
    return found


def hit_times(
    trials: pd.DataFrame, curves: pd.DataFrame, targets: Mapping[str, Sequence[Target]]
) -> pd.DataFrame:
    """Return one row per trial outside sweeps that was tried, and target of its group: when it first met it.

    Columns: those of the trial's setting, seed, key, `target`, `provenance`, `value`; `iterations` and
    `modelled` (seconds, on the clock of `one_clock`) at the first evaluation that meets the target, ∞ where none does;
    those of `AFTER`, the clocks at the evaluation before (−1 where the first one meets it), the last one for a miss.
    """
    training = c.outside_sweeps(c.only(trials, kind="training"))
    ordered = curves[curves[c.KEY].isin(training[c.KEY])].sort_values(c.ITERATION, kind="stable")
    setting = [name for name in _HIT_SETTING if name in training]
    hits: dict[Target, dict[object, dict[str, float]]] = {}
    missed = dict.fromkeys(_CLOCKS, float("inf")) | dict.fromkeys(AFTER.values(), -1.0)
    rows = []
    for trial in training[training[c.STATUS].isin(c.TRIED)].sort_values(c.KEY).to_dict("records"):
        for target in targets.get(str(trial[c.GROUP]), DEFAULT_TARGETS):
            row: dict[str, object] = {name: trial[name] for name in setting}
            row |= {"target": target.describe(), "provenance": target.provenance, "value": target.value}
            if target not in hits:
                hits[target] = _hits(ordered, target)
            rows.append(row | missed | hits[target].get(trial[c.KEY], {}))
    return pd.DataFrame(rows, columns=[*setting, "target", "provenance", "value", *missed])


def time_to_target(
    trials: pd.DataFrame, hits: pd.DataFrame, targets: Mapping[str, Sequence[Target]]
) -> pd.DataFrame:
    """Return one row per group, optimizer and target; `hits` are those of `trials` and `targets` (see `hit_times`).

    Columns: group, optimizer, target, provenance, `hits`, `tries`, `not_tried`, and quartiles `_q1`, `_median`, `_q3`
    over the tries of `iterations` and `modelled` (seconds: iterations × cost per iteration), ∞ where that quantile is a
    miss; `_low`, `_high` of each, the interval of its median, at `confidence`; `after_median` and
    `after_modelled_median`, at the evaluation before; `hit_rate` with its exact (Clopper-Pearson) 95 % interval
    `hit_rate_low`, `hit_rate_high`. Quantiles are order statistics (the higher of two neighbours), so a finite value is
    always one that some trial took.
    """
    training = c.outside_sweeps(c.only(trials, kind="training"))
    rows = []
    for setting, part in c.groups(training, [c.GROUP, c.OPTIMIZER]):
        tried = c.only(hits, **setting)
        for target in targets.get(setting[c.GROUP], DEFAULT_TARGETS):
            own = c.only(tried, target=target.describe())
            row = setting | {"target": target.describe(), "provenance": target.provenance}
            row |= {"tries": len(own), "not_tried": len(part) - len(own)}
            row["hits"] = int(np.isfinite(own["iterations"].astype(float)).sum())
            row |= dict(zip(_RATE, hit_rate(row["hits"], len(own)), strict=True))
            for name, after in AFTER.items():
                values = own[name].to_numpy(float)
                quartiles = (
                    np.quantile(values, [0.25, 0.5, 0.75], method="higher") if len(own) else [np.nan] * 3
                )
                row |= {
                    f"{name}_{mark}": q for mark, q in zip(("q1", "median", "q3"), quartiles, strict=True)
                }
                row[f"{name}_low"], row[f"{name}_high"], confidence = median_interval(values)
                row.setdefault("confidence", confidence)
                ranked = own.sort_values(name, kind="stable")[after]
                row[f"{after}_median"] = float(ranked.iloc[len(own) // 2]) if len(own) else np.nan
            rows.append(row)
    marks = [f"{name}_{mark}" for name in _CLOCKS for mark in ("q1", "median", "q3", "low", "high")]
    columns = [c.GROUP, c.OPTIMIZER, "target", "provenance", "hits", "tries", "not_tried", *marks]
    columns += [*(f"{column}_median" for column in AFTER.values()), "confidence", *_RATE]
    return pd.DataFrame(rows, columns=columns)


def median_interval(values: Array) -> tuple[float, float, float]:
    """Return the interval of the median of what `values` are a sample of, and its confidence; NaN without any."""
    if not len(values) or np.isnan(values).any():
        return (float("nan"),) * 3
    ordered, number = np.sort(values), len(values)
    below = binomial_below(number)
    k = max(1, int((below < 0.025).sum()))  # the largest k with P(Bin < k) < 2.5 %
    confidence = 1.0 - 2.0 * float(below[k - 1])
    return float(ordered[k - 1]), float(ordered[-k]), confidence


def hit_rate(hits: int, tries: int) -> tuple[float, float, float]:
    """Return hits/tries and its exact 95 % interval; NaN without a try.

    The bounds are quantiles of Beta(h, n − h + 1) and Beta(h + 1, n − h) (Clopper & Pearson, Biometrika 26, 1934).
    """
    if not 0 <= hits <= tries:
        raise ValueError(f"hits must be between 0 and tries = {tries}, not {hits}")
    if tries == 0:
        return (float("nan"),) * 3
    low = 0.0 if hits == 0 else beta_quantile(0.025, hits, tries - hits + 1)
    high = 1.0 if hits == tries else beta_quantile(0.975, hits + 1, tries - hits)
    return hits / tries, low, high


def target_from_reference(final: pd.DataFrame, group: str, optimizer: str, metric: str) -> Target:
    """Return the target that a baseline sets: a last value of `metric` that four in five of its reruns reach.

    That is the k-th worst of n reruns, k = ⌊(n + 1)/5⌋: a further one is worse with probability k/(n + 1) ≤ 20 %. The
    median would be missed by half of the baseline's own reruns. `final` is as from `final_scores.final_values`; a seed
    that did not finish counts as a worst value. The baseline's runs must be others than those the target is then
    applied to. ValueError where the baseline has fewer than four seeds or did not finish in too many.
    """
    described = registered_metrics.of_column(metric)
    column, upwards = described.final, described.metric.larger_is_better
    runs = c.only(final, group=group, optimizer=optimizer)
    runs = runs[runs[c.SWEEP_PARAMETER].isna() & runs[c.STATUS].isin(c.TRIED)]
    worst = -np.inf if upwards else np.inf
    values = runs[column].astype(float).where(runs[c.STATUS] == "ok", worst).dropna().to_numpy(float)
    if len(values) < MINIMUM_REFERENCE_SEEDS:
        raise ValueError(
            f"{optimizer!r} in {group!r} has {len(values)} seeds; a target needs {MINIMUM_REFERENCE_SEEDS}"
        )
    ordered = np.sort(values) if upwards else np.sort(values)[::-1]  # the worst first
    place = int((len(values) + 1) * MISSED_AT_MOST + 1e-9)
    level = float(ordered[place - 1])
    if not np.isfinite(level):
        raise ValueError(
            f"{optimizer!r} in {group!r} did not finish in {place} or more of its seeds; no target"
        )
    shown = f"reached by four in five of {len(values)} reruns of {optimizer} in {group}"
    return Target(metric, level, shown)


def _hits(ordered: pd.DataFrame, target: Target) -> dict[object, dict[str, float]]:
    """Return by key the clocks at the first evaluation that meets `target` and at the last before it, where there are.

    `ordered` runs by iteration.
    """
    evaluated = ordered.dropna(subset=target.metric)
    reached = target.reached(evaluated[target.metric].astype(float)).astype(int)
    met = reached.groupby(evaluated[c.KEY]).cummax() == 1
    ends = (
        (evaluated[met].drop_duplicates(c.KEY), {column: name for name, column in _CLOCKS.items()}),
        (
            evaluated[~met].drop_duplicates(c.KEY, keep="last"),
            {column: AFTER[name] for name, column in _CLOCKS.items()},
        ),
    )
    found: dict[object, dict[Any, float]] = {}
    for points, names in ends:
        clocks = points.set_index(c.KEY)[list(names)].astype(float).rename(columns=names)
        for key, values in clocks.to_dict("index").items():
            found.setdefault(key, {}).update(values)
    return found
