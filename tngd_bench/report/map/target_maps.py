"""Maps of the lowest time to a target over the planes of the cost maps, where convergence was measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.one_clock import seconds_per_iteration
from tngd_bench.analysis.families import OptimizerInfo
from tngd_bench.analysis.map import target_map
from tngd_bench.analysis.map.cost_map import CheapestMap
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.results import Results
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.palette import Mark
from tngd_bench.report.map import map_charts

NOT_MEASURED = "Time to a target over the plane: not measured; "


def target_maps(
    results: Results, calibrations: Calibrations, styles: Mapping[str, Mark]
) -> tuple[tuple[Chart, ...], str]:
    """Return the maps over (N, b) and (N, d_z), and a sentence on what they rest on or why there are none."""
    problem, infos = calibrations.counts.problem, results.infos
    seconds = seconds_per_iteration(results.trials, results.costs, "digital_s")
    candidates = target_map.trained(results.trials, results.hits, problem, seconds)
    if not candidates:
        return (), NOT_MEASURED + _reason(results.hits, problem)
    every = target_map.with_first_order(calibrations, results)
    for found in candidates:
        timed = target_map.timed_alike(found)
        if not timed.iterations:
            continue
        charts, lowest = _charts(timed, every, infos, styles)
        if lowest is not None:
            return charts, _statement(found, timed, lowest, infos)
    return (), NOT_MEASURED + "no optimizer that reached a target was timed at its settings, size and batch."


def _reason(hits: pd.DataFrame, problem: str) -> str:
    """Return why there is no target on `problem`, the one that was timed over sizes."""
    if hits.empty:
        return "no training without a sweep was run towards a target."
    ran = sorted(set(hits["problem"]))
    if problem not in ran:
        return f"trained was {quantities.listed(ran)}, and timed over sizes {problem}."
    return f"no target was reached by a median seed on {problem}."


def _charts(
    found: target_map.Trained,
    every: Calibrations,
    infos: Mapping[str, OptimizerInfo],
    styles: Mapping[str, Mark],
) -> tuple[tuple[Chart, ...], CheapestMap | None]:
    """Return the maps of one target and the last of them as data; none where nobody who was timed reached it."""
    here = _size_in_the_middle(found)
    charts: list[Chart] = []
    lowest: CheapestMap | None = None
    for axis, fixed, words, name in (
        ("batch_size", here["outputs"], "N and b", "batch"),
        ("outputs", here["batch_size"], "N and d_z", "outputs"),
    ):
        lowest = target_map.lowest(plane(every, axis, fixed), found)  # type: ignore[arg-type]  # the two names
        if lowest is None:
            return (), None
        if not lowest.vouched.any():
            continue
        what = f"lowest time to {found.target}"
        chart = map_charts.map_chart(
            lowest,
            f"map-target-{name}",
            f"{what[:1].upper()}{what[1:]} over {words}",
            infos,
            styles,
            note=_note(found) + _bounds(found)
            if not charts
            else "Predicted; hatched, faint and circles as in the map before.",
            what=what,
        )
        charts.append(replace(chart, data=chart.data.assign(target=found.target)))
    return tuple(charts), lowest


def _size_in_the_middle(found: target_map.Trained) -> dict[str, int]:
    row = found.sizes.iloc[(len(found.sizes) - 1) // 2]
    return {str(name): int(value) for name, value in row.items()}


def _note(found: target_map.Trained) -> str:
    sizes = "; ".join(
        f"N = {quantities.count(size['parameters'])}, b = {size['batch_size']}, d_z = {size['outputs']}"
        for size in found.sizes.to_dict("records")
    )
    return (
        f"Iterations as measured on {found.problem} (circles: {sizes}), held as they are elsewhere, times seconds per "
        "iteration: at the circles as timed with the same settings, elsewhere predicted from there. Hatched: not "
        "between these sizes, so that nobody has trained there: predicted. Faint: there, or where the lead does not "
        "hold in 95 % of the draws over seeds and calibration. Full colour: confirmed. Blank: not vouched for within a "
        "factor of 1.5."
    )


def _bounds(found: target_map.Trained) -> str:
    unstated = {name: use.not_stated for name, use in found.uses.items() if use.not_stated}
    if not unstated:
        return ""
    items = quantities.items(item for names in unstated.values() for item in names)
    return f" {map_charts.AT_BEST} Not stated: {items}."


def _statement(
    found: target_map.Trained,
    timed: target_map.Trained,
    lowest: CheapestMap,
    infos: Mapping[str, OptimizerInfo],
) -> str:
    """Return the iterations to the target at each size of the map, and what of `found` is left out of it and why.

    `timed` is the part of `found` with a cost per iteration of its own.
    """
    missing = [label for label in found.iterations if label not in lowest.labels]
    by_reason = {
        "Not timed at its settings, size and batch, so left out": [
            infos[label].title for label in missing if label not in timed.iterations
        ],
        "Timed at its own size and not predicted at others, so left out": [
            infos[label].title for label in missing if label in timed.iterations
        ],
    }
    left = "".join(f" {reason}: {quantities.listed(names)}." for reason, names in by_reason.items() if names)
    dropped = len(found.sizes) - len(timed.sizes)
    other = f" Trained sizes at which fewer settings were timed, left out: {dropped}." if dropped else ""
    held = target_map.held(timed, lowest.labels)
    pieces = []
    for (n, b), part in held.groupby(["parameters", "batch_size"], sort=True):
        rows = part.sort_values("iterations", kind="stable").to_dict("records")
        reached = [row for row in rows if math.isfinite(row["iterations"])]
        counted = [
            f"{', '.join(infos[row['optimizer']].title for row in same)} {quantities.count(iterations)}"
            for iterations, same in itertools.groupby(reached, key=lambda row: row["iterations"])
        ]
        missed = [infos[row["optimizer"]].title for row in rows if row not in reached]
        counted += [f"not reached in the median by {', '.join(missed)}"] if missed else []
        pieces.append(f"at N = {quantities.count(float(str(n)))}, b = {b}: {'; '.join(counted)}")
    return f"Iterations to {found.target} (median seed) {'. '.join(pieces)}.{left}{other}"
