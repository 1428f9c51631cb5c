"""Maps of the lowest time to a target over the planes of the cost maps, where convergence was measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Set
from dataclasses import replace

import pandas as pd

from tngd_bench.analysis import quantities, target_map, time_to_target
from tngd_bench.analysis.calibration import Calibrations
from tngd_bench.analysis.cost_map import CheapestMap, plane
from tngd_bench.analysis.families import Kind
from tngd_bench.report import map_charts
from tngd_bench.report.drawing import Chart
from tngd_bench.report.marks import Mark
from tngd_bench.studies.records import Records

NOT_MEASURED = "Time to a target over the plane: not measured; "


def target_maps(
    records: Records,
    calibrations: Calibrations,
    summary: pd.DataFrame,
    known: Mapping[str, Kind],
    drawn: Mapping[str, Mark],
) -> tuple[tuple[Chart, ...], str]:
    """Return the maps over (N, b) and (N, d_z), and a sentence on what they rest on or why there are none."""
    targets = time_to_target.study_targets(records.study)
    hits = time_to_target.hit_times(records.trials, records.curves, targets)
    candidates = target_map.trained(records.trials, hits, calibrations.counts.problem)
    if not candidates:
        reason = (
            "no training without a sweep was run towards a target."
            if hits.empty
            else "no target was reached by a median seed."
        )
        return (), NOT_MEASURED + reason
    every = target_map.with_first_order(calibrations, summary, records.trials, known)
    for found in candidates:
        charts, lowest = _charts(found, every, known, drawn)
        if lowest is not None:
            return charts, _statement(found, lowest, calibrations, known, set(summary["optimizer"]))
    return (), NOT_MEASURED + "no optimizer that reached a target was timed at other sizes."


def _charts(
    found: target_map.Trained, every: Calibrations, known: Mapping[str, Kind], drawn: Mapping[str, Mark]
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
        what = f"lowest time to {found.target}"
        chart = map_charts.map_chart(
            lowest,
            f"map-target-{name}",
            f"{what.capitalize()} over {words}",
            known,
            drawn,
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
        f"Iterations as measured on {found.problem} (circles: {sizes}), held as they are elsewhere, times predicted "
        "seconds per iteration. Hatched: not between these sizes, so that nobody has trained there: predicted. "
        "Faint: there, or where the lead does not hold in 95 % of the draws over seeds and calibration. Full colour: "
        "confirmed."
    )


def _bounds(found: target_map.Trained) -> str:
    unstated = {name: use.not_stated for name, use in found.uses.items() if use.not_stated}
    if not unstated:
        return ""
    items = quantities.items(item for names in unstated.values() for item in names)
    return f" {map_charts.AT_BEST} Not stated: {items}."


def _statement(
    found: target_map.Trained,
    lowest: CheapestMap,
    calibrations: Calibrations,
    known: Mapping[str, Kind],
    timed: Set[str],
) -> str:
    """Return the iterations to the target at each trained size, and who is left out of the map: `timed` or not."""
    missing = [label for label in found.iterations if label not in lowest.labels]
    by_reason = {
        "Not timed, so left out": [known[label].title for label in missing if label not in timed],
        "Timed at its own size and not predicted at others, so left out": [
            known[label].title for label in missing if label in timed
        ],
    }
    left = "".join(f" {reason}: {quantities.listed(names)}." for reason, names in by_reason.items() if names)
    other = (
        ""
        if found.problem == calibrations.counts.problem
        else f" Iterations are those of {found.problem}, seconds those of {calibrations.counts.problem}: all predicted."
    )
    held = target_map.held(found, lowest.labels)
    pieces = []
    for (n, b), part in held.groupby(["parameters", "batch_size"], sort=True):
        rows = part.sort_values("iterations", kind="stable").to_dict("records")
        reached = [row for row in rows if math.isfinite(row["iterations"])]
        counted = [
            f"{', '.join(known[row['optimizer']].title for row in same)} {quantities.count(iterations)}"
            for iterations, same in itertools.groupby(reached, key=lambda row: row["iterations"])
        ]
        missed = [known[row["optimizer"]].title for row in rows if row not in reached]
        counted += [f"not reached in the median by {', '.join(missed)}"] if missed else []
        pieces.append(f"at N = {quantities.count(float(str(n)))}, b = {b}: {'; '.join(counted)}")
    return f"Iterations to {found.target} (median seed) {'. '.join(pieces)}.{left}{other}"
