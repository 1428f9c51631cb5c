"""Tests of claims about training: who is lower or better, how close two losses are.

All compare on the same seed, start and batches; `run_metrics` says what the loss of a run is.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.arrays import Array
from tngd_bench.analysis.claims.types import ClaimPart, Finding, Test
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics.paired import (
    PairedDifference,
    differences_by_seed,
    paired_difference,
)
from tngd_bench.analysis.training.run_metrics import distances, metric_of, values_of_runs
from tngd_bench.problems import registered_metrics
from tngd_bench.problems.metrics import Metric
from tngd_bench.studies.store import columns as c

LEVEL = 0.05
MINIMUM_SEEDS = 3
SIGNED_RANK_SEEDS = 5
"""Fewer paired seeds cannot reach p ≤ 5 %, whatever they show: 2⁻⁴ is 6 %."""


def better(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test whether `first` is better than each of `rivals`; a part each.

    A part holds where the exact one-sided signed-rank test over paired seeds has p ≤ 5 %, and is decided against where
    that of the contrary has: with five seeds all five must agree, fewer are not tested. With a `margin` it may be worse
    by less than that: points of an accuracy, a share of anything else. Parameters: first, rivals, margin, and value,
    clock, share, level as in `run_metrics`.
    """
    first = str(parameters["first"])
    pairs = [(first, str(rival), f"against {rival}") for rival in parameters["rivals"]]
    return _pairs_compared(results, pairs, parameters)


def each_better(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test whether each of `firsts` is better than each of `seconds`; a part each pair, judged as in `better`.

    What a variant gains over another optimizer is its own doing only if it gains that over itself without the variation
    too, so that such claims name both among `seconds`.
    """
    pairs = [
        (str(first), str(second), f"{first} against {second}")
        for second in parameters["seconds"]
        for first in parameters["firsts"]
    ]
    return _pairs_compared(results, pairs, parameters)


def _pairs_compared(
    results: Results, pairs: Sequence[tuple[str, str, str]], parameters: Mapping[str, Any]
) -> Finding:
    parts, missing = [], []
    numbers: dict[str, float] = {}
    for first, second, what in pairs:
        part = compared(results, first, second, parameters, what, numbers)
        if isinstance(part, ClaimPart):
            parts.append(part)
        else:
            missing.append(f"{what}: {part}")
    keys = results.keys_of(*{name for first, second, _ in pairs for name in (first, second)})
    return Finding(tuple(parts), _rule(parameters), numbers, keys, "; ".join(missing))


def close(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test whether the losses of `first` and `second` agree to `tolerance`, relatively, on the mean over the run.

    Per seed, the mean over iterations of |log(loss/loss)|. The part holds where the exact one-sided signed-rank test
    says that it is below the tolerance (its logarithm), p ≤ 5 %, and is decided against where that of the contrary
    does: an equivalence test (Schuirmann 1987). Parameters: first, second, tolerance.
    """
    first, second = str(parameters["first"]), str(parameters["second"])
    tolerance = float(parameters["tolerance"])
    rule = (
        "mean over the run of the relative deviation of the smoothed losses at most "
        f"{quantities.percent(tolerance)}: exact one-sided signed-rank test over paired seeds, p ≤ 5 %"
    )
    found = distances(results, first, second).to_numpy(float)
    if len(found) < SIGNED_RANK_SEEDS:
        return Finding(
            (), rule, missing=f"{first} and {second}: {len(found)} paired seeds, {SIGNED_RANK_SEEDS} needed"
        )
    beyond = paired_difference(found - np.log1p(tolerance))
    worst, typical = float(np.expm1(found.max())), float(np.expm1(np.median(found)))
    lost = int(np.isinf(found).sum())
    said = f"deviation {_apart(typical)}, at most {_apart(worst)}" if lost < len(found) else "all diverged"
    said += f", {lost} of them diverged" if 0 < lost < len(found) else ""
    text = f"{said} ({len(found)} seeds), {smaller_p(beyond)}"
    part = decided_by(f"{first} beside {second}", text, beyond)
    return Finding((part,), rule, {"median": typical, "largest": worst}, results.keys_of(first, second))


def _apart(deviation: float) -> str:
    return quantities.percent(deviation) if np.isfinite(deviation) else "without limit"


def closer(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test whether each of `series` is closer to `second` (as in `close`) than the one before it; a part each step.

    Judged by the one-sided signed-rank test over paired seeds, p ≤ 5 %. Parameters: series, second.
    """
    second, series = str(parameters["second"]), [str(name) for name in parameters["series"]]
    apart = {name: distances(results, name, second) for name in series}
    parts, missing = [], []
    numbers: dict[str, float] = {}
    for before, after in itertools.pairwise(series):
        what = f"{after} closer than {before}"
        both = pd.concat([apart[before], apart[after]], axis=1, join="inner").dropna()
        if len(both) < SIGNED_RANK_SEEDS:
            missing.append(f"{what}: {len(both)} paired seeds, {SIGNED_RANK_SEEDS} needed")
            continue
        nearer, farther = both.iloc[:, 1].to_numpy(float), both.iloc[:, 0].to_numpy(float)
        with np.errstate(invalid="ignore"):  # two that diverged are as far as each other
            found = paired_difference(np.where(nearer == farther, 0.0, nearer - farther))
        numbers |= {
            name: float(np.expm1(both.iloc[:, place].median())) for place, name in ((0, before), (1, after))
        }
        text = (
            f"{_apart(numbers[before])} to {_apart(numbers[after])}, closer in {found.lower} "
            f"of {found.seeds} seeds, {smaller_p(found)}"
        )
        parts.append(decided_by(what, text, found))
    rule = (
        f"relative deviation of the smoothed loss from {second} falls at each step, one-sided exact p ≤ 5 %"
    )
    return Finding(tuple(parts), rule, numbers, results.keys_of(second, *series), "; ".join(missing))


def compared(
    results: Results,
    first: str,
    second: str,
    parameters: Mapping[str, Any],
    what: str,
    numbers: dict[str, float],
) -> ClaimPart | str:
    """Judge whether `first` is better than `second` as in `better`, and add their medians to `numbers`.

    Returns a part named `what`, or why there is none: not run, or too few paired seeds for any verdict.
    """
    metric = metric_of(parameters)
    upwards = metric.larger_is_better
    table = values_of_runs(results, (first, second), parameters)
    for name in (first, second):
        if name not in set(table[c.OPTIMIZER]):
            return f"{name} was not run"

    def paired(values: pd.DataFrame) -> Array:
        found = differences_by_seed(values, first, second, "value", larger_is_better=upwards)
        return -found if upwards else found

    differences = paired(table)
    if len(differences) < SIGNED_RANK_SEEDS:
        return f"{len(differences)} paired seeds, {SIGNED_RANK_SEEDS} needed"
    found = paired_difference(differences)
    beyond = paired_difference(paired(_eased(table, second, metric, float(parameters.get("margin", 0.0)))))
    finished = c.only(table, status="ok")
    medians = {
        name: float(finished.loc[finished[c.OPTIMIZER] == name, "value"].median()) for name in (first, second)
    }
    iterations = float(finished["iterations"].astype(float).max())
    numbers |= {f"{what}, {name}": median for name, median in medians.items()} | {"iterations": iterations}
    sign = -1 if upwards else 1
    low, high = sorted((sign * found.low, sign * found.high))
    shown = (lambda share: f"{100 * share:.2f} %") if metric.share else quantities.significant
    scale = 100.0 if metric.share else 1.0
    text = (
        f"{shown(medians[first])} against {shown(medians[second])}, "
        f"difference {quantities.significant(scale * sign * found.value)}"
        f"{' points' if metric.share else ''} {quantities.interval(scale * low, scale * high)}, "
        f"better in {found.lower} of {found.seeds} seeds, {smaller_p(beyond)}, "
        f"{quantities.count(iterations)} iterations{_unfinished(table, first, second)}"
    )
    return decided_by(what, text, beyond)


def decided_by(what: str, text: str, found: PairedDifference) -> ClaimPart:
    """Return a part that holds where the one-sided p of "lower" is ≤ 5 %, decided against where that of "higher" is."""
    holds = found.p_lower <= LEVEL
    return ClaimPart(what, holds, text, holds or found.p_higher <= LEVEL, found.p)


def _eased(table: pd.DataFrame, rival: str, metric: Metric, margin: float) -> pd.DataFrame:
    """Return the values with those of the rival worse by the margin."""
    values = table["value"] - margin if metric.share else table["value"] * (1.0 + margin)
    return table.assign(value=table["value"].mask(table[c.OPTIMIZER] == rival, values))


def smaller_p(found: PairedDifference) -> str:
    """Return the smaller of the two one-sided p-values, in words."""
    return f"p = {min(found.p_lower, found.p_higher):.3f}"


def _unfinished(table: pd.DataFrame, *optimizers: str) -> str:
    """Return the number of runs of each that did not finish; they count as worst."""
    said = ""
    for name in optimizers:
        own = c.only(table, optimizer=name)
        lost = int((own[c.STATUS] != "ok").sum())
        said += f", {lost} of {len(own)} runs of {name} did not finish" if lost else ""
    return said


def _rule(parameters: Mapping[str, Any]) -> str:
    share = quantities.percent(float(parameters.get("share", 1.0)))
    kinds = {
        "early-loss": f"the smoothed loss after {share} of the shorter run",
        "mean-loss": "the mean of the smoothed loss over the run",
        "reach-loss": f"the first moment with a smoothed loss of {parameters.get('level')} or less",
    }
    name = str(parameters["value"])
    value = kinds.get(name) or f"the last {registered_metrics.of_final(name).title}"
    clock = {
        c.MODELLED_S: " in seconds (iterations × cost per iteration, timed in turn)",
        c.ITERATION: " in iterations",
    }.get(str(parameters.get("clock", "")), "")
    margin = float(parameters.get("margin", 0.0))
    points = "point" if margin == 0.01 else "points"
    size = f"{100 * margin:g} {points if metric_of(parameters).share else '%'}"
    better = f"is better, or worse by less than {size}," if margin else "is better"
    return f"{value}{clock} {better} on paired seeds: exact one-sided signed-rank test, p ≤ 5 %"


TESTS: Mapping[str, Test] = {"better": better, "each-better": each_better, "close": close, "closer": closer}
