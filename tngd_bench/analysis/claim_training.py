"""Tests of claims about training: who is lower or better, how close two losses are, what noise and memory do.

All compare on the same seed, start and batches. "The loss" of a run is the paper's: the mini-batch loss as a trailing
moving average of 200 points, of an eighth of the run where that is shorter.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.claims import Finding, Part, Pool, Test
from tngd_bench.analysis.convergence import PAPER_WINDOW, moving_average
from tngd_bench.analysis.paired import PairedDifference, differences_by_seed, paired_difference
from tngd_bench.analysis.rows import each
from tngd_bench.analysis.tolerance import mildest_first, tolerances

LEVEL = 0.05
MINIMUM_SEEDS = 3
_SHORTEST_SHARE = 8


def better(pool: Pool, parameters: Mapping[str, Any]) -> Finding:
    """Test whether `first` is better than each of `rivals`; a part each.

    A part holds where the exact one-sided signed-rank test over paired seeds has p ≤ 5 %, and is decided against where
    that of the contrary has: with five seeds all five must agree, with four or fewer nothing is decided. `value`:
    "final_test_accuracy", "final_loss", "mean-loss" (over the whole run) or "early-loss" (when `share` of the shorter
    run's `clock`, an iteration or seconds, has passed). Parameters: first, rivals, value, clock, share.
    """
    first = str(parameters["first"])
    parts, absent = [], []
    numbers: dict[str, float] = {}
    for rival in parameters["rivals"]:
        part = _compared(pool, first, str(rival), parameters, f"against {rival}", numbers)
        if part is None:
            absent.append(str(rival))
        else:
            parts.append(part)
    missing = f"not run beside {first}: {', '.join(absent)}" if absent else ""
    return Finding(
        tuple(parts), _rule(parameters), numbers, pool.keys_of(first, *parameters["rivals"]), missing
    )


def any_better(pool: Pool, parameters: Mapping[str, Any]) -> Finding:
    """Test whether each of `firsts` is better than `second`; a part each, judged as in `better`."""
    second = str(parameters["second"])
    parts, absent = [], []
    numbers: dict[str, float] = {}
    for first in parameters["firsts"]:
        part = _compared(pool, str(first), second, parameters, str(first), numbers)
        if part is None:
            absent.append(str(first))
        else:
            parts.append(part)
    missing = f"not run beside {second}: {', '.join(absent)}" if absent else ""
    return Finding(
        tuple(parts), _rule(parameters), numbers, pool.keys_of(second, *parameters["firsts"]), missing
    )


def time_ratio(pool: Pool, parameters: Mapping[str, Any]) -> Finding:
    """Hold the ratio of time per iteration in training, `first` to `second`, against `low` to `high`.

    Measured digital + modelled device seconds of whole runs, paired by seed. The part holds if the Hodges-Lehmann
    interval of the log ratios lies in the range, is decided against if it lies outside. Parameters: first, second, low,
    high.
    """
    first, second = str(parameters["first"]), str(parameters["second"])
    low, high = float(parameters["low"]), float(parameters["high"])
    finished = pool.final[pool.final["status"] == "ok"]
    per_iteration = finished.assign(
        value=finished["modelled_s"].astype(float) / finished["iterations"].astype(float)
    )
    table = per_iteration[per_iteration["sweep_parameter"].isna()].pivot_table(
        index="seed", columns="optimizer", values="value", aggfunc="first"
    )
    rule = f"the interval of the paired ratio of seconds per iteration lies between {low:g} and {high:g}"
    if not {first, second} <= set(table.columns):
        return Finding((), rule, missing=f"{first} and {second} were not both run")
    logs = np.log((table[first] / table[second]).dropna().to_numpy(float))
    if len(logs) < MINIMUM_SEEDS:
        return Finding((), rule, missing=f"{len(logs)} paired seeds, {MINIMUM_SEEDS} needed")
    found = paired_difference(logs)
    value, bottom, top = (float(np.exp(number)) for number in (found.value, found.low, found.high))
    holds = low <= bottom and top <= high
    decided = holds or top < low or bottom > high
    sure = f"{found.seeds} seeds, {quantities.percent(found.confidence)} confidence"
    text = f"{value:.2f}× {quantities.interval(bottom, top)} ({sure})"
    part = Part(f"{first} to {second}", holds, text, decided)
    return Finding((part,), rule, {"ratio": value}, pool.keys_of(first, second))


def close(pool: Pool, parameters: Mapping[str, Any]) -> Finding:
    """Test whether the losses of `first` and `second` agree to `tolerance`, relatively, on the mean over the run.

    Per seed, the mean over iterations of |log(loss/loss)|. The part holds if that of every seed is within the tolerance
    (its logarithm), is decided against if that of every seed is not. Parameters: first, second, tolerance.
    """
    first, second = str(parameters["first"]), str(parameters["second"])
    tolerance = float(parameters["tolerance"])
    rule = (
        "mean over the run of the relative deviation of the smoothed losses at most "
        f"{quantities.percent(tolerance)} in every seed"
    )
    distances = _distances(pool, first, second)
    if len(distances) < MINIMUM_SEEDS:
        return Finding(
            (), rule, missing=f"{first} and {second}: {len(distances)} paired seeds, {MINIMUM_SEEDS} needed"
        )
    within = distances <= np.log1p(tolerance)
    worst, typical = float(np.expm1(distances.max())), float(np.expm1(np.median(distances)))
    text = f"deviation {quantities.percent(typical)}, at most {quantities.percent(worst)} ({len(distances)} seeds)"
    part = Part(f"{first} beside {second}", bool(within.all()), text, bool(within.all() or not within.any()))
    return Finding((part,), rule, {"median": typical, "largest": worst}, pool.keys_of(first, second))


def closer(pool: Pool, parameters: Mapping[str, Any]) -> Finding:
    """Test whether each of `series` is closer to `second` (as in `close`) than the one before it; a part each step.

    Judged by the one-sided signed-rank test over paired seeds, p ≤ 5 %. Parameters: series, second.
    """
    second, series = str(parameters["second"]), [str(name) for name in parameters["series"]]
    distances = {name: _distances(pool, name, second, by_seed=True) for name in series}
    parts = []
    numbers: dict[str, float] = {}
    for before, after in itertools.pairwise(series):
        both = pd.concat([distances[before], distances[after]], axis=1, join="inner").dropna()
        if len(both) < MINIMUM_SEEDS:
            continue
        found = paired_difference((both.iloc[:, 1] - both.iloc[:, 0]).to_numpy(float))
        numbers |= {
            name: float(np.expm1(both.iloc[:, place].median())) for place, name in ((0, before), (1, after))
        }
        text = f"{quantities.percent(numbers[before])} to {quantities.percent(numbers[after])}, {_p(found)}"
        holds = found.p_lower <= LEVEL
        parts.append(Part(f"{after} closer than {before}", holds, text, holds or found.p_higher <= LEVEL))
    rule = (
        f"relative deviation of the smoothed loss from {second} falls at each step, one-sided exact p ≤ 5 %"
    )
    missing = "" if parts else f"fewer than {MINIMUM_SEEDS} paired seeds"
    return Finding(tuple(parts), rule, numbers, pool.keys_of(second, *series), missing)


def memory(pool: Pool, parameters: Mapping[str, Any]) -> Finding:
    """Test the explanation by memory: an advantage at the smallest λ, none at the largest, none from the gradient.

    `series`, `references` (exact NGD) and `controls` (start at the gradient) are in order of λ. Three parts: at the
    first λ the series is lower than its reference (as in `better`); at the last λ it is not lower by more than
    `tolerance`; at no λ is the control lower than its reference in every seed. Parameters: series, references,
    controls, value, tolerance.
    """
    names = {key: [str(name) for name in parameters[key]] for key in ("series", "references", "controls")}
    present = set(pool.final.loc[pool.final["status"] == "ok", "optimizer"])
    places = [i for i, name in enumerate(names["series"]) if {name, names["references"][i]} <= present]
    allowed = quantities.percent(float(parameters["tolerance"]))
    rule = (
        f"lower than exact NGD at the smallest λ (one-sided p ≤ 5 %), within {allowed} of it or higher at the "
        "largest, and never lower with a start at the gradient"
    )
    if len(places) < 2:
        return Finding((), rule, missing="fewer than two values of λ were run with their reference")
    numbers: dict[str, float] = {}
    first, last = places[0], places[-1]
    parts = []
    smallest = _compared(
        pool,
        names["series"][first],
        names["references"][first],
        parameters,
        "advantage at the smallest λ",
        numbers,
    )
    if smallest is not None:
        parts.append(smallest)
    ratios = _log_ratios(pool, names["series"][last], names["references"][last], parameters)
    if len(ratios) >= MINIMUM_SEEDS:
        gone = bool((ratios >= -np.log1p(float(parameters["tolerance"]))).all())
        there = bool((ratios < -np.log1p(float(parameters["tolerance"]))).all())
        numbers["ratio at the largest λ"] = float(np.exp(np.median(ratios)))
        text = f"loss ratio {np.exp(np.median(ratios)):.3f} [{np.exp(ratios.min()):.3f}, {np.exp(ratios.max()):.3f}]"
        parts.append(Part("no advantage at the largest λ", gone, text, gone or there))
    lower, controlled = [], 0
    for control, reference in zip(names["controls"], names["references"], strict=True):
        if not {control, reference} <= present:
            continue
        ratios = _log_ratios(pool, control, reference, parameters)
        if len(ratios) >= MINIMUM_SEEDS:
            controlled += 1
            numbers[f"{control} ratio"] = float(np.exp(np.median(ratios)))
            if (ratios < 0).all():
                lower.append(control)
    if controlled:
        said = (
            f"lower in every seed: {', '.join(lower)}"
            if lower
            else f"at none of {controlled} λ lower in every seed"
        )
        parts.append(Part("no advantage from the gradient", not lower, said))
    everything = [name for row in names.values() for name in row]
    return Finding(tuple(parts), rule, numbers, pool.keys_of(*everything))


def tolerated(pool: Pool, parameters: Mapping[str, Any]) -> Finding:
    """Test in every setting that was swept whether `level` of `parameter` keeps the final loss in the ideal band.

    A setting is a section with an optimizer; see `tolerance`. A part holds if `level` and every milder one is inside;
    it is undecided where resampled seeds say both. Parameters: parameter, level.
    """
    parameter, level = str(parameters["parameter"]), float(parameters["level"])
    parts, numbers, notes = [], {}, []
    for found in tolerances(pool.final):
        if found.parameter != parameter:
            continue
        sizes = pool.final.loc[pool.final["group"] == found.group, "parameters"]
        where = ", ".join(filter(None, [found.group, found.beside]))
        what = f"{found.optimizer}, N = {quantities.count(float(sizes.max()))} ({where})"
        if found.note or level not in set(found.levels["level"]):
            notes.append(f"{what}: {found.note or 'this level was not swept'}")
            continue
        order = mildest_first(parameter, found.levels["level"].to_numpy(float)).tolist()
        reached = [
            _place(order, value) >= order.index(level)
            for value in (found.low, found.worst_inside, found.high)
        ]
        worst = "none" if np.isnan(found.worst_inside) else quantities.level(found.worst_inside)
        text = f"inside to {worst} ({found.seeds} seeds)"
        parts.append(Part(what, reached[1], text, len(set(reached)) == 1))
        numbers[f"{what} worst inside"] = found.worst_inside
    missing = "; ".join(notes) if notes else "" if parts else f"{parameter} was not swept"
    rule = f"at {parameter} = {quantities.level(level)} the median paired excess of the final loss is in the ideal band"
    return Finding(tuple(parts), rule, numbers, pool.keys_of(), missing)


# -- values of runs --------------------------------------------------------------------------------------------------


def _compared(
    pool: Pool, first: str, second: str, parameters: Mapping[str, Any], what: str, numbers: dict[str, float]
) -> Part | None:
    table = _values(pool, (first, second), parameters)
    differences = differences_by_seed(
        table, first, second, "value_accuracy" if _upwards(parameters) else "value"
    )
    if not len(differences):
        return None
    found = paired_difference(-differences if _upwards(parameters) else differences)
    medians = [float(table.loc[table["optimizer"] == name, "value"].median()) for name in (first, second)]
    numbers |= {
        f"{name} {parameters['value']}": median for name, median in zip((first, second), medians, strict=True)
    }
    sign = -1 if _upwards(parameters) else 1
    low, high = sorted((sign * found.low, sign * found.high))
    text = (
        f"{quantities.significant(medians[0])} against {quantities.significant(medians[1])}, "
        f"difference {quantities.significant(sign * found.value)} {quantities.interval(low, high)}, {_p(found)}"
    )
    iterations = table.loc[table["status"] == "ok", "iterations"].astype(float).max()
    numbers["iterations"] = float(iterations)
    text = f"{text}, {quantities.count(iterations)} iterations"
    holds = found.p_lower <= LEVEL
    return Part(what, holds, text, holds or found.p_higher <= LEVEL)


def _upwards(parameters: Mapping[str, Any]) -> bool:
    return str(parameters["value"]).endswith("accuracy")


def _values(pool: Pool, optimizers: Sequence[str], parameters: Mapping[str, Any]) -> pd.DataFrame:
    """Return optimizer, seed, status and `value` (twice: `value_accuracy` too) of the runs of `optimizers`."""
    final = pool.final
    runs = final[final["optimizer"].isin(optimizers) & final["sweep_parameter"].isna()]
    kind = str(parameters["value"])
    if kind.startswith("final_"):
        values = runs[kind].astype(float)
    else:
        curves = {
            str(key): run.sort_values("iteration") for key, run in pool.curves.groupby("key", sort=False)
        }
        until = {name: _until(runs, curves, optimizers, name, parameters) for name in optimizers}
        values = pd.Series(
            [
                _run_value(
                    curves.get(row.key), until[row.optimizer], kind, str(parameters.get("clock", "iteration"))
                )
                for row in each(runs)
            ],
            index=runs.index,
            dtype=float,
        )
    return runs.assign(value=values, value_accuracy=values)


def _until(
    runs: pd.DataFrame,
    curves: Mapping[str, pd.DataFrame],
    optimizers: Sequence[str],
    name: str,
    parameters: Mapping[str, Any],
) -> float:
    """Return the clock up to which `name` is judged: a share of the shortest of the median whole runs."""
    clock = str(parameters.get("clock", "iteration"))
    if parameters["value"] == "mean-loss":
        return float("inf")
    ends = []
    for optimizer in optimizers:
        keys = runs.loc[(runs["optimizer"] == optimizer) & (runs["status"] == "ok"), "key"]
        last = [float(curves[key][clock].iloc[-1]) for key in keys if key in curves]
        ends.append(float(np.median(last)) if last else float("inf"))
    return float(parameters["share"]) * min(ends)


def _run_value(curve: pd.DataFrame | None, until: float, kind: str, clock: str) -> float:
    if curve is None:
        return float("nan")
    smooth = _smooth(curve)
    passed = pd.Series(curve[clock].to_numpy(float), index=curve["iteration"].to_numpy())
    reached = smooth[passed.reindex(smooth.index) <= until]
    if reached.empty:
        return float("nan")
    return float(reached.mean()) if kind == "mean-loss" else float(reached.iloc[-1])


def _smooth(curve: pd.DataFrame) -> pd.Series:
    """Return the moving average of the mini-batch loss by iteration; the window is in the module's description."""
    known = curve[np.isfinite(curve["loss"].astype(float))].sort_values("iteration")
    window = max(1, min(PAPER_WINDOW, len(known) // _SHORTEST_SHARE))
    return pd.Series(
        moving_average(known["loss"].to_numpy(float), window), index=known["iteration"].to_numpy()
    )


def _smoothed_by_seed(pool: Pool, optimizer: str) -> dict[object, pd.Series]:
    final = pool.final
    runs = final[
        (final["optimizer"] == optimizer) & final["sweep_parameter"].isna() & (final["status"] == "ok")
    ]
    curves = dict(list(pool.curves[pool.curves["key"].isin(runs["key"])].groupby("key", sort=False)))
    return {row.seed: _smooth(curves[row.key]) for row in each(runs) if row.key in curves}


def _distances(pool: Pool, first: str, second: str, *, by_seed: bool = False) -> Any:
    """Return per seed the mean over iterations of |log(first/second)| of the smoothed losses."""
    left, right = _smoothed_by_seed(pool, first), _smoothed_by_seed(pool, second)
    found = {
        seed: float((left[seed] / right[seed]).map(np.log).abs().mean()) for seed in left if seed in right
    }
    series = pd.Series(found, dtype=float).sort_index()
    return series if by_seed else series.to_numpy(float)


def _log_ratios(pool: Pool, first: str, second: str, parameters: Mapping[str, Any]) -> Any:
    """Return per seed the log ratio of the values of `first` and `second`."""
    table = _values(pool, (first, second), parameters)
    wide = table[table["status"] == "ok"].pivot_table(
        index="seed", columns="optimizer", values="value", aggfunc="first"
    )
    if not {first, second} <= set(wide.columns):
        return np.array([])
    return np.log((wide[first] / wide[second]).dropna().to_numpy(float))


def _rule(parameters: Mapping[str, Any]) -> str:
    share = quantities.percent(float(parameters.get("share", 1.0)))
    kinds = {
        "early-loss": f"the smoothed loss after {share} of the shorter run",
        "mean-loss": "the mean of the smoothed loss over the run",
        "final_test_accuracy": "the last test accuracy",
        "final_loss": "the last training loss",
    }
    value = kinds[str(parameters["value"])]
    clock = {"modelled_s": " in seconds", "iteration": " in iterations"}.get(
        str(parameters.get("clock", "")), ""
    )
    return f"{value}{clock} is better on paired seeds, exact one-sided signed-rank p ≤ 5 %"


def _p(found: PairedDifference) -> str:
    return f"p = {min(found.p_lower, found.p_higher):.3f} on {found.seeds} seeds"


def _place(order: Sequence[float], level: float) -> int:
    """Return the place of a tolerated level among `order`; −1 where none is tolerated."""
    return -1 if np.isnan(level) else list(order).index(level)


TESTS: Mapping[str, Test] = {
    "better": better,
    "any-better": any_better,
    "time-ratio": time_ratio,
    "close": close,
    "closer": closer,
    "memory": memory,
    "tolerated": tolerated,
}
