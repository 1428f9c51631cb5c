"""The summary that a run prints when it ends: findings, and what every optimizer cost at one size, side by side."""

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.leads import main_group
from tngd_bench.analysis.findings.find import find
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training import final_scores
from tngd_bench.studies.store import code_parts
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.columns import outside_sweeps
from tngd_bench.studies.store.records import Records


def terminal_summary(records: Records) -> RenderableType:
    """Return the three findings and one table; text from study files is never read as markup."""
    results = Results(records)
    parts: list[RenderableType] = [_table(results), Text()]
    parts += [Text(f"• {sentence}") for sentence in find(results).sentences()]
    counts = records.trials[c.STATUS].value_counts().sort_index().items()
    ends = ", ".join(f"{n} {status}" for status, n in counts) or "none"
    parts += [Text(), Text(f"Cost and training trials: {ends}")]
    several = code_parts.told(records.trials.get(c.CODE, ()))
    return Group(*parts, *([Text(several)] if several else []))


def _table(results: Results) -> Table:
    infos, summary = results.infos, results.cost_summary
    final = outside_sweeps(results.final)
    ends = final_scores.summarise_final(final)
    table = Table(title=Text(str(results.study.get("title", ""))), title_justify="left", expand=False)
    table.add_column("optimizer", justify="left")
    setting, sizes = _shown_sizes(summary)
    for size in sizes:
        table.add_column(f"time per iteration at N = {quantities.count(size)}, {setting}", justify="right")
    groups = sorted(set(ends[c.GROUP]), key=quantities.numeric_order)
    scores = {group: final_scores.leading(c.only(final, group=group)) for group in groups}
    for group, score in scores.items():
        table.add_column(Text(f"{group}: final loss · {score.title} · seeds"), justify="right")
    for label, kind in infos.items():
        cells = [Text(kind.title)]
        for here in sizes.values():
            cells.append(Text(_time(c.only(here, optimizer=label), modelled=kind.modelled)))
        for group, score in scores.items():
            end = c.only(ends, group=group, optimizer=label)
            text = quantities.NOT_MEASURED
            for row in c.each(end):
                loss = quantities.significant(row.final_loss_median)
                reached = quantities.metric(getattr(row, f"{score.final}_median"), score.metric)
                text = f"{loss} · {reached} · {row.finished}/{row.trials}"
            cells.append(Text(text))
        table.add_row(*cells)
    return table


def _shown_sizes(summary: pd.DataFrame) -> tuple[str, dict[int, pd.DataFrame]]:
    """Return the b and d_z with the most sizes, in words, and its rows at the largest N and at that which all reached.

    A column compares what was timed at one size; an optimizer that was not timed there has no number in it.
    """
    if summary.empty:
        return "", {}
    main = main_group(summary)
    by_size = {int(str(size)): here for size, here in main.groupby(c.PARAMETERS, sort=True)}
    most = max(here[c.OPTIMIZER].nunique() for here in by_size.values())
    complete = max(size for size, here in by_size.items() if here[c.OPTIMIZER].nunique() == most)
    first = main.iloc[0]
    chosen = dict.fromkeys((complete, max(by_size)))
    return f"b = {first[c.BATCH_SIZE]}, d_z = {first[c.OUTPUTS]}", {size: by_size[size] for size in chosen}


def _time(own: pd.DataFrame, *, modelled: bool) -> str:
    if own.empty:
        return quantities.NOT_MEASURED
    row = own.iloc[0]
    time = quantities.at_least(float(row["total_median_s"]), float(row["at_least_s"]))
    return f"{time} (device modelled)" if modelled else time
