"""What the page holds and in which order: sections with their charts, tables and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tngd_bench.analysis import findings
from tngd_bench.analysis.cost import iteration_cost
from tngd_bench.analysis.cost.one_clock import on_one_clock
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.training import final_scores, time_to_target
from tngd_bench.report import assumptions, study_summary, study_tables
from tngd_bench.report.claims.verdicts import verdict_section
from tngd_bench.report.cost.cost_section import cost_sections
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.missing_figures import MissingFigure, missing_words, without_missing
from tngd_bench.report.document.palette import marks
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Table
from tngd_bench.report.map.map_section import MapResults, map_results
from tngd_bench.report.training.training_section import training_sections
from tngd_bench.report.tuning import tuning_charts
from tngd_bench.studies.store import code_parts
from tngd_bench.studies.store.records import Records
from tngd_bench.studies.tuning.results import is_search


@dataclass(frozen=True)
class Contents:
    """What was compared, the findings, what decides, the sections in reading order, how many claims hold, and the
    figures that could not be drawn (see `drawn_without`)."""

    compared: str
    findings: findings.Findings
    decides: str
    sections: tuple[Section, ...] = field(default=())
    judged: str = ""
    revisions: str = ""
    missing: tuple[MissingFigure, ...] = ()

    def first_screen(self) -> tuple[tuple[str, str], ...]:
        """Return what the page answers first: a term and a sentence each."""
        terms = ("Compared", "Cost", "Convergence", "Noise", "What decides")
        said = tuple(zip(terms, (self.compared, *self.findings.sentences(), self.decides), strict=True))
        warned = (("Revisions", self.revisions),) if self.revisions else ()
        further = (("Claims", self.judged), ("Missing", missing_words(self.missing)))
        return (*warned, *said, *((term, words) for term, words in further if words))

    def drawn_without(self, undrawn: Mapping[str, MissingFigure]) -> Contents:
        """Return the contents without the charts that failed while they were made, or are `undrawn`, by name."""
        sections, missing = without_missing(self.sections, undrawn)
        return replace(self, sections=sections, missing=missing)

    def charts(self) -> tuple[Chart, ...]:
        """Return all charts in reading order."""
        return tuple(chart for section in self.sections for chart in section.charts)

    def tables(self) -> tuple[Table, ...]:
        """Return all tables that have rows, in reading order."""
        return tuple(table for section in self.sections for table in section.tables if table.rows)


def contents(records: Records, beside: Mapping[str, Records] | None = None) -> Contents:
    """Return everything the page shows, computed from `records`; call it inside `drawing.style()`.

    Claims are judged on the studies `beside` too, by their names, each verdict next to that of `records`. Where claims
    were tested they come first.
    """
    records, beside = (
        _on_one_clock(records),
        {name: _on_one_clock(one) for name, one in (beside or {}).items()},
    )
    if is_search(records.study):
        return _search_contents(records)
    maps = _maps(records)
    claims = verdict_section({str(records.study.get("name", "study")): records, **beside})
    results = (maps.map, maps.what_if, *cost_sections(records), *training_sections(records))
    sections = (
        *((*results, claims) if claims.absent else (claims, *results)),
        *_background_sections(records),
    )
    return Contents(
        study_summary.compared(records.trials, optimizer_infos(records.trials)),
        study_summary.found(records),
        maps.decides,
        names_once(tuple(map(captions_once, sections))),
        "" if claims.absent else claims.points[0],
        code_parts.told(records.trials.get("code", ())),
    )


def _on_one_clock(records: Records) -> Records:
    return replace(records, curves=on_one_clock(records.curves, records.trials, records.costs))


def captions_once(section: Section) -> Section:
    """Return the section with each caption in full once; where it would recur a figure names the first that has it.

    Figures shown beside the claims that they decide keep theirs: they are looked up one by one.
    """
    if section.exhibits:
        return section
    first: dict[str, str] = {}
    charts = []
    for chart in section.charts:
        told = first.setdefault(chart.caption, chart.heading)
        again = f"Reads as “{told}”, above."
        shorter = told != chart.heading and len(again) < len(chart.caption)
        charts.append(replace(chart, caption=again) if shorter else chart)
    return replace(section, charts=tuple(charts))


def names_once(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Return the sections with figures and tables that have file names of their own: a second one gets a number.

    Names of a study such as a-b and a_b give the same one. Figures shown beside claims are named by the claims.
    """
    taken: set[str] = set()
    return tuple(section if section.exhibits else _renamed(section, taken) for section in sections)


def _renamed(section: Section, taken: set[str]) -> Section:
    def own(name: str) -> str:
        tries = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        found = next(one for one in tries if one not in taken)
        taken.add(found)
        return found

    charts = tuple(replace(chart, name=own(chart.name)) for chart in section.charts)
    return replace(
        section,
        charts=charts,
        tables=tuple(
            replace(table, name=own(table.name)) if table.rows else table for table in section.tables
        ),
    )


def _search_contents(records: Records) -> Contents:
    """Return the page of a search for settings: its tries are judged on held-out data and are no comparison."""
    nothing = findings.find(
        records.study, records.trials.iloc[:0], records.costs.iloc[:0], records.curves.iloc[:0]
    )
    sections = (tuning_charts.tuning_section(records), *_background_sections(records))
    return Contents(
        tuning_charts.searched(records),
        nothing,
        "A study with these settings and seeds of its own.",
        sections,
        revisions=code_parts.told(records.trials.get("code", ())),
    )


def _maps(records: Records) -> MapResults:
    known = optimizer_infos(records.trials)
    summary = iteration_cost.summarise(records.costs, records.trials)
    targets = time_to_target.study_targets(records.study)
    times = time_to_target.time_to_target(records.trials, records.curves, targets)
    return map_results(records, summary, times, known, marks(known))


def _background_sections(records: Records) -> tuple[Section, ...]:
    study, trials = records.study, records.trials
    known = optimizer_infos(trials)
    unfinished = study_tables.unfinished_table(final_scores.unfinished(trials), known)
    devices = assumptions.device_table(study, trials)
    ignored = study_tables.pairs_table(
        "ignored-files", "Files of the store that were left out.", records.ignored
    )
    told = ("title", "description", "choices", "devices")
    shown = {name: value for name, value in study.items() if name not in told}
    return (
        Section(
            "unfinished",
            "Skipped, diverged, failed",
            tables=(unfinished, ignored),
            absent="" if unfinished.rows else "Every trial of the study finished.",
        ),
        Section(
            "assumptions",
            "What the numbers rest on",
            statements=(
                *assumptions.statements(study, records.environment),
                *assumptions.extrapolated(trials),
                *assumptions.not_made(trials, known),
                *assumptions.choices(study),
            ),
            tables=tuple(
                table
                for table in (
                    devices,
                    *tuning_charts.tuned_tables(study, known),
                    study_tables.settings_table(trials, known),
                    study_tables.defaults_table(known),
                )
                if table is not None
            ),
        ),
        Section(
            "reproduce",
            "Reproduce it",
            prose="This command, with the same version, runs the study again; times depend on the machine below.",
            command=str(study.get("command", "not recorded")),
            tables=(
                study_tables.pairs_table("environment", "The environment of the run.", records.environment),
                study_tables.pairs_table("study", "The study with every default filled in.", shown),
            ),
        ),
    )
