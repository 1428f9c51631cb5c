"""Drawing of maps: cells by winner and how sure it is, hatches, frames, names and the legend."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from tngd_bench.analysis.arrays import Mask
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.map.cost_map import CheapestMap
from tngd_bench.report.document import scales
from tngd_bench.report.document.charting import Look
from tngd_bench.report.document.palette import INK, MUTED, PAPER, Mark
from tngd_bench.studies.store import columns as c

_UNDECIDED = 0.4
NOT_CONFIRMED, UNSTATED = "lead not confirmed", "at best: times not stated"
_POINT: Look = {"linestyle": "", "marker": "o", "markersize": 4, "label": "measured sizes"}
_POINT |= {"markerfacecolor": PAPER.light, "markeredgecolor": INK.light}
_DOTS = "..."
Standing = Literal["sure", "faint", "open"]
"""Of a cell's winner: its lead is confirmed, or is not, or is by a lower bound of its time."""

AT_BEST = (
    "Where dotted, the device is the cheapest at best: its time is known from below only, and nobody is the cheapest "
    "for certain."
)


@dataclass(frozen=True)
class Map:
    """A map with its file name, heading and note on how to read it."""

    found: CheapestMap
    name: str
    heading: str
    note: str


def draw_cells(axes: Axes, found: CheapestMap, styles: Mapping[str, Mark], labels: Infos | None) -> None:
    """Colour every cell vouched for by who is the cheapest there, with the names of optimizers where given."""
    plane = found.plane
    x, y = _edges(plane.sizes), _edges(plane.values)
    for (place, standing), boxes in _boxes(found).items():
        corners = [
            [(x[left], y[row]), (x[right], y[row]), (x[right], y[row + 1]), (x[left], y[row + 1])]
            for row, left, right in boxes
        ]
        colour = styles[found.labels[place]].colour.light
        look: Look = {
            "hatch": _DOTS if standing == "open" else None,
            "alpha": 1.0 if standing == "sure" else _UNDECIDED,
        }
        plain: Look = {"edgecolors": PAPER.light, "linewidths": 0.0, "antialiased": False}
        axes.add_collection(PolyCollection(corners, facecolors=colour, **look, **plain))
    _hatch_unmeasured(axes, found, x, y)
    _points(axes, found)
    if labels is not None:
        _names(axes, found, labels)
    scales.axis(axes, "x", scales.AXES[c.PARAMETERS], scales.log_counts)
    scales.axis(axes, "y", scales.AXES[plane.axis], scales.log_counts)
    axes.grid(visible=False)


def shown_cells(maps: Sequence[CheapestMap]) -> tuple[list[int], list[int]]:
    """Return the rows and columns of a plane in which some map vouches for a winner; all where none does."""
    shown = np.any([found.vouched & (found.winner >= 0) for found in maps], axis=0)
    rows, columns = (np.flatnonzero(shown.any(axis=axis) | ~shown.any()).tolist() for axis in (1, 0))
    return rows, columns


def limit_axes(axes: Axes, maps: Sequence[CheapestMap]) -> None:
    """Limit the axes to what is vouched for on some map, and a blank cell around it."""
    plane = maps[0].plane
    rows, columns = shown_cells(maps)
    for values, cells, limit in ((plane.sizes, columns, axes.set_xlim), (plane.values, rows, axes.set_ylim)):
        edges = _edges(values)
        limit(edges[max(cells[0] - 1, 0)], edges[min(cells[-1] + 2, len(edges) - 1)])


def _boxes(found: CheapestMap) -> dict[tuple[int, Standing], list[tuple[int, int, int]]]:
    """Return runs of equal cells, (row, first column, one past the last), by winner and its standing."""
    boxes: dict[tuple[int, Standing], list[tuple[int, int, int]]] = {}
    winners = np.where(found.vouched, found.winner, -1).tolist()
    standings = np.where(found.open, "open", np.where(found.confirmed, "sure", "faint")).tolist()
    for row, cells in enumerate(zip(winners, standings, strict=True)):
        column = 0
        for cell, run in groupby(zip(*cells, strict=True)):
            length = len(list(run))
            if cell[0] >= 0:
                boxes.setdefault(cell, []).append((row, column, column + length))
            column += length
    return boxes


def _edges(values: Sequence[int]) -> list[float]:
    logs = np.log(np.array(values, dtype=float))
    middle = (logs[1:] + logs[:-1]) / 2
    first, last = 2 * logs[0] - middle[0], 2 * logs[-1] - middle[-1]
    return [float(value) for value in np.exp([first, *middle, last])]


def _hatch_unmeasured(axes: Axes, found: CheapestMap, x: list[float], y: list[float]) -> None:
    """Hatch what is shown beyond the measured sizes, and frame what is not."""
    near = found.plane.measured
    plain = near | ~found.vouched | (found.winner < 0)
    row = 0
    for cells, rows in groupby(plain.tolist()):  # rows alike are one box, so that a hatch has no seams
        over = row + len(list(rows))
        column = 0
        for close, run in groupby(cells):
            end = column + len(list(run))
            if not close:
                box = Rectangle((x[column], y[row]), x[end] - x[column], y[over] - y[row])
                box.set(facecolor="none", edgecolor=PAPER.light, hatch="///", linewidth=0.0)
                axes.add_patch(box)
            column = end
        row = over
    across, along = _frame(near & found.vouched, x, y)
    if across:
        axes.plot(across, along, color=INK.light, linewidth=0.9, solid_capstyle="projecting")


def _frame(near: Mask, x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    """Return the edges between cells that are near and those that are not, as one broken line."""
    padded = np.pad(near, 1)
    across: list[float] = []
    along: list[float] = []
    for row, column in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        across += [x[column], x[column + 1], np.nan]
        along += [y[row], y[row], np.nan]
    for row, column in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):
        across += [x[column], x[column], np.nan]
        along += [y[row], y[row + 1], np.nan]
    return across, along


def _points(axes: Axes, found: CheapestMap) -> None:
    plane = found.plane
    points = plane.points
    fixed = c.OUTPUTS if plane.axis == c.BATCH_SIZE else c.BATCH_SIZE
    shown = points[points[fixed] == plane.fixed].drop_duplicates([c.PARAMETERS, plane.axis])
    x, y = shown[c.PARAMETERS].to_numpy(float), shown[plane.axis].to_numpy(float)
    axes.plot(x, y, **_POINT, markeredgewidth=0.9)


def _names(axes: Axes, found: CheapestMap, infos: Infos) -> None:
    """Write each optimizer's name into the middle of the largest run of cells that it wins."""
    plane = found.plane
    for place, label in enumerate(found.labels):
        runs = [
            (right - left, row, left, right)
            for (winner, _), boxes in _boxes(found).items()
            if winner == place
            for row, left, right in boxes
        ]
        if not runs or ((found.winner == place) & found.vouched).sum() < 8:
            continue
        longest = max(run[0] for run in runs)
        if longest < 5:
            continue
        wide = sorted(run for run in runs if run[0] >= longest - 1)
        _, row, left, right = wide[len(wide) // 2]
        x, y = float(np.sqrt(plane.sizes[left] * plane.sizes[right - 1])), plane.values[row]
        name = infos[label].title + (" at best" if label in found.bounds else "")
        box = {"facecolor": PAPER.light, "edgecolor": "none", "pad": 1.5, "boxstyle": "round,pad=0.2"}
        axes.text(x, y, name, ha="center", va="center", fontsize=8, bbox=box)


def add_rows_axis(axes: Axes, found: CheapestMap) -> None:
    """Put m = b·d_z on the right."""

    def scaled(factor: float) -> Callable[[ArrayLike], ArrayLike]:
        return lambda value: np.asarray(value, dtype=float) * factor

    fixed = float(found.plane.fixed)
    margin = cast(Axes, axes.secondary_yaxis("right", functions=(scaled(fixed), scaled(1.0 / fixed))))
    scales.log_counts(margin, "y")
    low, high = axes.get_ylim()
    margin.set_ylim(low * fixed, high * fixed)
    held = "d_z" if found.plane.axis == c.BATCH_SIZE else "b"
    margin.set_ylabel(f"m = b·d_z ({held} = {found.plane.fixed})")


def draw_legend(
    figure: Figure, maps: Sequence[CheapestMap], infos: Infos, styles: Mapping[str, Mark]
) -> None:
    """Put the legend of maps below the figure: who wins somewhere, and what the shading means."""
    places = ((found, place) for found in maps for place in set(found.winner[found.vouched].tolist()))
    won = {found.labels[place] for found, place in places if place >= 0}
    shown = [label for label in infos if label in won]
    handles: list[Patch | Line2D] = [
        Patch(facecolor=styles[label].colour.light, label=infos[label].title) for label in shown
    ]
    hatched: Look = {"facecolor": MUTED.light, "edgecolor": PAPER.light}
    handles.append(Patch(facecolor=MUTED.light, alpha=_UNDECIDED, label=NOT_CONFIRMED))
    if any(found.open.any() for found in maps):
        handles.append(Patch(**hatched, alpha=_UNDECIDED, hatch=_DOTS, label=UNSTATED))
    if any((~found.plane.measured & found.vouched & (found.winner >= 0)).any() for found in maps):
        handles.append(Patch(**hatched, hatch="///", label="modelled only"))
    handles.append(Line2D([], [], **_POINT))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, handlelength=1.6)
