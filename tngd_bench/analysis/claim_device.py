"""Tests of claims about the device in training: whether it remembers, and which noise it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tngd_bench.analysis import quantities
from tngd_bench.analysis.claim_training import MINIMUM_SEEDS, compared
from tngd_bench.analysis.claims import Finding, Part, Pool, Test
from tngd_bench.analysis.findings import parameter_name
from tngd_bench.analysis.run_values import log_ratios
from tngd_bench.analysis.tolerance import mildest_first, tolerances


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
    parts, missing = [], ""
    smallest = compared(
        pool,
        names["series"][first],
        names["references"][first],
        parameters,
        "advantage at the smallest λ",
        numbers,
    )
    if isinstance(smallest, Part):
        parts.append(smallest)
    else:
        missing = f"advantage at the smallest λ: {smallest}"
    ratios = log_ratios(pool, names["series"][last], names["references"][last], parameters)
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
        ratios = log_ratios(pool, control, reference, parameters)
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
    return Finding(tuple(parts), rule, numbers, pool.keys_of(*everything), missing)


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
        worst = "no level" if np.isnan(found.worst_inside) else quantities.level(found.worst_inside)
        text = f"loss within the ideal device's spread up to {worst} ({found.seeds} seeds)"
        parts.append(Part(what, reached[1], text, len(set(reached)) == 1))
        numbers[f"{what} worst inside"] = found.worst_inside
    missing = "; ".join(notes) if notes else "" if parts else f"{parameter} was not swept"
    rule = (
        f"at {parameter_name(parameter)} = {quantities.level(level)} and below, the final loss exceeds that of the "
        "ideal device on the same seed by no more, in the median, than the ideal device's own spread over seeds"
    )
    return Finding(tuple(parts), rule, numbers, pool.keys_of(), missing)


def _place(order: Sequence[float], level: float) -> int:
    """Return the place of a tolerated level among `order`; −1 where none is tolerated."""
    return -1 if np.isnan(level) else list(order).index(level)


TESTS: Mapping[str, Test] = {"memory": memory, "tolerated": tolerated}
