"""The maps: which optimizer has the cheapest iteration over (N, b) and (N, d_z), by device and link."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.device_use import DeviceUse
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.map.cost_map import CheapestMap, cheapest
from tngd_bench.report.document import charting, slugs
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import Mark
from tngd_bench.report.document.scales import AXES
from tngd_bench.report.document.tables import span_text
from tngd_bench.report.map import map_drawing
from tngd_bench.report.map.map_drawing import Map
from tngd_bench.report.map.map_view import MapView, device_title, link_uses
from tngd_bench.studies.store import columns as c

NOTE = (
    "Predicted: closed-form operations at rates calibrated on this study's times, plus the device's bill. Full colour: "
    "the lead is confirmed: it has a probability of 95 % and lies between measured sizes of the optimizer that leads. "
    "Faint: not confirmed. Probabilities count the errors of the rates, of the run, and of the distance from measured "
    "sizes. Circles: measured sizes. Blank: the times of the two quickest are not known to within a factor of 1.5 "
    "(probability 90 %), or there is no such model. No memory limit is applied."
)

AS_ABOVE = "Predicted; faint, blank and circles as in the first map."


def _planes(view: MapView) -> Iterator[Map]:
    """Yield the maps of the study's device over both planes, of exact solvers and of all."""
    title, first = device_title(view.use), True
    kinds = {"exact": ("Cheapest exact solver", view.approximate), "all": ("Cheapest solver of all", ())}
    for place, (over, name) in enumerate((("N and b", "batch"), ("N and d_z", c.OUTPUTS))):
        for kind, (heading, without) in kinds.items():
            if kind == "all" and not view.approximate:
                continue
            if cheapest(view.between[place], view.use, without).vouched.any():
                found = cheapest((view.batch, view.outputs)[place], view.use, without)
                note = f"{NOTE}{lower_bounds([view.use])}" if first else AS_ABOVE
                yield Map(found, f"map-{kind}-{name}", f"{heading} over {over} ({title})", note)
                first = False


@figure_of("map", "a map of who is cheapest", cases=_planes)
def plane_map(view: MapView, case: Map) -> Chart:
    """Draw the map of the study's device over one plane."""
    return map_chart(case, view.infos, view.styles)


def map_chart(case: Map, infos: Infos, styles: Mapping[str, Mark], what: str = "cheapest iteration") -> Chart:
    """Return the chart of a map of `what`."""
    found = case.found
    figure, axes = charting.panel(3.9)
    map_drawing.draw_cells(axes, found, styles, labels=infos)
    map_drawing.limit_axes(axes, [found])
    map_drawing.add_rows_axis(axes, found)
    map_drawing.draw_legend(figure, [found], infos, styles)
    words = alt(found, infos, what)
    return Chart(slugs.slug(case.name), case.heading, words, case.note, figure, found.table())


@dataclass(frozen=True)
class Panels:
    """Maps over one plane side by side, each with its heading."""

    name: str
    title: str
    maps: Sequence[tuple[str, CheapestMap]]
    note: str


def _panels(view: MapView) -> Iterator[Panels]:
    """Yield the maps of exact solvers by device, and by link and upload."""
    if view.use is None:
        return
    for name, title, uses in (
        ("map-presets", "Cheapest exact solver, by device", view.devices),
        ("map-links", "Cheapest exact solver, by link and upload", link_uses(view.use)),
    ):
        if any(cheapest(view.between[0], use, view.approximate).vouched.any() for _, use in uses):
            maps = [(heading, cheapest(view.batch, use, view.approximate)) for heading, use in uses]
            yield Panels(name, title, maps, f"{AS_ABOVE}{lower_bounds([use for _, use in uses])}")


@figure_of("map", "maps of who is cheapest, side by side", cases=_panels, place=10)
def panels_map(view: MapView, case: Panels) -> Chart:
    """Draw maps of several devices side by side."""
    infos, styles, maps = view.infos, view.styles, case.maps
    columns = 2
    lines = -(-len(maps) // columns)
    figure, grid = charting.panels(1.75 * lines + 0.9, lines, columns, sharex=True, sharey=True)
    for place, (axes, (heading, found)) in enumerate(zip(grid, maps, strict=False)):
        map_drawing.draw_cells(axes, found, styles, labels=None)
        map_drawing.limit_axes(axes, [each for _, each in maps])
        axes.set_title(heading, fontsize=8.5, loc="left")
        if place + columns < len(maps):
            axes.set_xlabel("")
        if place % columns:
            axes.set_ylabel("")
    for axes in grid[len(maps) :]:
        axes.set_axis_off()
    map_drawing.draw_legend(figure, [found for _, found in maps], infos, styles)
    words = " ".join(f"{heading}: {_shares(found, infos)}." for heading, found in maps)
    frame = pd.concat([found.table().assign(panel=heading) for heading, found in maps], ignore_index=True)
    return Chart(
        slugs.slug(case.name),
        case.title,
        f"{case.title}. Share of the coloured sizes at which each is the cheapest. {words}",
        case.note,
        figure,
        frame,
    )


@figure_of("map", "a map of who reaches a target first", cases=lambda view: view.targets.maps, place=20)
def target_chart(view: MapView, case: Map) -> Chart:
    """Draw the lowest time to a target over one plane."""
    target = view.targets.target
    chart = map_chart(case, view.infos, view.styles, f"lowest time to {target}")
    return replace(chart, data=chart.data.assign(target=target))


def lower_bounds(uses: Sequence[DeviceUse | None]) -> str:
    """Return a sentence on the devices whose bill has items without a stated time, "" where none has."""
    bounded = [use for use in uses if use is not None and use.not_stated]
    unstated = {use.device.name: quantities.items(use.not_stated) for use in bounded}
    named = "; ".join(f"{name} ({items})" for name, items in sorted(unstated.items()))
    return f" {map_drawing.AT_BEST} Not stated: {named}." if named else ""


def _shares(found: CheapestMap, infos: Infos) -> str:
    parts = []
    for label in found.labels:
        won = found.share(label, confirmed=False)
        if won > 0:
            modelled = found.share_modelled(label)
            beyond = f", {quantities.percent(modelled)} modelled only" if modelled > 0 else ""
            sure = quantities.percent(found.share(label))
            parts.append(f"{infos[label].title} {quantities.percent(won)} ({sure} confirmed{beyond})")
        if (at_best := found.share_at_best(label)) > 0:
            parts.append(f"{infos[label].title} {quantities.percent(at_best)} at best")
    return ", ".join(parts) or "none, as no size has times known to within a factor of 1.5"


def alt(found: CheapestMap, infos: Infos, what: str) -> str:
    """Return the finding of a map of `what` in words."""
    plane = found.plane
    rows, columns = map_drawing.shown_cells([found])
    sizes = span_text(plane.sizes[cell] for cell in columns)
    values = span_text(plane.values[cell] for cell in rows)
    shares = f"Share of the coloured sizes at which each is the cheapest: {_shares(found, infos)}."
    return f"Map of the {what} over N = {sizes} and {AXES[plane.axis]} {values}. {shares}"
