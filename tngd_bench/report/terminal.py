"""The summary that a run prints when it ends: findings, and the cost of every optimizer at its largest size."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tngd_bench.analysis import cost, findings, outcomes, quantities
from tngd_bench.analysis.families import kinds
from tngd_bench.analysis.rows import each
from tngd_bench.studies import code_parts
from tngd_bench.studies.records import Records


def terminal_summary(records: Records) -> RenderableType:
    """Return the three findings and one table; text from study files is never read as markup."""
    found = findings.find(records.study, records.trials, records.costs, records.curves)
    parts: list[RenderableType] = [_table(records), Text()]
    parts += [Text(f"• {sentence}") for sentence in found.sentences()]
    counts = records.trials["status"].value_counts().sort_index()
    parts += [
        Text(),
        Text(
            "Cost and training trials: "
            + (", ".join(f"{n} {status}" for status, n in counts.items()) or "none")
        ),
    ]
    several = code_parts.told(records.trials.get("code", ()))
    return Group(*parts, *([Text(several)] if several else []))


def _table(records: Records) -> Table:
    trials = records.trials
    known = kinds(trials)
    summary = cost.summarise(records.costs, trials)
    ends = outcomes.summarise_final(outcomes.comparison(outcomes.final_values(trials, records.curves)))
    table = Table(title=Text(str(records.study.get("title", ""))), title_justify="left", expand=False)
    for title in ("optimizer", "largest N", "time per iteration"):
        table.add_column(title, justify="left" if title == "optimizer" else "right")
    groups = sorted(set(ends["group"]))
    for group in groups:
        table.add_column(Text(f"{group}: final loss · test accuracy · seeds"), justify="right")
    for label, kind in known.items():
        own = summary[summary["optimizer"] == label].sort_values("parameters")
        cells = [Text(kind.title), Text(quantities.NOT_MEASURED), Text(quantities.NOT_MEASURED)]
        if len(own):
            largest = own.iloc[-1]
            modelled = " (device modelled)" if kind.modelled else ""
            cells[1] = Text(quantities.count(float(largest["parameters"])))
            cells[2] = Text(
                quantities.at_least(float(largest["total_median_s"]), float(largest["at_least_s"])) + modelled
            )
        for group in groups:
            end = ends[(ends["group"] == group) & (ends["optimizer"] == label)]
            text = quantities.NOT_MEASURED
            for row in each(end):
                loss, accuracy = row.final_loss_median, row.final_test_accuracy_median
                text = f"{quantities.significant(loss)} · {quantities.percent(accuracy)} · {row.finished}/{row.trials}"
            cells.append(Text(text))
        table.add_row(*cells)
    return table
