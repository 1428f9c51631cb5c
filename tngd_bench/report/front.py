"""The front of the page: what is shown open, in the order of a reader's questions. The rest is the appendix's."""

import json
from collections.abc import Mapping
from dataclasses import replace

from tngd_bench.analysis.findings.convergence import main_training
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.final_scores import leading
from tngd_bench.problems.metrics import TRAINING_LOSS
from tngd_bench.report.document import slugs
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Section
from tngd_bench.report.study_tables import untuned
from tngd_bench.report.training.training_section import targets_table
from tngd_bench.studies.store import columns as c

PICTURES = "pictures"
"""The anchor of the section beside the answer."""
_MAPS = 2
"""Maps shown open: the study's device over N and b, of exact solvers and of all."""
_SYMBOLS = "N: parameters; b: batch size; d_z: outputs; m = b·d_z: rows."
_MEMORY = (
    "A device keeps the state of its capacitors from one step to the next, so that a short relaxation goes on from the "
    "last direction. SPRING, a digital natural gradient, keeps its last direction in the same way."
)


def front(results: Results, made: Mapping[str, Section]) -> tuple[Section, ...]:
    """Return the sections shown open; `made` are all sections of the study by their anchors.

    Call it inside `charting.style()`. Sections without data are left out.
    """
    nothing = Section("", "")
    what_if, maps = made.get("what-if", nothing), made.get("map", nothing)
    energy = tuple(chart for chart in what_if.charts if chart.name.startswith("energy"))
    joules = () if energy else tuple(table for table in what_if.tables if table.name == "energy")
    sections = (
        Section(PICTURES, "In pictures", charts=charts_of(PICTURES, results)),
        replace(
            what_if,
            title="Your device, your model",
            prose=f"{what_if.prose} {_SYMBOLS}" if what_if.prose else "",
            charts=(),
            tables=(),
            points=(),
        ),
        Section("tolerance", "How good must the chip be?", charts=charts_of("tolerance", results)),
        Section("joules", "Energy", charts=energy, tables=joules),
        _learning(results, made.get("convergence", nothing)),
        replace(maps, charts=maps.charts[:_MAPS], tables=(), points=()),
        *([made["claims"]] if "claims" in made else []),
    )
    return tuple(section for section in sections if section.anchor and not section.is_empty)


def _learning(results: Results, convergence: Section) -> Section:
    """Return the curves and the times to targets of the main section; `convergence` has those of all sections."""
    trained = main_training(results)
    if trained is None:
        return Section("", "")
    group, infos = str(trained.part[c.GROUP].iloc[0]), results.infos
    by_name = {chart.name: chart for chart in convergence.charts}
    curves: list[Chart] = []
    for score in (TRAINING_LOSS, leading(trained.part)):  # the loss where the problem has no other metric
        names = (slugs.slug(group, score.column, against) for against in ("iterations", "time"))
        curves = [by_name[name] for name in names if name in by_name] or curves
    times = results.times_to_target
    own = c.only(times, group=group)
    used = c.only(results.trials, group=group)
    used = used[used[c.OPTIMIZER].map(lambda label: infos[label].modelled).astype(bool)]
    carried = any(json.loads(settings).get("start") == "previous" for settings in used[c.SETTINGS])
    table = targets_table(own, infos)
    return Section(
        "learning",
        "Learning",
        prose=_MEMORY if carried else "",
        points=tuple(filter(None, (untuned(results, group), results.about_formats(set(own[c.OPTIMIZER]))))),
        charts=tuple(curves),
        tables=(table if len(own) == len(times) else replace(table, name="time-to-target-here"),),
    )
