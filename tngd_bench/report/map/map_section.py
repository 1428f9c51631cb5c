"""The section on who is cheapest where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.rates import uncounted
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.results import Results
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Section
from tngd_bench.report.map import map_tables
from tngd_bench.report.map.break_even_charts import place_words, shows_a_plane
from tngd_bench.report.map.map_view import DECADES, MapView
from tngd_bench.report.map.what_if_section import TITLE as WHAT_IF
from tngd_bench.report.map.what_if_section import what_if_section
from tngd_bench.studies.store import columns as c

TITLE = "Who is cheapest where"
NOTHING_VOUCHED = (
    "No map over N and b: at no size are the two quickest vouched for within a factor of 1.5. More sizes in the cost "
    "sections of one problem would tell."
)


@dataclass(frozen=True)
class MapResults:
    """The two sections, and what decides in one sentence."""

    map: Section
    what_if: Section
    decides: str


def map_results(results: Results) -> MapResults:
    """Return the map and what-if sections; call it inside `charting.style()`."""
    if results.calibrations is None:
        absent = "No second-order optimizer was timed in this study, so nothing can be predicted."
        decides = "Not measured: no second-order optimizer was timed."
        return MapResults(
            Section("map", TITLE, absent=absent), Section("what-if", WHAT_IF, absent=absent), decides
        )
    view = MapView(results, results.calibrations)
    return MapResults(map_section(view), *what_if_section(view))


def map_section(view: MapView) -> Section:
    """Return the section with the maps, the statements beside them and the tables behind them."""
    main, problem = view.calibrations.main, view.calibrations.counts.problem
    largest = main[c.PARAMETERS]
    sizes = (largest, *(size for size in DECADES if size > 2 * largest))
    crossovers = [crossing for size in sizes for crossing in view.crossovers(size)]
    device = str(view.calibrations.device_label)
    return Section(
        "map",
        TITLE,
        prose=f"Over sizes nobody ran: which second-order optimizer has the shortest iteration, at b = "
        f"{main[c.BATCH_SIZE]} or d_z = {main[c.OUTPUTS]} held fixed. “Exact” maps leave out "
        f"K-FAC, which solves an approximate system. Models: the family of {problem}.",
        points=tuple(_points(view)),
        charts=charts_of("map", view),
        tables=(
            *([map_tables.crossover_table(crossovers, view.infos, device)] if crossovers else []),
            map_tables.calibration_table(view.calibrations, view.infos),
        ),
    )


def _points(view: MapView) -> Iterator[str]:
    yield map_tables.unseen_words(view.calibrations, view.infos)
    if not cheapest(view.batch, view.use, view.kfac).vouched.any():
        yield NOTHING_VOUCHED
    yield from (f"{text}." for text in view.crossover_texts)
    varied = pd.concat([each.points for each in view.calibrations.by_label.values()])
    for name, title in ((c.BATCH_SIZE, "b"), (c.OUTPUTS, "d_z")):
        if varied[name].nunique() == 1:
            yield (
                f"{title} was never varied on {view.calibrations.counts.problem} ({title} = "
                f"{int(varied[name].iloc[0])}): how cost grows with it rests on the counts alone, and boundaries "
                "across it are wide. A cost section with several values on that problem would settle it."
            )
    yield view.targets.words
    names = uncounted(view.results.cost_summary, view.infos)
    if names:
        yield f"Timed, and on no map, since no formula predicts the cost: {quantities.listed(names)}."
    if len(view.reached) and not shows_a_plane(view.reached):
        yield place_words(view.reached, view.infos)
