"""The summary that a run prints when it ends: one table of one size, the page's bottom line, what to measure next."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost import iteration_cost, leads
from tngd_bench.analysis.findings import convergence
from tngd_bench.analysis.findings.answer import INCOMPLETE, Answer, answer
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import final_scores
from tngd_bench.problems.metrics import TRAINING_LOSS
from tngd_bench.report.document.panels import line_groups
from tngd_bench.report.document.tables import size_and_batch, stated_seconds
from tngd_bench.studies.store import code_parts
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records

_NEXT = "Measure next"
Cells = dict[str, str]
"""The cells of a column by the optimizer's label."""


def terminal_summary(source: Records | Results, said: Answer | None = None) -> RenderableType:
    """Return the summary of `source`; `said` is the page's answer where that is made.

    Text from study files is never markup.
    """
    results = Results.over(source)
    said = answer(results) if said is None else said
    title = Text(str(results.study.get("title", "")), style="bold")
    counts = results.trials[c.STATUS].value_counts().sort_index().items()
    last = [" ".join((f"Bottom line: {said.bottom_line}", *said.facts))]
    last += [f"{each.term}: {each.text}" for each in said.paragraphs if each.term in (INCOMPLETE, _NEXT)]
    last += [f"Cost and training trials: {', '.join(f'{n} {status}' for status, n in counts) or 'none'}"]
    last += filter(None, [code_parts.told(results.trials.get(c.CODE, ()))])
    return Group(title, *_table(results), *map(Text, last))


def _table(results: Results) -> Iterator[RenderableType]:
    """Yield what the columns hold, and the table of what was timed, the quickest first, and of what was trained."""
    columns: dict[str, Cells] = {}
    timed = _timed(results)
    for words, own in (timed, _trained(results, {label for each in timed[1].values() for label in each})):
        if own:
            yield Text(words)
            columns |= own
    if not columns:
        return
    table = Table()
    table.add_column("optimizer", overflow="fold")
    for heading in columns:
        table.add_column(heading, justify="right")
    for label in dict.fromkeys(label for own in columns.values() for label in own):
        cells = [own.get(label, quantities.NOT_MEASURED) for own in columns.values()]
        table.add_row(Text(results.infos[label].title), *(Text(cell, no_wrap=True) for cell in cells))
    yield table


def _timed(results: Results) -> tuple[str, dict[str, Cells]]:
    """Return the times of a step at the size of the page's bars, and that size in words."""
    summary = results.cost_summary
    rows = leads.main_size(summary, results.infos)
    if rows.empty:
        return "", {}
    columns = {"a step": {str(row.optimizer): iteration_cost.median_text(row) for row in c.each(rows)}}
    devices: Cells = {
        str(row.optimizer): stated_seconds(row.modelled_s)
        for row in c.each(rows)
        if results.infos[str(row.optimizer)].modelled
    }
    if devices:
        columns["of which the device, modelled"] = devices
    first, more = rows.iloc[0], summary.groupby(iteration_cost.SETTING).ngroups - 1
    return f"A step on {first[c.PROBLEM]} at {size_and_batch(first)}.{_others(more, 'size')}", columns


def _trained(results: Results, timed: set[str]) -> tuple[str, dict[str, Cells]]:
    """Return the name of the main training and its ends: of optimizers in the page's curves and of those `timed`."""
    section = convergence.main_training(results)
    if section is None:
        return "", {}
    trained = set(section.part[c.OPTIMIZER])
    shown = trained & {*line_groups(results.infos, trained)[0].labels, *timed}
    score = final_scores.leading(section.part)
    score = (
        score if score.final in section.part and section.part[score.final].notna().any() else TRAINING_LOSS
    )
    ends = final_scores.summarise_final(section.part[section.part[c.OPTIMIZER].isin(shown)])
    rows = {str(row.optimizer): row for row in c.each(ends)}
    reached = {
        label: quantities.metric(getattr(row, f"{score.final}_median"), score.metric)
        for label, row in rows.items()
    }
    more = c.outside_sweeps(results.final)[c.GROUP].nunique() - 1
    where = f"Training {section.part[c.GROUP].iloc[0]}: {section.setting(sorted(shown))}"
    finished = {label: f"{row.finished}/{row.trials}" for label, row in rows.items()}
    others = _others(len(trained - shown), "optimizer") + _others(more, "training")
    return f"{where}.{others}", {"seeds": finished, f"final {score.title}": reached}


def _others(more: int, what: str) -> str:
    return f" {quantities.number_of(more, f'more {what}')}: see the report." if more else ""
