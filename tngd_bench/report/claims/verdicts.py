"""Claims and verdicts: the paper's figures from our records, beside each the claims it decides; and all as a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.claims.paper_figures import load_figures
from tngd_bench.analysis.claims.types import Verdict, VerdictName
from tngd_bench.analysis.claims.verdicts import judge
from tngd_bench.analysis.families import Infos, named_tuned, titles, tuned_on
from tngd_bench.analysis.optimizer_names import worded
from tngd_bench.analysis.results import Results, pooled
from tngd_bench.analysis.statistics.paired import false_discovery_rate
from tngd_bench.report.claims.paper_charts import PaperFigure
from tngd_bench.report.claims.provenance import measured_on, study_with_profile, training_runs
from tngd_bench.report.document import slugs
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.figures import charts_of
from tngd_bench.report.document.section import Exhibit, JudgedClaim, Section, ShownVerdict
from tngd_bench.report.document.tables import Table, short_keys, text_table
from tngd_bench.report.render.processes import beside
from tngd_bench.studies.store import columns as c

_TRIALS_A_PROCESS = 100
"""Judging fewer takes no longer than starting a process."""
VERDICTS: tuple[VerdictName, ...] = ("confirmed", "conditional", "not confirmed")


class JudgedStudies:
    """Studies side by side, told apart by their names on the page, with the verdicts on what they can decide."""

    def __init__(self, results_by_study: Mapping[str, Results]) -> None:
        """Take the studies."""
        self.results_by_study = results_by_study
        self._judged: Callable[[], tuple[Verdict, ...]] = lambda: judge(self.pool)

    @contextmanager
    def judged_beside(self) -> Iterator[None]:
        """Judge claims on many trials in a process of its own, while this one makes what needs no verdicts."""
        trials = sum(len(results.trials) for results in self.results_by_study.values())
        with beside(self._judged, trials // _TRIALS_A_PROCESS) as self._judged:
            yield

    @cached_property
    def pool(self) -> Results:
        """All studies as one."""
        return pooled(self.results_by_study)

    @cached_property
    def found(self) -> tuple[Verdict, ...]:
        """The verdicts on all claims, those that were not tested too."""
        return self._judged()

    @cached_property
    def infos(self) -> Infos:
        """Every optimizer by its label; tuned ones name the problem of their search where it is one for all."""
        origins = {tuned_on(results.study) for results in self.results_by_study.values()}
        return (
            named_tuned(self.pool.infos, origins.pop())
            if len(origins) == 1 and "" not in origins
            else self.pool.infos
        )

    @cached_property
    def _runs(self) -> pd.DataFrame:
        return training_runs(self.results_by_study)

    def where(self, verdict: Verdict) -> str:
        """Return the problem and size that a verdict was measured on."""
        return measured_on(verdict, self._runs, self.results_by_study)


def claims_section(studies: JudgedStudies) -> Section:
    """Return the section with the verdicts as one table."""
    tested = _tested(studies.found)
    return Section(
        "claims", "Claims", prose=_TABLE_PROSE, tables=(verdict_table(tested, studies.infos, studies.where),)
    )


def verdict_section(studies: JudgedStudies) -> Section:
    """Return the section with every claim beside the figure of the paper that decides it, its test and its history.

    Call it inside `charting.style()`.
    """
    found = studies.found
    shown = [verdict for verdict in found if verdict.finding.parts or verdict.keys]
    charts = {
        figure.id: charts_of("verdicts", PaperFigure(figure, studies.pool)) for figure in load_figures()
    }
    exhibits = _exhibits(shown, charts, studies.infos, studies.where)
    tested = _tested(found)
    return Section(
        "verdicts",
        "Claims one by one, beside the paper's figures",
        prose=_PROSE,
        points=(summary(found, studies.results_by_study), *_untested(found)) if tested else (),
        charts=tuple(chart for exhibit in exhibits for chart in exhibit.charts),
        tables=(changes_table(tested),),
        exhibits=exhibits,
    )


_TABLE_PROSE = (
    "Claims of the paper and of this suite, each judged by a test with a tolerance. A claim leads to its figure, its "
    "numbers one by one, its test and its records."
)
_PROSE = (
    "Claims of the paper and of this suite, each with a test, its tolerance and the day on which it got its present "
    "form. Not all of them were fixed before the run. What was added or changed later, and what was known by then, is "
    "in a table of its own and beside the claim. Beside each figure of the paper, drawn from our records, stand the "
    "claims that it decides."
)


def _tested(found: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in found if verdict.name != "not tested"]


def summary(found: Sequence[Verdict], results_by_study: Mapping[str, Results]) -> str:
    """Return the number of verdicts of each kind on each problem, and of claims not tested.

    Of several studies each problem names its own, with the profile that was run.
    """
    tested = _tested(found)
    untested = len({v.claim.id for v in found} - {v.claim.id for v in tested})
    said = []
    for problem in dict.fromkeys(verdict.problem for verdict in tested):
        own = [verdict.name for verdict in tested if verdict.problem == problem]
        studies = dict.fromkeys(s for v in tested if v.problem == problem for s, _ in v.keys)
        named = "; ".join(study_with_profile(study, results_by_study) for study in studies)
        place = f" ({named})" if named and len(results_by_study) > 1 else ""
        counts = ", ".join(f"{own.count(name)} {name}" for name in VERDICTS)
        said.append(f"{f'On {problem}' if problem else 'Cost'}{place}: {counts}")
    return f"{'. '.join(said) or 'None tested'}. {untested} not tested here.{_false_discoveries(tested)}"


def _false_discoveries(tested: Sequence[Verdict]) -> str:
    """Return the false discovery rate of the parts that tests over seeds decide; "" where there are none.

    A part decided twice, under two claims, counts twice.
    """
    parts = [part for verdict in tested for part in verdict.finding.parts if part.p is not None]
    decided = sum(part.holds or part.decided for part in parts)
    if not decided:
        return ""
    rate = false_discovery_rate(len(parts), decided)
    return (
        f" Tests over seeds decide {decided} of {len(parts)} parts, each at p ≤ 5 % to one side. None is corrected for "
        f"their number: as a set, {quantities.percent(rate)} of them may be decided by chance (false discovery rate)."
    )


def _untested(found: Sequence[Verdict]) -> tuple[str, ...]:
    """Return the claims not tested, by the reason; () where none was tested or none was left."""
    if not _tested(found):
        return ()
    by_reason: dict[str, list[str]] = {}
    for verdict in found:
        if not verdict.finding.parts and not verdict.keys:
            by_reason.setdefault(verdict.finding.missing, []).append(verdict.claim.where)
    return tuple(
        f"Not tested here ({worded(reason, {})}): {'; '.join(dict.fromkeys(places))}."
        for reason, places in by_reason.items()
    )


def _exhibits(
    shown: Sequence[Verdict],
    charts: Mapping[str, Sequence[Chart]],
    infos: Infos,
    where: Callable[[Verdict], str],
) -> tuple[Exhibit, ...]:
    """Return the figures of the paper in its order, each with its charts, by its id, and the claims that it decides."""
    # the claims on figure 3 name the figure, not one of its halves
    figures = {"fig3" if one.id.startswith("fig3") else one.id: one.number for one in load_figures()} | {
        "fig3": "Figure 3"
    }
    headings = {
        "table1": ("Table 1: how the cost of an iteration grows", "scaling"),
        **{start: (number, "") for start, number in figures.items()},
        "memory": ("Beyond the paper: the memory of the null space", "convergence"),
        "noise": ("Figure 7, beyond its one setting", "noise"),
    }
    made = []
    for start, (title, anchor) in headings.items():
        drawn = tuple(chart for name, own in charts.items() if name.startswith(start) for chart in own)
        by_claim: dict[str, list[Verdict]] = {}
        for verdict in shown:
            if verdict.claim.figure.startswith(start):
                by_claim.setdefault(verdict.claim.id, []).append(verdict)
        if drawn or by_claim:
            claims = tuple(_judged(own, titles(infos), where) for own in by_claim.values())
            made.append(Exhibit(title, drawn, claims, anchor))
    return tuple(made)


def _judged(
    verdicts: Sequence[Verdict], names: Mapping[str, str], where: Callable[[Verdict], str]
) -> JudgedClaim:
    """Return the verdicts on one claim."""
    claim, rule = verdicts[0].claim, worded(verdicts[0].finding.rule, names)
    judgements = tuple(_judgement(verdict, names, where(verdict)) for verdict in verdicts)
    anchor, fixed = _anchor(verdicts[0]), claim.fixed.isoformat()
    return JudgedClaim(anchor, claim.statement, claim.where, rule, judgements, fixed, claim.note)


def _judgement(verdict: Verdict, names: Mapping[str, str], measured: str) -> ShownVerdict:
    by_study: dict[str, list[str]] = {}
    for study, key in verdict.keys:
        by_study.setdefault(study, []).append(key)
    parts = tuple(
        (
            "holds" if part.holds else "does not hold" if part.decided else "not decided",
            worded(part.what, names),
            worded(part.text, names),
        )
        for part in verdict.finding.parts
    )
    missing, condition = worded(verdict.finding.missing, names), worded(_condition(verdict), names)
    records = tuple((study, short_keys(keys)) for study, keys in by_study.items())
    return ShownVerdict(verdict.name, verdict.problem, condition, parts, missing, records, measured)


def _condition(verdict: Verdict) -> str:
    """Return the condition, counted where it would name many parts: they stand one by one below it."""
    holding, number = sum(part.holds for part in verdict.finding.parts), len(verdict.finding.parts)
    return f"holds in {holding} of {number}" if number > _FEW and 0 < holding < number else verdict.condition


def verdict_table(found: Sequence[Verdict], infos: Infos, where: Callable[[Verdict], str]) -> Table:
    """Return one row per verdict: the claim, the verdict, its condition with the numbers that decide, and `where`.

    The data behind it have all of them by name, and the rule, with the labels of the study files.
    """
    rows = (
        (
            verdict.claim.statement,
            verdict.name,
            numbers_that_decide(verdict, infos),
            ": ".join(filter(None, (verdict.problem or "costs", where(verdict)))),
        )
        for verdict in found
    )
    data = pd.DataFrame(
        [
            {
                "claim": verdict.claim.id,
                "statement": verdict.claim.statement,
                "where": verdict.claim.where,
                c.PROBLEM: verdict.problem,
                "measured on": where(verdict),
                "verdict": verdict.name,
                "condition": verdict.condition,
                "evidence": verdict.evidence,
                "tolerance": verdict.finding.rule,
                "fixed": verdict.claim.fixed.isoformat(),
                "note": verdict.claim.note,
                **{f"number: {name}": value for name, value in verdict.finding.numbers.items()},
                "keys": tuple(f"{study}: {key}" for study, key in verdict.keys),
            }
            for verdict in found
        ]
    )
    titles = ("claim", "verdict", "numbers that decide", "measured on: study, profile, length")
    caption = "A verdict holds for this machine and these settings; “conditional” names what it holds for."
    anchors = tuple(_anchor(verdict) for verdict in found)
    return replace(text_table("verdicts-table", caption, titles, rows, data, anchors), whole=True)


def rule_with_date(verdict: Verdict, infos: Infos) -> str:
    """Return the rule of a verdict and the day on which it got its present form."""
    return f"{worded(verdict.finding.rule, titles(infos)) or '–'} (of {verdict.claim.fixed.isoformat()})"


def changes_table(found: Sequence[Verdict]) -> Table:
    """Return one row for each claim judged whose test or words are not the first written: what changed, and when."""
    own = list({verdict.claim.id: verdict for verdict in found if verdict.claim.note}.values())
    rows = tuple((verdict.claim.statement, str(verdict.claim.fixed), verdict.claim.note) for verdict in own)
    data = pd.DataFrame(
        [(verdict.claim.id, *row) for verdict, row in zip(own, rows, strict=True)],
        columns=["claim", "statement", "test of", "note"],
    )
    caption = "Claims added, and tests, tolerances and words changed, after the first version; what was known by then."
    titles = ("claim", "test of", "what changed, and when")
    return text_table("verdicts-changes", caption, titles, rows, data, tuple(map(_anchor, own)))


def _anchor(verdict: Verdict) -> str:
    return slugs.slug("claim", verdict.claim.id)


def numbers_that_decide(verdict: Verdict, infos: Infos) -> str:
    """Return condition and numbers of a verdict on a line or two; many parts are counted, as `verdict_section` has them
    one by one."""
    condition, parts = _condition(verdict), verdict.finding.parts
    said = f"{condition[0].upper()}{condition[1:]}. " if condition else ""
    if len(parts) > _FEW:
        return worded(said or f"Holds in all {len(parts)}.", titles(infos)).strip()
    evidence = worded(
        verdict.evidence, titles(infos)
    )  # before its first letter is a capital: labels are lower case
    return f"{worded(said, titles(infos))}{evidence[:1].upper()}{evidence[1:]}"


_FEW = 3
