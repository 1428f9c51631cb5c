"""Tests of claims about the cost of an iteration: exponents, ratios, the best d_z, crossings.

What lies in a range is judged by equivalence: a part holds if the whole 95 % interval lies in the range, is decided
against if all of it lies outside, and is undecided if it reaches across a bound (Schuirmann, J. Pharmacokinet.
Biopharm. 15, 1987, by intervals). Counted operations and bytes have no noise: what their fit leaves over is the
formula's misfit, so that the estimate alone decides.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.claims.types import ClaimPart, Finding, Test
from tngd_bench.analysis.cost import fits
from tngd_bench.analysis.cost.iteration_cost import NEEDED, Ratio, paired_ratio
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.statistics.crossover import crossover
from tngd_bench.studies.store import columns as c

_SIGNS = {c.PARAMETERS: "N", c.BATCH_SIZE: "b", c.OUTPUTS: "d_z", c.ROWS: "m = b·d_z"}
_QUANTITIES = {
    "operations": fits.COUNTED,
    "measured": fits.MEASURED,
    "total": fits.TOTAL,
    "peak memory": fits.MEMORY,
}
_COUNTED = (fits.COUNTED, fits.MEMORY)
_ONE_SIZE = 1.05  # the widths of a model asked for one N let its count differ by so much
_SWEET_SIZES = 4


def exponents(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Hold each fitted exponent against the slope of Table 1's own formula over the sizes measured.

    An optimizer and section is a part. The exponent of time and memory is that over a fixed overhead. Where the sizes
    do not determine that of a time the part is undecided, as an overhead flattens the log-log slope; counts, and memory
    where it is not determined, have that slope. The range is `tolerance` to both sides of the formula's slope (see the
    module for how it is judged). Needs five sizes. Parameters: axis, quantity, tolerance; `start`, the smallest size;
    `optimizers`, all of the table where left out.
    """
    axis, tolerance = str(parameters["axis"]), float(parameters["tolerance"])
    quantity = _QUANTITIES[str(parameters["quantity"])]
    start = float(parameters.get("start", 0))
    costs, trials = (frame[frame[axis] >= start] for frame in (results.costs, results.trials))
    table = fits.scaling_table(
        costs, trials, axis, quantities=(quantity,), optimizers=parameters.get("optimizers")
    )
    table = table[table["paper_here"].notna()]
    parts, keys, few = [], [], []
    numbers: dict[str, float] = {}
    for row in c.each(table):
        what = f"{row.optimizer} ({row.group})"
        if np.isnan(row.log_log):
            few.append(what)
            continue
        # counted operations have no spread; measured ones start with a fixed overhead that the formula lacks
        over = bool(row.exponent_determined) and quantity != fits.COUNTED
        if not over and quantity not in _COUNTED:
            parts.append(ClaimPart(what, False, _undetermined(row, axis), decided=False))
            keys += row.keys
            continue
        fitted = _estimate(row, "exponent" if over else "log_log")
        paper = float(row.paper_here)
        text = f"exponent {quantities.exponent(*fitted)}, formula {paper:.2f}, over {_span(row, axis)}"
        parts.append(_part(what, text, _judged(quantity, *fitted), paper - tolerance, paper + tolerance))
        numbers |= {f"{what} measured": float(fitted[0]), f"{what} Table 1": paper}
        keys += row.keys
    missing = f"fewer than five sizes: {', '.join(few)}" if few else "" if parts else "no exponent was fitted"
    subject = _subject(quantity, "exponent")
    rule = f"{subject} within {tolerance:g} of the slope of Table 1's formula over the same sizes"
    return Finding(tuple(parts), rule, numbers, tuple(dict.fromkeys(keys)), missing)


def _estimate(row: Any, name: str) -> tuple[float, float, float]:
    """Return a fitted number of a row of `scaling_table` and its interval."""
    return getattr(row, name), getattr(row, f"{name}_low"), getattr(row, f"{name}_high")


def _span(row: Any, axis: str) -> str:
    return f"{_SIGNS[axis]} = {quantities.count(row.smallest)} to {quantities.count(row.largest)}"


def _undetermined(row: Any, axis: str) -> str:
    """Return that the exponent over an overhead is open, with the decades of sizes that left it so."""
    decades = quantities.significant(float(np.log10(row.largest / row.smallest)), 2)
    slope = quantities.exponent(*_estimate(row, "log_log"))
    return (
        f"exponent over a fixed overhead not determined by {_span(row, axis)} ({decades} decades; about "
        f"two or more are needed); log-log slope, overhead included, {slope}; formula {row.paper_here:.2f}"
    )


def _judged(quantity: str, value: float, low: float, high: float) -> tuple[float, float]:
    """Return the numbers that must lie in a range: the interval of what was measured, or the count."""
    return (value, value) if quantity in _COUNTED else (low, high)


def _subject(quantity: str, name: str) -> str:
    return f"{name} of the counts" if quantity in _COUNTED else f"whole 95 % interval of the {name}"


def _part(what: str, text: str, interval: tuple[float, float], bottom: float, top: float) -> ClaimPart:
    """Return a part that holds if an interval lies in [bottom, top], decided if all of it lies in or out."""
    low, high = interval
    holds = bool(bottom <= low and high <= top)
    return ClaimPart(what, holds, text, holds or bool(high < bottom or low > top))


def exponent_range(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Hold the log-log slope of each of `optimizers` against the range `low` to `high`; a part each.

    "total" means measured digital + modelled device, which for a digital optimizer is what was measured. See the module
    for how a range is judged. Parameters: optimizers, axis, quantity, low, high.
    """
    low, high = float(parameters["low"]), float(parameters["high"])
    sought = _QUANTITIES[str(parameters["quantity"])]
    table = fits.scaling_table(
        results.costs,
        results.trials,
        str(parameters["axis"]),
        quantities=(sought, fits.MEASURED) if sought == fits.TOTAL else (sought,),
        optimizers=parameters["optimizers"],
    )
    parts, numbers, keys, absent = [], {}, [], []
    for optimizer in parameters["optimizers"]:
        own = table[(table[c.OPTIMIZER] == optimizer) & table["log_log"].notna()]
        total = fits.TOTAL in set(own["quantity"])
        own = c.only(own, quantity=fits.MEASURED if sought == fits.TOTAL and not total else sought)
        if own.empty:
            absent.append(str(optimizer))
            continue
        for row in c.each(own):
            fitted = _estimate(row, "log_log")
            text = f"slope {quantities.exponent(*fitted)}"
            parts.append(_part(str(optimizer), text, _judged(sought, *fitted), low, high))
            numbers[f"{optimizer} slope"] = float(row.log_log)
            keys += row.keys
    missing = f"no slope from five sizes: {', '.join(absent)}" if absent else ""
    rule = f"{_subject(sought, 'log-log slope')} between {quantities.level(low)} and {quantities.level(high)}"
    return Finding(tuple(parts), rule, numbers, tuple(dict.fromkeys(keys)), missing)


def cost_ratio(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Hold the paired ratio of each rival's time (total: measured digital + modelled) to `first`'s against its bounds.

    Judged at the largest N at which both were timed, over iterations that took turns in one process; see the module for
    how a range is judged. Parameters: first, rivals, low, and high (no upper bound where left out).
    """
    first, low = str(parameters["first"]), float(parameters["low"])
    high = float(parameters.get("high", np.inf))
    clean = results.finished_costs
    parts, numbers, absent = [], {}, []
    for rival in parameters["rivals"]:
        own, others = (set(c.only(clean, optimizer=name)[c.PARAMETERS]) for name in (first, rival))
        if not own & others:
            absent.append(f"{rival} ({_why(results.trials, rival)})")
            continue
        largest = max(own & others)
        ratio = paired_ratio(c.only(clean, parameters=largest), rival, first)
        if ratio is None or not ratio.tested:
            absent.append(f"{rival} ({ratio.amount if ratio else 'no paired iterations'}; {NEEDED} needed)")
            continue
        text = f"{ratio.text} at N = {quantities.count(largest)}"
        parts.append(_part(str(rival), text, (ratio.low, ratio.high), low, high))
        numbers[f"{rival} / {first}"] = ratio.value
    bounds = f"at least {low:g}" if np.isinf(high) else f"between {low:g} and {high:g}"
    rule = f"whole 95 % interval of the paired time ratio to {first}, at the largest N at which both run, {bounds}"
    missing = f"not measured beside {first}: {', '.join(absent)}" if absent else ""
    return Finding(tuple(parts), rule, numbers, results.keys_of(first, *parameters["rivals"]), missing)


def sweet_spot(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test whether `first`'s time relative to its best rival is smallest inside the range of `axis`, not at an end.

    At each size the rival is that with the lowest median total. One part: it holds if the best ratio lies at an
    interior size, its interval lies below those of both ends and, with `faster`, below 1; it is decided against if the
    best ratio is at an end whose interval lies below all others or, with `faster`, if its interval lies above 1. That
    one of them is faster at every size is told. Parameters: first, rivals, axis, faster (false where left out).
    """
    first, axis, faster = str(parameters["first"]), str(parameters["axis"]), bool(parameters.get("faster"))
    sign = _SIGNS.get(axis, axis)
    found: dict[float, tuple[str, Ratio]] = {}
    for size, here in results.finished_costs.groupby(axis, sort=True):
        medians = here[here[c.OPTIMIZER].isin(parameters["rivals"])].groupby(c.OPTIMIZER)[c.TOTAL_S].median()
        if medians.empty or first not in set(here[c.OPTIMIZER]):
            continue
        rival = str(medians.sort_values(kind="stable").index[0])
        ratio = paired_ratio(here, first, rival)
        if ratio is not None:
            found[float(str(size))] = (rival, ratio)
    rule = (
        f"the time of {first} over that of its best rival is smallest at an interior {sign}: its "
        f"95 % interval is below those of both ends{' and below 1' if faster else ''}"
    )
    if len(found) < _SWEET_SIZES:
        missing = f"both were timed at {len(found)} sizes of {sign}, {_SWEET_SIZES} needed"
        return Finding((), rule, missing=missing)
    ratios = {size: ratio for size, (_, ratio) in found.items()}
    best = min(ratios, key=lambda size: ratios[size].value)
    ends = (min(ratios), max(ratios))
    at, inside = ratios[best], best not in ends
    holds = inside and all(at.high < ratios[end].low for end in ends) and (at.high < 1 or not faster)
    apart = all(at.high < ratio.low for size, ratio in ratios.items() if size != best)
    against = (not inside and apart) or (faster and at.low > 1)
    least, *outer = (
        f"{ratios[size].text} the time of {found[size][0]} at {_at(axis, size)}" for size in (best, *ends)
    )
    text = f"{least}; at the ends {' and '.join(outer)}" if inside else least
    if all(ratio.low > 1 for ratio in ratios.values()):
        text += f"; slower than its best rival at every {sign} measured"
    elif all(ratio.high < 1 for ratio in ratios.values()):
        text += f"; faster than all of them at every {sign} measured"
    numbers = {f"ratio at {size:g}": ratio.value for size, ratio in ratios.items()} | {"best": best}
    part = ClaimPart(f"least at {_at(axis, best)}", holds, text, holds or against)
    return Finding((part,), rule, numbers, results.keys_of(first, *parameters["rivals"]))


def crossing(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test whether `first` becomes cheaper than `second` above some size of `axis`, inside the range measured.

    It holds if the crossing's whole interval lies in the range. The settings that the records held fixed along the axis
    are said beside it: a crossing is one of them. Parameters: first, second, axis.
    """
    first, second, axis = (str(parameters[name]) for name in ("first", "second", "axis"))
    found = crossover(results.costs, results.trials, first, second, axis)
    sign = _SIGNS.get(axis, axis)
    rule = f"{first} is cheaper than {second} above a size of {sign} whose 95 % interval lies in the range"
    if found.note.startswith("not decided"):
        return Finding((), rule, missing=found.note)
    numbers = {"crossing": found.size, "low": found.low, "high": found.high}
    numbers |= {f"ratio at {size:g}": ratio for size, ratio in zip(found.sizes, found.ratios, strict=True)}
    bounded = found.low > 0 and np.isfinite(found.high)
    if found.note:
        ends = [
            f"{quantities.significant(found.ratios[end])} at {_at(axis, found.sizes[end])}" for end in (0, -1)
        ]
        text, holds, decided = f"{found.note}, ratio {ends[0]} to {ends[1]}", False, True
    else:
        about = f"{quantities.significant(found.size)} {quantities.interval(found.low, found.high)}"
        text, decided = f"cheaper {found.side} {sign} ≈ {about}", bounded
        holds = found.side == "above" and bounded
    part = ClaimPart(first, holds, text + _held_fixed(results, first, second), decided)
    return Finding((part,), rule, numbers, results.keys_of(first, second))


def _held_fixed(results: Results, *optimizers: str) -> str:
    """Return the ranges of N, b and d_z timed of `optimizers`, and the sizes held: "; d_z = 10 to 80 at b = 32"."""
    clean = results.finished_costs
    sizes = clean.loc[clean[c.OPTIMIZER].isin(optimizers), c.SIZE].astype(float)
    fixed, varied = [], []
    for column, values in sizes.items():
        sign, low, high = _SIGNS[str(column)], float(values.min()), float(values.max())
        if high <= _ONE_SIZE * low:
            about = "=" if low == high else "≈"
            fixed.append(f"{sign} {about} {quantities.count(round(float(values.median())))}")
        else:
            varied.append(f"{sign} = {quantities.count(low)} to {quantities.count(high)}")
    return f"; {', '.join(varied)} at {', '.join(fixed)}" if fixed and varied else ""


def _at(axis: str, size: float) -> str:
    return f"{_SIGNS.get(axis, axis)} = {quantities.level(size)}"


def _why(trials: pd.DataFrame, optimizer: str) -> str:
    own = c.only(trials, optimizer=optimizer)
    if own.empty:
        return "not in the study"
    last = own.sort_values(c.PARAMETERS).iloc[-1]
    return f"{last[c.STATUS]}: {last[c.REASON]}" if isinstance(last[c.REASON], str) else str(last[c.STATUS])


TESTS: Mapping[str, Test] = {
    "exponents": exponents,
    "exponent-range": exponent_range,
    "cost-ratio": cost_ratio,
    "sweet-spot": sweet_spot,
    "crossing": crossing,
}
