"""Tests of claims about the device in training: whether it remembers, and which noise it stands."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.claims.training_tests import (
    MINIMUM_SEEDS,
    SIGNED_RANK_SEEDS,
    compared,
    decided_by,
    smaller_p,
)
from tngd_bench.analysis.claims.types import ClaimPart, Finding, Test
from tngd_bench.analysis.cost.products_saved import products_saved
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.analysis.statistics.paired import paired_difference
from tngd_bench.analysis.training.run_metrics import log_ratios
from tngd_bench.analysis.training.tolerance import margin_text, tolerances
from tngd_bench.problems.metrics import TRAINING_LOSS
from tngd_bench.studies.file.optimizer_label import label_texts
from tngd_bench.studies.store import columns as c

_OVER = {c.PARAMETERS: "N", "damping": "λ"}


def memory(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test the explanation by memory: an advantage at the smallest λ, none at the largest, none from the gradient.

    `series`, `references` (exact NGD) and `controls` (start at the gradient) are in order of λ. Three parts: at the
    first λ the series is lower than its reference (as in `better`); at the last λ it is not lower by more than
    `tolerance`; at no λ is the control lower than its reference by more than that. The last two hold where they do on
    every seed and are decided against where (at one λ) no seed has them. Without a test of the advantage there is
    nothing to explain, and nothing is tested. Parameters: series, references, controls, value, tolerance.
    """
    series, references, controls = (parameters[key] for key in ("series", "references", "controls"))
    tolerance = float(parameters["tolerance"])
    rule = (
        "lower than exact NGD at the smallest λ (one-sided p ≤ 5 %); at the largest, and at every λ with a start at "
        f"the gradient, lower by no more than {quantities.percent(tolerance)} in every seed"
    )
    numbers: dict[str, float] = {}
    found = _advantage(results, parameters, numbers)
    if isinstance(found, str):
        return Finding((), rule, missing=found)
    advantage, _, last = found
    parts = [advantage]
    ratios = log_ratios(results, series[last], references[last], parameters)
    if len(ratios) >= MINIMUM_SEEDS:
        numbers["ratio at the largest λ"] = float(np.exp(ratios.median()))
        text = f"loss ratio {np.exp(ratios.median()):.3f} [{np.exp(ratios.min()):.3f}, {np.exp(ratios.max()):.3f}]"
        none, there = _no_advantage(ratios, tolerance)
        parts.append(ClaimPart("no advantage at the largest λ", none, text, none or there))
    controlled = {}
    for control, reference in zip(controls, references, strict=True):
        ratios = log_ratios(results, control, reference, parameters)
        if len(ratios) >= MINIMUM_SEEDS:
            controlled[control] = ratios
            numbers[f"{control} ratio"] = float(np.exp(ratios.median()))
    if controlled:
        judged = [_no_advantage(ratios, tolerance) for ratios in controlled.values()]
        holds = all(none for none, _ in judged)
        smallest = ", ".join(f"{np.exp(ratios.min()):.3f}" for ratios in controlled.values())
        text = f"smallest loss ratio of a seed {smallest}, in order of λ"
        decided = holds or any(there for _, there in judged)
        parts.append(ClaimPart("no advantage from the gradient", holds, text, decided))
    return Finding(tuple(parts), rule, numbers, results.keys_of(*series, *references, *controls))


def fading(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test whether `series` has an advantage over `references` at the smallest λ, and less of one at the largest.

    Both are in order of λ. Two parts: at the first λ the series is lower than its reference (as in `better`); on paired
    seeds its loss ratio to the reference is lower at the first λ than at the last (the same test). Parameters: series,
    references, value.
    """
    series, references = parameters["series"], parameters["references"]
    rule = (
        "lower at the smallest λ, and the loss ratio lower there than at the largest: on paired seeds, exact one-sided "
        "signed-rank test, p ≤ 5 %"
    )
    numbers: dict[str, float] = {}
    found = _advantage(results, parameters, numbers)
    if isinstance(found, str):
        return Finding((), rule, missing=found)
    advantage, *ends = found
    parts, missing = [advantage], ""
    at_ends = [log_ratios(results, series[place], references[place], parameters) for place in ends]
    ratios = pd.concat(at_ends, axis=1, join="inner", keys=["smallest", "largest"])
    if len(ratios) >= SIGNED_RANK_SEEDS:
        medians = {end: float(np.exp(ratios[end].median())) for end in ratios}
        numbers |= {f"ratio at the {end} λ": median for end, median in medians.items()}
        change = paired_difference((ratios["smallest"] - ratios["largest"]).to_numpy(float))
        text = (
            f"loss ratio {medians['smallest']:.4f} at the smallest, {medians['largest']:.4f} at the largest, lower at "
            f"the smallest in {change.lower} of {change.seeds} seeds, {smaller_p(change)}"
        )
        parts.append(decided_by("less of it at the largest λ", text, change))
    else:
        missing = f"less of it at the largest λ: {len(ratios)} paired seeds, {SIGNED_RANK_SEEDS} needed"
    return Finding(tuple(parts), rule, numbers, results.keys_of(*series, *references), missing)


def _advantage(
    results: Results, parameters: Mapping[str, Any], numbers: dict[str, float]
) -> tuple[ClaimPart, int, int] | str:
    """Return whether the series is lower than its reference at the smallest λ, and the places of that and the largest.

    Says why there is nothing to test where fewer than two λ finished with their reference, or seeds are too few.
    """
    series, references = parameters["series"], parameters["references"]
    present = set(results.final.loc[results.final[c.STATUS] == "ok", c.OPTIMIZER])
    places = [i for i, name in enumerate(series) if {name, references[i]} <= present]
    if len(places) < 2:
        return "fewer than two values of λ were run with their reference"
    first, last = places[0], places[-1]
    what = "advantage at the smallest λ"
    part = compared(results, series[first], references[first], parameters, what, numbers)
    return (part, first, last) if isinstance(part, ClaimPart) else f"{what}: {part}"


def _no_advantage(ratios: pd.Series, tolerance: float) -> tuple[bool, bool]:
    """Return whether no seed's loss is lower by more than `tolerance`, and whether every seed's is, from log ratios."""
    lower = ratios < -np.log1p(tolerance)
    return bool(not lower.any()), bool(lower.all())


def tolerated(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test in every setting that was swept whether `level` of `parameter` leaves the final loss as on the ideal device.

    A setting is a section with an optimizer; see `tolerance`. A part holds if `level` and every milder one is inside,
    does not if it is outside, and is undecided in between. What the claim says of any value needs several: for each
    name in `over` ("parameters" is N) of which the settings have one value only, "another" is an undecided part. With
    `outside` the claim is the contrary. Parameters: parameter, level, over, outside.
    """
    parameter, level = str(parameters["parameter"]), float(parameters["level"])
    claimed = "outside" if parameters.get("outside") else "inside"
    parts, numbers, notes = [], {}, []
    values: dict[str, set[str]] = {name: set() for name in parameters.get("over", ())}
    for found in tolerances(results.final):
        if found.parameter != parameter:
            continue
        size = quantities.count(float(found.size))
        where = ", ".join(filter(None, [found.group, found.beside]))
        what = f"{found.optimizer}, N = {size} ({where})"
        if found.note or level not in set(found.levels["level"]):
            notes.append(f"{what}: {found.note or 'this level was not swept'}")
            continue
        row = c.only(found.levels, level=level).iloc[0]
        verdict, p = str(row["verdict"]), min(1.0, 2.0 * float(min(row["p_inside"], row["p_outside"])))
        worst = "no level" if np.isnan(found.worst_inside) else quantities.level(found.worst_inside)
        text = f"loss within the margin of the ideal device's up to {worst} ({found.seeds} seeds)"
        parts.append(ClaimPart(what, verdict == claimed, text, verdict != "undecided", p))
        numbers[f"{what} worst inside"] = found.worst_inside
        own = label_texts(found.optimizer) | {c.PARAMETERS: size}
        for name, seen in values.items():
            seen.add(str(own.get(name, "default")))
    if parts:
        for name, seen in values.items():
            if len(seen) == 1:
                sign = _OVER.get(name, name)
                text = f"nothing is said of it: all settings have {sign} = {', '.join(seen)}"
                parts.append(ClaimPart(f"another {sign}", False, text, decided=False))
    missing = "; ".join(notes) if notes else "" if parts else f"{parameter} was not swept"
    below = "and below" if claimed == "inside" else "and beyond"
    rule = (
        f"at {parameter_name(parameter)} = {quantities.level(level)} {below}, the final loss exceeds that of the "
        f"ideal device on the same seed by {'less' if claimed == 'inside' else 'more'} than "
        f"{margin_text(TRAINING_LOSS)}: on paired seeds, exact one-sided signed-rank test, p ≤ 5 %"
    )
    return Finding(tuple(parts), rule, numbers, results.keys_of(), missing)


def raised_tolerance(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test whether `first` tolerates `factor` times as much of `parameter` as `second`, both swept over it.

    It holds where the harshest level inside (see `tolerance`) of `first` is at least `factor` times the harshest of
    `second` that is not outside: one that is undecided may be tolerated. The contrary is decided where the mildest
    level outside of `first` is no more than `factor` times the harshest inside of `second`. For errors, which are
    milder where smaller. Parameters: first, second, parameter, factor.
    """
    parameter, factor = str(parameters["parameter"]), float(parameters["factor"])
    rule = (
        f"the largest {parameter_name(parameter)} within {margin_text(TRAINING_LOSS)} of the ideal device's final loss "
        f"is at least {factor:g} times that of the other (exact one-sided signed-rank tests, p ≤ 5 %)"
    )
    found = {each.optimizer: each for each in tolerances(results.final) if each.parameter == parameter}
    pair = [found.get(str(parameters[name])) for name in ("first", "second")]
    if pair[0] is None or pair[1] is None:
        return Finding((), rule, missing=f"{parameter} was not swept for both")
    first, second = pair[0], pair[1]
    if first.note or second.note:
        return Finding((), rule, missing=first.note or second.note)
    if np.isnan(second.worst_inside):
        return Finding((), rule, missing=f"{second.optimizer} tolerates no level that was swept")
    stood = float(second.levels.loc[second.levels["verdict"] != "outside", "level"].max())
    least, most = (factor * level * (1.0 - 1e-9) for level in (second.worst_inside, stood))
    holds, contrary = bool(first.worst_inside >= most), bool(first.first_outside <= least)
    inside = [
        quantities.level(each.worst_inside) if each.worst_inside > 0 else "no level" for each in pair if each
    ]
    perhaps = f", perhaps {quantities.level(stood)}" if stood > second.worst_inside else ""
    text = f"up to {inside[0]}, beside {inside[1]}{perhaps} ({first.seeds} seeds)"
    numbers = {"first": first.worst_inside, "second": second.worst_inside}
    part = ClaimPart(f"{first.optimizer} beside {second.optimizer}", holds, text, holds or contrary)
    return Finding((part,), rule, numbers, results.keys_of(first.optimizer, second.optimizer))


def saves_products(results: Results, parameters: Mapping[str, Any]) -> Finding:
    """Test at each size whether conjugate gradients with the device `first` take `share` of the products or fewer.

    Counts, medians over processes: each part is decided. Parameters: first, share.
    """
    first, share = str(parameters["first"]), float(parameters["share"])
    rule = f"products to the same tolerance at most {quantities.percent(share)} of those without a device (counted)"
    parts, keys = [], []
    numbers: dict[str, float] = {}
    for row in c.each(c.only(products_saved(results), optimizer=first)):
        what = f"N = {quantities.count(row.parameters)}"
        taken = f"{row.products:g}" if row.reached else f"more than {row.products:g}"
        holds = bool(row.reached and row.products <= share * row.plain_products)
        parts.append(ClaimPart(what, holds, f"{taken} products, {row.plain_products:g} without a device"))
        numbers[what] = float(row.products / row.plain_products)
        keys += row.keys
    missing = (
        "" if parts else f"{first} was not run beside plain conjugate gradients that reach the tolerance"
    )
    return Finding(tuple(parts), rule, numbers, tuple(dict.fromkeys(keys)), missing)


TESTS: Mapping[str, Test] = {
    "memory": memory,
    "fading": fading,
    "tolerated": tolerated,
    "raised-tolerance": raised_tolerance,
    "products-saved": saves_products,
}
