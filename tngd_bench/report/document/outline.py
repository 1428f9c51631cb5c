"""The contents of the page: sections in reading order, with their charts, tables and words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from tngd_bench.analysis.findings.answer import Answer, answer
from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.findings.paragraphs import Paragraph
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import final_scores
from tngd_bench.report import assumptions, study_tables, torch_classes
from tngd_bench.report.claims.verdicts import JudgedStudies, claims_section, verdict_section
from tngd_bench.report.cost.cost_section import cost_sections
from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.document.section import Section, guarded, missing_words
from tngd_bench.report.document.tables import Table
from tngd_bench.report.front import PICTURES, front
from tngd_bench.report.map.map_section import map_results
from tngd_bench.report.training.training_section import training_sections
from tngd_bench.report.tuning import tuning_charts
from tngd_bench.studies.store import code_parts
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records
from tngd_bench.studies.tuning.results import is_search

Item = TypeVar("Item", Chart, Table)


@dataclass(frozen=True)
class Contents:
    """The page: its answer, the `sections` shown open in reading order, and those of the folded `appendix`.

    `revisions` says that several revisions of the code ran; `missing` are the parts that could not be made or drawn.
    """

    answer: Answer
    sections: tuple[Section, ...] = ()
    appendix: tuple[Section, ...] = ()
    revisions: str = ""
    missing: tuple[MissingFigure, ...] = ()

    @property
    def every(self) -> tuple[Section, ...]:
        """The sections and those of the appendix."""
        return (*self.sections, *self.appendix)

    @property
    def pictures(self) -> tuple[Chart, ...]:
        """The charts beside the answer."""
        return next((section.charts for section in self.sections if section.anchor == PICTURES), ())

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """Warnings to read before the answer: a term and a sentence each."""
        told = (("Revisions", self.revisions), ("Missing", missing_words(self.missing)))
        return tuple((term, words) for term, words in told if words)

    def as_written(self, every: Sequence[Section], undrawn: Sequence[MissingFigure]) -> Self:
        """Return the contents with `every` section as its files were written, without the figures `undrawn`."""
        shown, folded = tuple(every[: len(self.sections)]), tuple(every[len(self.sections) :])
        return replace(self, sections=shown, appendix=folded, missing=(*self.missing, *undrawn))

    def first_screen(self) -> tuple[tuple[str, str], ...]:
        """Return warnings and answer as terms with their texts."""
        return (*self.warnings, *self.answer.lines())


def contents(
    source: Records | Results,
    beside: Mapping[str, Records] | None = None,
    begin: Callable[[Sequence[Chart]], None] = lambda charts: None,
) -> Contents:
    """Return everything the page shows, computed from `source`; call it inside `charting.style()`.

    Claims are judged on the studies `beside` too, by their names, each verdict next to that of `source`. `begin` is
    called with the charts of the first sections made, while the rest is still to do; of some the page changes the name.
    """
    results = Results.over(source)
    if is_search(results.study):
        return _search_contents(results)
    others = {name: Results(one) for name, one in (beside or {}).items()}
    claims = JudgedStudies({str(results.study.get("name", "study")): results, **others})
    measured = (
        *guarded("cost", "Cost per iteration", lambda: cost_sections(results)),
        *guarded("convergence", "Convergence", lambda: training_sections(results)),
    )
    begin([chart for section in measured for chart in section.charts if chart.missing is None])
    with claims.judged_beside():
        maps, findings = map_results(results), find(results)
        told = {"what-if": ("What decides", maps.decides), "numbers": ("Cost", findings.cost)}
        told |= {"convergence": ("Convergence", findings.convergence), "noise": ("Noise", findings.noise)}
        sections = (
            maps.map,
            maps.what_if,
            *measured,
            *guarded("claims", "Claims", lambda: [claims_section(claims), verdict_section(claims)]),
            *_background_sections(results),
        )
        sections = tuple(
            replace(section, statements=(told[section.anchor], *section.statements))
            if section.anchor in told and not section.is_empty
            else section
            for section in sections
        )
        # judging is guarded by its sections: where it fails they say so
        found = answer(results, claims.found if any(each.anchor == "verdicts" for each in sections) else ())
    shown = guarded(PICTURES, "In pictures", lambda: front(results, {each.anchor: each for each in sections}))
    every = names_once(tuple(map(captions_once, (*shown, *_appendix(sections, shown)))))
    failed = (*findings.failed, *found.failed)
    return Contents(
        found,
        every[: len(shown)],
        every[len(shown) :],
        code_parts.told(results.trials.get(c.CODE, ())),
        tuple(MissingFigure.because(term, error, "sentence") for term, error in failed),
    )


def _appendix(sections: Sequence[Section], shown: Sequence[Section]) -> Iterator[Section]:
    """Yield what is left of `sections` beside those `shown`, under an anchor of its own where one is shown."""
    anchors = {section.anchor for section in shown}
    for section in sections:
        left = section.less(shown)
        if section.anchor in anchors:
            anchor, title = f"{left.anchor}-more", f"{left.title}: more"
            left = replace(left, anchor=anchor, title=title, prose="", explorer=None)
        if not left.is_empty:
            yield left


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
        again = f"Reads as “{told}”."
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
    def own(item: Item) -> Item:
        tries = (item.name, *(f"{item.name}-{number}" for number in range(2, len(taken) + 3)))
        name = next(one for one in tries if one not in taken)
        taken.add(name)
        return item if name == item.name else replace(item, name=name)

    charts = tuple(map(own, section.charts))
    tables = tuple(own(table) if table.rows else table for table in section.tables)
    return replace(section, charts=charts, tables=tables)


def _search_contents(results: Results) -> Contents:
    """Return the page of a search for settings: its tries are judged on held-out data and are no comparison."""
    search = guarded("tuning", "Tries", lambda: [tuning_charts.tuning_section(results.records)])
    told = Answer(
        tuning_charts.searched(results.records),
        paragraphs=(Paragraph("Measure next", "A study with these settings and seeds of its own."),),
    )
    return Contents(
        told, search, _background_sections(results), code_parts.told(results.trials.get(c.CODE, ()))
    )


def _background_sections(results: Results) -> tuple[Section, ...]:
    made = {_STUDY: _study, _UNFINISHED: _unfinished, _ASSUMPTIONS: _assumptions, _REPRODUCE: _reproduce}
    return tuple(
        section
        for (anchor, title), make in made.items()
        for section in guarded(anchor, title, lambda make=make: [make(results)])  # type: ignore[misc]
    )


_STUDY = ("study-itself", "What was compared")
_UNFINISHED = ("unfinished", "Skipped, diverged, failed")
_ASSUMPTIONS = ("assumptions", "What the numbers rest on")
_REPRODUCE = ("reproduce", "Reproduce it")


def _study(results: Results) -> Section:
    description = " ".join(str(results.study.get("description", "")).split())
    return Section(*_STUDY, prose=description, points=(study_tables.compared(results),))


def _unfinished(results: Results) -> Section:
    unfinished = study_tables.unfinished_table(final_scores.unfinished(results.trials), results.infos)
    left_out = "Files of the store that were left out."
    ignored = study_tables.pairs_table("ignored-files", left_out, results.records.ignored)
    return Section(*_UNFINISHED, tables=(unfinished, ignored))


def _assumptions(results: Results) -> Section:
    study, trials, infos = results.study, results.trials, results.infos
    tables = (
        assumptions.device_table(study, trials),
        *tuning_charts.tuned_tables(study, infos),
        study_tables.settings_table(trials, infos),
        study_tables.defaults_table(infos),
        torch_classes.routing_table(trials, infos),
        torch_classes.first_steps_table(results),
    )
    return Section(
        *_ASSUMPTIONS,
        statements=(
            *assumptions.statements(study, results.environment),
            *assumptions.caveats_of_families(infos),
            *assumptions.extrapolated(trials, infos),
            *assumptions.not_made(trials, infos),
            *torch_classes.statements(infos),
            *assumptions.choices(study),
        ),
        tables=tuple(table for table in tables if table is not None),
    )


def _reproduce(results: Results) -> Section:
    told = ("title", "description", "choices", "devices")
    shown = {name: value for name, value in results.study.items() if name not in told}
    return Section(
        *_REPRODUCE,
        prose="This command, with the same version, runs the study again; times depend on the machine below.",
        command=str(results.study.get("command", "not recorded")),
        tables=(
            study_tables.pairs_table("environment", "The environment of the run.", results.environment),
            study_tables.pairs_table("study", "The study with every default filled in.", shown),
        ),
    )
