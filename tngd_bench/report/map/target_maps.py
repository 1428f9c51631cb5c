"""Maps of the lowest time to a target over the planes of the cost maps, where convergence was measured."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.calibration import Calibrations
from tngd_bench.analysis.cost.one_clock import seconds_per_iteration
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.map import target_map
from tngd_bench.analysis.map.cost_map import CheapestMap
from tngd_bench.analysis.map.plane import plane
from tngd_bench.analysis.results import Results
from tngd_bench.report.document.tables import size_and_batch
from tngd_bench.report.map.map_drawing import AT_BEST, Map
from tngd_bench.studies.store import columns as c

NOT_MEASURED = "Time to a target over the plane: not measured; "


@dataclass(frozen=True)
class TargetMaps:
    """The maps of one target with their headings, and a sentence on what they rest on or why there are none."""

    words: str
    maps: tuple[Map, ...] = ()
    target: str = ""


def target_maps(results: Results, calibrations: Calibrations) -> TargetMaps:
    """Return the maps over (N, b) and (N, d_z) of the target that says most and whose optimizers were timed."""
    problem = calibrations.counts.problem
    seconds = seconds_per_iteration(results.trials, results.costs, c.DIGITAL_S)
    candidates = target_map.trained(results.trials, results.hits, problem, seconds)
    first = next(candidates, None)
    if first is None:
        return TargetMaps(NOT_MEASURED + _reason(results.hits, problem))
    every = target_map.with_first_order(calibrations, results)
    for found in itertools.chain([first], candidates):
        timed = target_map.timed_alike(found)
        lowest = _lowest(timed, every) if timed.iterations else ()
        if lowest:
            words = _statement(found, timed, lowest[-1], results.infos)
            return TargetMaps(words, tuple(_maps(timed, lowest)), timed.target)
    return TargetMaps(
        f"{NOT_MEASURED}no optimizer that reached a target was timed at its settings, size and batch."
    )


def _reason(hits: pd.DataFrame, problem: str) -> str:
    """Return why there is no target on `problem`, the one that was timed over sizes."""
    if hits.empty:
        return "no training without a sweep was run towards a target."
    ran = sorted(set(hits[c.PROBLEM]))
    if problem not in ran:
        return f"trained was {quantities.listed(ran)}, and timed over sizes {problem}."
    return f"no target was reached by a median seed on {problem}."


_PLANES = {c.BATCH_SIZE: (c.OUTPUTS, "N and b", "batch"), c.OUTPUTS: (c.BATCH_SIZE, "N and d_z", c.OUTPUTS)}
"""The planes by their axis: what is fixed on them, how they are called, and in file names."""


def _lowest(found: target_map.Trained, every: Calibrations) -> tuple[CheapestMap, ...]:
    """Return the lowest times over both planes; none where no timed optimizer reached the target."""
    middle = found.sizes.iloc[(len(found.sizes) - 1) // 2].astype(int)
    lowest = []
    for axis, (fixed, _, _) in _PLANES.items():
        area = target_map.lowest(plane(every, axis, int(middle[fixed])), found)  # type: ignore[arg-type]  # the two names
        if area is None:
            return ()
        lowest.append(area)
    return tuple(lowest)


def _maps(found: target_map.Trained, lowest: Sequence[CheapestMap]) -> Iterator[Map]:
    """Yield the maps that have a coloured size; the first says how to read them."""
    note = _note(found)
    if items := quantities.items(item for use in found.uses.values() for item in use.not_stated):
        note += f" {AT_BEST} Not stated: {items}."
    for area in lowest:
        if area.vouched.any():
            _, over, name = _PLANES[area.plane.axis]
            yield Map(area, f"map-target-{name}", f"Lowest time to {found.target} over {over}", note)
            note = "Predicted; hatched, faint and circles as in the map before."


def _note(found: target_map.Trained) -> str:
    sizes = "; ".join(map(size_and_batch, found.sizes.to_dict("records")))
    return (
        f"Iterations × seconds per iteration. Iterations are those measured on {found.problem} (circles: {sizes}), "
        "there and elsewhere. Seconds are as timed at the circles with the same settings, and predicted elsewhere. "
        "Hatched: not between these sizes, so that nobody has trained there: predicted. Faint: there, or where the "
        "lead is less than 95 % probable, over seeds and rates. Full colour: confirmed. Blank: times not "
        "known to within a factor of 1.5."
    )


def _statement(
    found: target_map.Trained, timed: target_map.Trained, lowest: CheapestMap, infos: Infos
) -> str:
    """Return the iterations to the target at each size of the map, and what of `found` is left out of it and why.

    `timed` is the part of `found` with a cost per iteration of its own.
    """
    missing = [label for label in found.iterations if label not in lowest.labels]
    left = ""
    for why, is_timed in (
        ("Not timed at its settings, size and batch", False),
        ("Timed at its own size and not predicted at others", True),
    ):
        names = [infos[label].title for label in missing if (label in timed.iterations) is is_timed]
        left += f" {why}, so left out: {quantities.few(names)}." if names else ""
    dropped = len(found.sizes) - len(timed.sizes)
    other = f" Trained sizes at which fewer settings were timed, left out: {dropped}." if dropped else ""
    held = target_map.held(timed, lowest.labels)
    pieces = []
    for (n, b), part in held.groupby([c.PARAMETERS, c.BATCH_SIZE], sort=True):
        rows = part.sort_values("iterations", kind="stable").to_dict("records")
        reached = [row for row in rows if math.isfinite(row["iterations"])]
        counted = [
            f"{', '.join(infos[row[c.OPTIMIZER]].title for row in same)} {quantities.count(iterations)}"
            for iterations, same in itertools.groupby(reached, key=lambda row: row["iterations"])
        ]
        missed = [infos[row[c.OPTIMIZER]].title for row in rows if row not in reached]
        counted += [f"Not reached in the median by {quantities.few(missed)}"] if missed else []
        pieces.append(f"at N = {quantities.count(float(str(n)))}, b = {b}: {'. '.join(counted)}")
    return f"Iterations to {found.target} (median seed) {'. '.join(pieces)}.{left}{other}"
