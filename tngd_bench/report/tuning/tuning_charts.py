"""The page's section on a search for settings: what each budget would have found, what it cost, what was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos, OptimizerInfo, optimizer_info
from tngd_bench.analysis.setting_names import parameter_name, value_text
from tngd_bench.analysis.training.tuning import best_of_k_curves, tuning_summary
from tngd_bench.problems.metrics import CurveMetric
from tngd_bench.report.document import charting, scales, slugs, tables
from tngd_bench.report.document.charting import Chart, draw_band, draw_line
from tngd_bench.report.document.figures import charts_of, figure_of
from tngd_bench.report.document.palette import marks
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import MEASURED, Cell, Column, Table, amount, words
from tngd_bench.studies.file.tuned_sets import SEARCH, search_of
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records
from tngd_bench.studies.tuning.results import searched_metric

_TUNED = "[tuned"  # begins the brackets of such a label: adam[tuned], adam[tuned, eps=1e-6]
_PROSE = (
    "Every optimizer was tried with the study's own settings and with the same number of settings drawn from its "
    "space, and judged on a part of the training data held out of training; no test data were used. A diverged try "
    "counts as the worst and is given no number. The curves say what a smaller budget would have found."
)
_ELAPSED = (
    " Elapsed time is what the search took, side by side with others and with the device simulated: it says what a "
    "search costs and nothing of what an iteration costs."
)
_FINALS = (
    " The best few of each then ran the whole training on seeds that the search had not had, and the best mean there "
    "was taken: the best of many tries on few seeds is best partly by luck."
)


@dataclass(frozen=True)
class SearchView:
    """A search for settings: its metric as written and as registered, one row per optimizer, and best-of-k curves."""

    metric: str
    searched: CurveMetric
    summary: pd.DataFrame
    curves: pd.DataFrame

    @property
    def infos(self) -> dict[str, OptimizerInfo]:
        """Every optimizer that was searched for."""
        return {label: optimizer_info(label, label) for label in self.summary[c.OPTIMIZER]}

    def budgets(self) -> tuple[str, ...]:
        """Return the columns of `curves` with what a search may spend; none where no setting gave a result."""
        return ("k", "budget_s") if np.isfinite(self.curves["expected"]).any() else ()


def tuning_section(records: Records) -> Section:
    """Return the section of a search (see `tuning_results.is_search`); call it inside `charting.style()`."""
    metric = str(records.study["tuning"]["metric"])
    summary = tuning_summary(records)
    search = SearchView(metric.replace("_", " "), searched_metric(metric), summary, best_of_k_curves(records))
    return Section(
        "tuning",
        "Search for settings",
        prose=_PROSE + (_FINALS if summary["final_score"].notna().any() else ""),
        charts=charts_of("tuning", search),
        tables=(_table(summary, search.metric, search.infos),),
    )


def _runs(number: int, epochs: float) -> str:
    return f"{quantities.number_of(number, 'run')} of {epochs:g} epoch{'s' * (epochs != 1)}"


def searched(records: Records) -> str:
    """Return the extent of the search in one sentence."""
    tuning, (section, *finals) = records.study["tuning"], records.study["training"]
    methods = list(dict.fromkeys(records.trials[c.METHOD]))
    names = ", ".join(optimizer_info(method, method).title for method in methods)
    sizes = quantities.count(float(records.trials[c.PARAMETERS].iloc[0]))
    return (
        f"Settings for {names} on {section['problem']} (N = {sizes}, b = {section['batch_size']}): "
        f"{tuning['trials'] + 1} for each, {_runs(tuning['seeds'], tuning['epochs'])}, judged by "
        f"{str(tuning['metric']).replace('_', ' ')} on {quantities.percent(tuning[c.VALIDATION_SHARE])} of the "
        "training samples, held out of training."
        + "".join(
            f" Finals: {tuning['finalists']} of each, {_runs(final['seeds'], final['epochs'])}."
            for final in finals
        )
    )


@figure_of("tuning", "the best of k settings", cases=SearchView.budgets)
def best_of_k_chart(search: SearchView, against: str) -> Chart:
    """Draw what a search would have found with fewer tries or less time."""
    curves, metric, infos = search.curves, search.metric, search.infos
    searched, styles = search.searched, marks(infos)
    figure, axes = charting.panel(3.9)
    ends = {}
    finite = curves[np.isfinite(curves["expected"])]
    for label, shown in finite.groupby(c.OPTIMIZER, sort=False):
        mark, name = styles[str(label)], infos[str(label)].title
        draw_line(axes, shown[against], shown["expected"], mark, name)
        band = shown[np.isfinite(shown["low"]) & np.isfinite(shown["high"])]
        draw_band(axes, band, (against, "low", "high"), mark.colour, 0.1)
        ends[name] = float(shown["expected"].iloc[-1])
    if against == "k":
        scales.axis(axes, "x", "drawn settings tried, k", scales.whole)
    else:
        scales.log_seconds(axes, "x")
        axes.set_xlabel("elapsed time of k tries")
    axes.set_ylabel(f"expected best {metric}")
    lows = curves.loc[np.isfinite(curves["low"]), "low"]
    scales.metric_axis(axes, searched.metric, positive=bool((lows > 0).all()))
    charting.legend_below(figure, axes)
    order = sorted(ends, key=ends.__getitem__, reverse=searched.metric.larger_is_better)
    best = ", ".join(f"{title} {quantities.significant(ends[title])}" for title in order)
    name = "the number of tries" if against == "k" else "the time they took"
    return Chart(
        slugs.slug("tuning", "best-of-k", against),
        f"Best of k settings against {name}",
        f"Expected best {metric} against {name}. With all draws, best first: {best}.",
        "Mean over all subsets of k of the drawn settings, with a bootstrap interval called 95 %, which is too narrow: "
        "on uniform draws it held the truth in 90 % at k = 4, and in fewer towards the last k. Nothing is drawn where "
        "all of k tries may have diverged.",
        figure,
        curves.reset_index(drop=True),
    )


def _table(summary: pd.DataFrame, metric: str, infos: Infos) -> Table:
    columns = (
        tables.optimizer_column(infos),
        amount("settings tried", "tries", str),
        amount("diverged", "diverged", str),
        amount("no result", "no_result", str),
        amount("not tried", "not_tried", str),
        amount(f"{metric}, study's settings", "own_score", quantities.significant, MEASURED),
        amount(f"{metric}, taken", "best_score", quantities.significant, MEASURED),
        Column(_FINALS_TITLE, lambda row: _final(row.final_score, row.final_failed), MEASURED),
        words("settings found", lambda row: _settings(row.settings)),
        words("at an end of the range", lambda row: ", ".join(row.at_edge or ()) or quantities.NOT_MEASURED),
        amount("wall time", "seconds", quantities.seconds, MEASURED),
        amount("share", "share_of_seconds", quantities.percent),
    )
    caption = (
        "What the search tried, found and cost: in the search, and in the finals as the mean over their seeds. The "
        "setting taken was selected on these scores, so that its own flatters it; one on further seeds does not. Wall "
        "time is that of all its runs with start and evaluation, on a machine that may have run several at once. A "
        "setting at an end of its range says that the range may be too narrow."
    )
    return tables.table_of("tuning", caption, columns, summary)


_FINALS_TITLE = "in the finals (selected on these)"


def _final(score: float, failed: int) -> Cell:
    return Cell(score, quantities.significant(score) + (f" ({failed} failed)" if failed else ""))


def _settings(settings: Mapping[str, float] | None) -> str:
    if settings is None:
        return quantities.NOT_MEASURED
    return ", ".join(
        f"{parameter_name(name)} = {value_text(name, value)}" for name, value in settings.items()
    )


def _finals(search: Mapping[str, Any]) -> str:
    if not search.get("runs_per_finalist"):
        return ""
    return (
        f". Then the {search['finalists_per_optimizer']} best of each, "
        f"{_runs(search['runs_per_finalist'], search['final_epochs'])} on further seeds, whose mean decides"
    )


def tuned_tables(study: Mapping[str, Any], infos: Infos) -> tuple[Table, ...]:
    """Return where the tuned settings in use come from and what finding them cost, a table for each search.

    The problem is named where settings are those of its sections alone.
    """
    used = {kind.method for label, kind in infos.items() if _TUNED in label}
    made = []
    for problem, found in {"": study, **(study.get("tuned_for") or {})}.items():
        record, by_search = found.get("tuning_record") or {}, dict[str, dict[str, Any]]()
        for name, settings in (found.get("tuned") or {}).items():
            if name in used:
                by_search.setdefault(search_of(record, name), {})[name] = settings
        made += [_tuned_table(own, record, search, infos, problem) for search, own in by_search.items()]
    return tuple(made)


def _tuned_table(
    tuned: Mapping[str, Any], record: Mapping[str, Any], searched: str, infos: Infos, problem: str
) -> Table:
    search = record.get(searched, {})
    titles = {kind.method: kind.title.partition(" [")[0] for kind in infos.values()}
    columns = ("score", "default_score", "final_score", "final_runs", "final_finished", "try", "seconds")
    data = pd.DataFrame(
        [{c.OPTIMIZER: name, c.SETTINGS: found, **record.get(name, {})} for name, found in tuned.items()]
    ).reindex(columns=[c.OPTIMIZER, c.SETTINGS, *columns])
    # 0 where the record knows no finals
    failed = (data["final_runs"] - data["final_finished"]).fillna(0).astype(int)
    metric = str(search.get("metric", "metric")).replace("_", " ")
    shown = (
        words("optimizer", lambda row: titles.get(row.optimizer, row.optimizer)),
        words("tuned settings", lambda row: _settings(row.settings)),
        amount(f"{metric}, before", "default_score", quantities.significant, MEASURED),
        amount(f"{metric}, after", "score", quantities.significant, MEASURED),
        Column(_FINALS_TITLE, lambda row: _final(row.final_score, row.final_failed), MEASURED),
        amount("wall time of its search", "seconds", quantities.seconds, MEASURED),
    )
    if search:
        budget = (
            f"{search['tries_per_optimizer']} settings for each ({search['drawn_per_optimizer']} drawn, and the "
            f"study's own), {_runs(search['runs_per_try'], search['epochs'])}{_finals(search)}. "
            f"Searched on {search['problem']}, N = {quantities.count(search['parameters'])}, "
            f"b = {search['batch_size']}, in {quantities.seconds(search['seconds'])}. Sampler: "
            f"{search['sampler'].replace('_', ' ')}. Made on {search['date']} by “{search['command']}”."
        )
    else:
        budget = "The study gives these settings without a record of the search."
    where = f" in sections on {problem}" if problem else ""
    caption = f"Settings of optimizers called tuned{where}, found on held-out training data and other seeds. {budget}"
    name = slugs.slug(*filter(None, ("tuned-settings", problem, searched.removeprefix(SEARCH).lstrip("-"))))
    return tables.table_of(name, caption, shown, data.assign(final_failed=failed), data)
